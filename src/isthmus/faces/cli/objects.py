"""Looking into objects as the API serves them, where any part may be absent."""

from typing import Any, cast

from isthmus.api.meta import Json


def dig(obj: Json | None, path: str) -> Any:
    """Return the value at a path like ``status.conditions``, or None."""
    value: Any = obj
    for step in path.split("."):
        if not isinstance(value, dict):
            return None
        value = cast("Json", value).get(step)
    return value


def text(obj: Json | None, path: str) -> str:
    """Return the text at a path; empty where there is none."""
    value = dig(obj, path)
    return "" if value is None else str(value)


def part(obj: Json | None, path: str) -> Json:
    """Return the mapping at a path; empty where there is none."""
    value = dig(obj, path)
    return cast("Json", value) if isinstance(value, dict) else {}


def items(obj: Json | None, path: str) -> list[Json]:
    """Return the list of mappings at a path; empty where there is none."""
    value = dig(obj, path)
    return cast("list[Json]", value) if isinstance(value, list) else []


def condition(obj: Json | None, kind: str) -> Json:
    """Return a condition, or an empty mapping where it has not been observed."""
    found = [c for c in items(obj, "status.conditions") if c.get("type") == kind]
    return found[0] if found else {}
