"""Reading of objects whose fields may be absent or null, as Kubernetes' optional fields are."""

from typing import Any, cast

from isthmus.api.meta import Json


def part(node: Json, name: str) -> Json:
    """Return a map of an object, or an empty one."""
    found: Any = node.get(name)
    return cast("Json", found) if isinstance(found, dict) else {}


def parts(node: Json, name: str) -> list[Json]:
    """Return a list of maps of an object, or an empty one."""
    found: Any = node.get(name)
    return cast("list[Json]", found) if isinstance(found, list) else []


def meta(node: Json) -> Json:
    """Return the metadata of an object."""
    return part(node, "metadata")


def text(node: Json, name: str) -> str:
    """Return a text of an object, or an empty one."""
    found: Any = node.get(name)
    return "" if found is None else str(found)
