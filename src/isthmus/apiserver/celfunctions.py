"""All functions of rules by their names; those of strings, lists and sets are here.

Source: https://kubernetes.io/docs/reference/using-api/cel/#cel-community-libraries
"""

import itertools
import re
import string
from collections.abc import Callable
from typing import Any, cast

from isthmus.apiserver import celformats, celkubernetes, celstandard
from isthmus.apiserver.celoperators import BINARY, add, contains, equal, to_string

# --- strings and lists ----------------------------------------------------------------------------


_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}
_UPPER = {ord(letter): letter.upper() for letter in string.ascii_lowercase}
_LONGEST_TEXT = 4 * 1024 * 1024
_LONGEST_RANGE = 10_000_000


def _checked(text: Any) -> str:
    if isinstance(text, str):
        return text
    raise TypeError("no string")


def _quoted(text: str) -> str:
    return '"' + _checked(text).translate(_QUOTED) + '"'


_QUOTED = {
    ord(plain): f"\\{shown}" for plain, shown in zip('\a\b\f\n\r\t\v\\"', 'abfnrtv\\"', strict=True)
}


def _least(*values: Any) -> Any:
    return _extreme(values, "min", "_<_")


def _greatest(*values: Any) -> Any:
    return _extreme(values, "max", "_>_")


def _extreme(values: tuple[Any, ...], name: str, better: str) -> Any:
    """Of a list."""
    (found,) = values
    if not found:
        raise ValueError(f"{name} called on empty list")
    best = found[0]
    for value in found[1:]:
        best = value if BINARY[better](value, best) else best
    return best


def _range(most: int) -> list[int]:
    if most > _LONGEST_RANGE:
        raise ValueError("range is too long")
    return list(range(most))


def _replace(text: str, old: str, new: str, most: int = -1) -> str:
    found = _checked(text).count(old) if most < 0 else min(most, text.count(old))
    _limit(len(text) + found * (len(new) - len(old)))
    return text.replace(old, new, most)


def _limit(size: int) -> None:
    """Refuse what would be longer than any object; it is never made."""
    if size > _LONGEST_TEXT:
        raise ValueError("the result is too long")


def _split(text: str, separator: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if separator == "":
        return list(text)
    return text.split(separator) if most < 0 else text.split(separator, most - 1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError("index out of range")
    return text[start:stop]


def _char_at(text: str, place: int) -> str:
    if not 0 <= place <= len(text):
        raise ValueError("index out of range")
    return text[place : place + 1]


def _index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(wanted, start)
    return next((i for i, item in enumerate(value) if equal(item, wanted)), -1)


def _last_index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, str):
        return value.rfind(wanted) if start is None else value.rfind(wanted, 0, start + len(wanted))
    return max((i for i, item in enumerate(value) if equal(item, wanted)), default=-1)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, cast("list[Any]", value))) + "]"
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return "{" + ", ".join(f"{key}: {_shown(held[key])}" for key in sorted(held)) + "}"
    return "null" if value is None else to_string(value)


def _format(text: str, values: list[Any]) -> str:
    left = iter(values)

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = next(left)
        if match[0] == "%s":
            return _shown(value)
        _limit(len(values) * int(match[1] or 0))
        return match[0] % value

    return re.sub(r"%%|%[sdx]|%(?:\.(\d+))?[fe]", one, text)


def _sum(values: list[Any]) -> Any:
    total = values[0] if values else 0
    for value in values[1:]:
        total = add(total, value)
    return total


def _flatten(values: list[Any], depth: int = 1) -> list[Any]:
    out: list[Any] = []
    for value in values:
        if isinstance(value, list) and depth > 0:
            out += _flatten(cast("list[Any]", value), depth - 1)
        else:
            out.append(value)
    return out


def _distinct(values: list[Any]) -> list[Any]:
    return [value for place, value in enumerate(values) if not contains(value, values[:place])]


def _holds(left: list[Any], right: list[Any]) -> bool:
    return all(contains(item, left) for item in right)


def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    return values[start:end]


def _join(values: list[str], separator: str = "") -> str:
    _limit(sum(map(len, values)) + len(separator) * len(values))
    return separator.join(values)


_OF_TEXT: dict[str, Callable[[str], Any]] = {
    "lowerAscii": lambda text: _checked(text).translate(_LOWER),
    "upperAscii": lambda text: _checked(text).translate(_UPPER),
    "trim": lambda text: _checked(text).strip(),
}
_OF_LIST: dict[str, Callable[[list[Any]], Any]] = {
    "isSorted": lambda values: all(a <= b for a, b in itertools.pairwise(values)),
    "sum": _sum,
    "distinct": _distinct,
    "sort": lambda values: sorted(values),
    "reverse": lambda values: values[::-1],
}
_OF_LISTS: dict[str, Callable[[list[Any], list[Any]], Any]] = {
    "sets.contains": _holds,
    "sets.equivalent": lambda left, right: _holds(left, right) and _holds(right, left),
    "sets.intersects": lambda left, right: any(contains(item, right) for item in left),
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **_OF_TEXT,
    **_OF_LIST,
    **_OF_LISTS,
    "charAt": _char_at,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "join": _join,
    "format": _format,
    "flatten": _flatten,
    "slice": _slice,
    "min": _least,
    "max": _greatest,
    "lists.range": _range,
    "strings.quote": _quoted,
    **celstandard.FUNCTIONS,
    **celkubernetes.FUNCTIONS,
    **celformats.FUNCTIONS,
}
"""By the name in a rule; a method's receiver is its first argument."""


def named(name: str, *, method: bool) -> Callable[..., Any] | None:
    """The function of this name, or None.

    Args:
        name: As in a rule, with its namespace.
        method: Whether it has a receiver.
    """
    if method and name in _NO_METHODS:
        return None
    return FUNCTIONS.get(name)


_NO_METHODS = frozenset(
    ("int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration", "dyn", "type",
     "isURL", "url", "isIP", "isCIDR", "cidr", "isQuantity", "quantity", "isSemver", "semver")
)  # fmt: skip
