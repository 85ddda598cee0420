"""The functions that every implementation of the Common Expression Language has.

Regular expressions are those of RE2, as in Go: no expression can run for ever.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#list-of-standard-definitions
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import re2  # pyright: ignore[reportMissingTypeStubs]

from isthmus.apiserver import celoperators as ops
from isthmus.apiserver.celoperators import NONE, Fault, Optional

_PATTERNS = 256


# --- regular expressions --------------------------------------------------------------------------


@lru_cache(_PATTERNS)
def pattern(text: str) -> Any:
    """A compiled expression.

    Raises:
        Fault: It is none, or none of RE2.
    """
    library = cast("Any", re2)
    options = library.Options()
    options.log_errors = False
    try:
        return library.compile(text, options)
    except library.error as error:
        raise Fault(f"error parsing regexp: {error}") from error


def _matches(text: str, expression: str) -> bool:
    return pattern(_text(expression)).search(_text(text)) is not None


def _find(text: str, expression: str) -> str:
    found = pattern(_text(expression)).search(_text(text))
    return found.group() if found else ""


def _find_all(text: str, expression: str, most: int = -1) -> list[str]:
    found: list[str] = []
    for match in pattern(_text(expression)).finditer(_text(text)):
        if 0 <= most <= len(found):
            break
        found.append(match.group())
    return found


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("no string")


# --- times ----------------------------------------------------------------------------------------


def _zone(name: str) -> tzinfo:
    if name[:1] in "+-" or name[:1].isdigit():
        sign = -1 if name.startswith("-") else 1
        hours, _, minutes = name.lstrip("+-").partition(":")
        return timezone(sign * timedelta(hours=int(hours), minutes=int(minutes or 0)))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:  # the latter of a folder of zones
        raise Fault(f"unknown time zone {name}") from error


def _of_moment(what: Callable[[datetime], int]) -> Callable[..., int]:
    def answer(value: Any, zone: str = "") -> int:
        if not isinstance(value, datetime):
            raise TypeError("no timestamp")
        return what(value.astimezone(_zone(zone) if zone else UTC))

    return answer


def _of_either(
    what: Callable[[datetime], int], total: Callable[[timedelta], int]
) -> Callable[..., int]:
    of_moment = _of_moment(what)

    def answer(value: Any, *zone: str) -> int:
        return total(value) if isinstance(value, timedelta) else of_moment(value, *zone)

    return answer


def _whole(value: timedelta, seconds: float) -> int:
    return int(value.total_seconds() / seconds)


# --- optional values ------------------------------------------------------------------------------


def _some(value: Any) -> Optional:
    return Optional(value, there=True)


def _some_unless_zero(value: Any) -> Optional:
    zero = value is None or value in (False, 0, 0.0, "", b"", [], {}, timedelta())
    return NONE if zero else Optional(value, there=True)


def _there(held: Optional) -> bool:
    return held.there


def _value(held: Optional) -> Any:
    if held.there:
        return held.value
    raise Fault("optional.none() dereference")


# --- strings --------------------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def _type(value: Any) -> ops.Kind:
    return ops.Kind(ops.kind_of(value))


def _contains(text: str, part: str) -> bool:
    return _text(part) in _text(text)


def _starts(text: str, part: str) -> bool:
    return _text(text).startswith(_text(part))


def _ends(text: str, part: str) -> bool:
    return _text(text).endswith(_text(part))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "size": ops.size,
    "contains": _contains,
    "startsWith": _starts,
    "endsWith": _ends,
    "matches": _matches,
    "find": _find,
    "findAll": _find_all,
    "int": ops.to_int,
    "uint": ops.to_uint,
    "double": ops.to_double,
    "string": ops.to_string,
    "bytes": ops.to_bytes,
    "bool": ops.to_bool,
    "timestamp": ops.to_moment,
    "duration": ops.to_duration,
    "dyn": _same,
    "type": _type,
    "getFullYear": _of_moment(lambda t: t.year),
    "getMonth": _of_moment(lambda t: t.month - 1),
    "getDate": _of_moment(lambda t: t.day),
    "getDayOfMonth": _of_moment(lambda t: t.day - 1),
    "getDayOfWeek": _of_moment(lambda t: t.isoweekday() % 7),
    "getDayOfYear": _of_moment(lambda t: t.timetuple().tm_yday - 1),
    "getHours": _of_either(lambda t: t.hour, lambda d: _whole(d, 3600)),
    "getMinutes": _of_either(lambda t: t.minute, lambda d: _whole(d, 60)),
    "getSeconds": _of_either(lambda t: t.second, lambda d: _whole(d, 1)),
    "getMilliseconds": _of_either(lambda t: t.microsecond // 1000, lambda d: _whole(d, 0.001)),
    "optional.of": _some,
    "optional.ofNonZeroValue": _some_unless_zero,
    "optional.none": lambda: NONE,
    "hasValue": _there,
    "value": _value,
}
"""By the name in a rule; a method's receiver is its first argument."""
