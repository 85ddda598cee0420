"""Values as rules see them: a `date-time` is a timestamp, the `number` 1 is 1.0, and so on.

Source: https://kubernetes.io/docs/reference/using-api/cel/#type-system
"""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from isthmus.apiserver.jsonvalues import Json, as_map

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def moment(text: str) -> datetime:
    """The moment that RFC 3339 writes so.

    Raises:
        ValueError: It is none.
    """
    if not _MOMENT.fullmatch(text):
        raise ValueError("no timestamp")
    return datetime.fromisoformat(text.upper())


def _day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def duration(text: str) -> timedelta:
    """The time that Go writes so, for example `1h30m`.

    Raises:
        ValueError: It is none.
    """
    if text.lstrip("+-") == "0":
        return timedelta()
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.lstrip("+-"):
        raise ValueError("no duration")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


_FORMATS: dict[str, Callable[[str], Any]] = {
    "date-time": moment,
    "date": _day,
    "duration": duration,
    "byte": base64.b64decode,
}


def typed_part(raw: Any) -> Json | None:
    """The part of a schema that leads to such values, so that nothing else is walked."""
    if not isinstance(raw, dict):
        return None
    schema = cast("Json", raw)
    out: Json = {}
    if schema.get("type") == "string" and schema.get("format") in _FORMATS:
        out["format"] = schema["format"]
    if schema.get("type") == "number":
        out["number"] = True
    for name in ("items", "additionalProperties"):
        if (part := typed_part(schema.get(name))) is not None:
            out[name] = part
    below = {name: typed_part(part) for name, part in as_map(schema.get("properties")).items()}
    if kept := {name: part for name, part in below.items() if part is not None}:
        out["properties"] = kept
    return out or None


def seen(value: Any, part: Json | None) -> Any:
    """A value as a rule sees it; what does not fit its format stays as it is."""
    if part is None or value is None:
        return value
    if "number" in part and type(value) is int:
        return float(value)
    if isinstance(value, str) and "format" in part:
        try:
            return _FORMATS[part["format"]](value)
        except (ValueError, binascii.Error):
            return value
    if isinstance(value, dict):
        properties, rest = as_map(part.get("properties")), part.get("additionalProperties")
        return {
            name: seen(item, properties.get(name, rest))
            for name, item in cast("Json", value).items()
        }
    if isinstance(value, list) and "items" in part:
        return [seen(item, part["items"]) for item in cast("list[Any]", value)]
    return cast("Any", value)
