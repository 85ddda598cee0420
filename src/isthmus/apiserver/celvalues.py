"""Values as rules see them: a `date-time` is a timestamp, a `byte` string is bytes, and so on.

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
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _duration(text: str) -> timedelta:
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text.lstrip("+-"):
        raise ValueError("no duration")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


_FORMATS: dict[str, Callable[[str], Any]] = {
    "date-time": _moment,
    "date": _moment,
    "duration": _duration,
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
