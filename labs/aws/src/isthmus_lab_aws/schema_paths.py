"""Walks through a resource schema: its sections of property paths, and what a path leads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from isthmus_lab_aws.schemas import Schema


def paths(found: Schema, section: str) -> list[list[str]]:
    """The property paths of a section such as `readOnlyProperties`, split at their slashes."""
    pointers: list[str] = found.get(section, [])
    return [pointer.removeprefix("/properties/").split("/") for pointer in pointers]


def resolve(found: Schema, node: Any) -> Mapping[str, Any]:
    """A property's definition with its references followed, one level deep."""
    current = cast("Mapping[str, Any]", node)
    while "$ref" in current:
        target: Any = found
        for part in str(current["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        current = cast("Mapping[str, Any]", target)
    return current


def definition(found: Schema, path: list[str]) -> Mapping[str, Any]:
    """The definition of a property by its path; empty where the schema leaves it open."""
    node: Mapping[str, Any] = found
    for part in path:
        properties: Mapping[str, Any] = resolve(found, node).get("properties", {})
        if part not in properties:
            return {}
        node = cast("Mapping[str, Any]", properties[part])
    return resolve(found, node)
