"""Lists as the tables that kubectl prints.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson

from isthmus.apiserver import events
from isthmus.apiserver.jsonpath import first
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.resources import Column, Resource

_NAME = (
    "Name must be unique within a namespace. Is required when creating resources, although some"
    " resources may allow a client to request the generation of an appropriate name automatically."
    " Name is primarily intended for creation idempotence and configuration definition. Cannot be"
    " updated. More info:"
    " https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
META_V1 = "meta.k8s.io/v1"
_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86400, 31536000


def table(
    resource: Resource, objects: Iterable[Json], metadata: Json, include: str, *, heads: bool = True
) -> Json:
    """A `Table` with one row an object.

    Args:
        resource: The kind and its columns.
        objects: Parsed objects.
        metadata: Metadata of the list.
        include: What each row carries besides its cells: `None`, `Metadata` or `Object`.
        heads: Whether the columns are described; a watch does so once only.
    """
    now = datetime.now(UTC)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": _heads(resource) if heads else None,
        "rows": [_row(resource, obj, include, now) for obj in objects],
    }


def _heads(resource: Resource) -> list[Json]:
    name = Column("Name", "string", "", format="name", description=_NAME)
    return [
        {
            "name": column.name,
            "type": column.type,
            "format": column.format,
            "description": column.description,
            "priority": column.priority,
        }
        for column in (resource.columns if _names_itself(resource) else (name, *resource.columns))
    ]


def _names_itself(resource: Resource) -> bool:
    """Whether the name is not to lead the columns."""
    return any(column.format == "name" for column in resource.columns)


def _row(resource: Resource, obj: Json, include: str, now: datetime) -> Json:
    stored = obj if resource.shape is None else resource.shape.stored(obj)
    cells = [_cell(column, stored, now) for column in resource.columns]
    if not _names_itself(resource):
        cells.insert(0, obj["metadata"]["name"])
    row: Json = {"cells": cells, "object": None}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = partial(obj)
    return row


def partial(obj: Json, version: str = META_V1) -> Json:
    """The `PartialObjectMetadata` of an object."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": version,
        "metadata": obj["metadata"],
    }


def _cell(column: Column, obj: Json, now: datetime) -> Any:
    if column.path.startswith("#"):
        return len(first(obj, column.path[1:]) or ())
    if column.path.startswith("@"):
        return _reference(as_map(obj.get(column.path[1:])))
    if column.path.startswith("~"):
        return _subjects(obj, column.path[1:])
    if column.path.startswith("%"):
        return _quota(obj, limits=column.path == "%limits")
    value = events.cell(obj, column.path[1:]) if column.path[0] == "!" else first(obj, column.path)
    if column.type == "date":
        return "<unknown>" if value is None else age(str(value), now)
    if column.type == "string" and value is not None and not isinstance(value, str):
        return orjson.dumps(value).decode()
    return value


def _subjects(obj: Json, kind: str) -> str:
    """The subjects of a binding that are of one kind."""
    found = [subject for subject in as_list(obj.get("subjects")) if subject.get("kind") == kind]
    places = (f"{subject['namespace']}/" if subject.get("namespace") else "" for subject in found)
    return ", ".join(f"{place}{s['name']}" for place, s in zip(places, found, strict=True))


def _quota(obj: Json, *, limits: bool) -> str:
    """What a ResourceQuota limits, and how much of it is used."""
    status = as_map(obj.get("status"))
    hard, used = as_map(status.get("hard")), as_map(status.get("used"))
    named = [name for name in sorted(hard) if name.startswith("limits") == limits]
    return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in named)


def _reference(reference: Json) -> str:
    kind = str(reference.get("kind", ""))
    shown = kind if "Role" in kind else kind.lower()
    return f"{shown}/{reference.get('name', '')}"


def age(then: str, now: datetime) -> str:
    """How long ago, in kubectl's short form such as `5m30s` or `3d4h`."""
    try:
        moment = datetime.fromisoformat(then)
    except ValueError:
        return "<invalid>"
    if moment.tzinfo is None:  # Nobody can tell how long ago that was.
        return "<invalid>"
    seconds = max(0, int((now - moment).total_seconds()))
    # Each row: below this many seconds, print this unit, and that smaller one below this bound.
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    for below, unit, letter, fine_below, fine, fine_letter in (
        (3 * _HOUR, _MINUTE, "m", 10 * _MINUTE, 1, "s"),
        (2 * _DAY, _HOUR, "h", 8 * _HOUR, _MINUTE, "m"),
        (2 * _YEAR, _DAY, "d", 8 * _DAY, _HOUR, "h"),
    ):
        if seconds < below:
            rest = seconds % unit // fine
            tail = f"{rest}{fine_letter}" if seconds < fine_below and rest else ""
            return f"{seconds // unit}{letter}{tail}"
    rest = seconds % _YEAR // _DAY
    return f"{seconds // _YEAR}y" + (f"{rest}d" if seconds < 8 * _YEAR and rest else "")
