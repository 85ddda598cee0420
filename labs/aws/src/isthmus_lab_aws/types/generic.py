"""Every CloudFormation type that nobody implements: kept in memory, checked by its schema.

Such a resource exists in the lab's state, has a physical id and the attributes that its schema
declares, refuses a taken name and is replaced where its schema says so. It has no behaviour and no
service API; the fidelity table marks it `generic`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from isthmus_lab_aws import registration, schemas
from isthmus_lab_aws.records import Record, Records
from isthmus_lab_aws.resource import (
    Extension,
    Physical,
    Place,
    Properties,
    Request,
    ResourceFailure,
    ResourceType,
)
from isthmus_lab_aws.schema_paths import definition, paths

_RECORDS = Records("generic")
_LEFT_OUT = ("AWS::CloudFormation::", "AWS::CDK::")


class Generic(ResourceType):
    """A type by its schema alone."""

    generic = True

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self, request: Request) -> Physical:
        """Note it under its primary identifier."""
        _learn_replacements(self.name)
        values = _filled(self.name, request)
        identity = _identity(self.name, request, values)
        attributes = _attributes(self.name, request, identity, values)
        record: Record = {"properties": dict(request.properties), "attributes": attributes}
        _RECORDS.of(request.place, self.name)[identity] = record
        return Physical(identity, attributes)

    def update(self, request: Request) -> Physical:
        """Note its new properties; identifiers stay."""
        record = _RECORDS.of(request.place, self.name).get(request.physical_id)
        if record is None:
            message = f"Resource of type '{self.name}' with identifier '{request.physical_id}'"
            raise ResourceFailure(f"{message} was not found.", "NotFound")
        record["properties"] = dict(request.properties)
        return Physical(request.physical_id, record["attributes"])

    def delete(self, request: Request) -> None:
        """Forget it."""
        _RECORDS.of(request.place, self.name).pop(request.physical_id, None)

    def find(self, place: Place, identifier: Mapping[str, str]) -> Physical:
        """One that exists, for an import."""
        identity = "|".join(identifier.values())
        record = _RECORDS.of(place, self.name).get(identity)
        if record is None:
            raise ResourceFailure(f"{self.name} {identity} was not found.", "NotFound")
        return Physical(identity, record["attributes"])

    def taken(self, place: Place, properties: Properties) -> str | None:
        """One with the same identifier exists."""
        names = [path[0] for path in _primary(self.name)]
        if not names or any(name not in properties for name in names):
            return None
        identity = "|".join(str(properties[name]) for name in names)
        if identity not in _RECORDS.of(place, self.name):
            return None
        return f"Resource of type '{self.name}' with identifier '{identity}' already exists."


def _schema(name: str) -> schemas.Schema:
    found = schemas.schema(name)
    if found is None:
        raise ResourceFailure(f"Unrecognized resource type {name}", "InvalidRequest")
    return found


def _primary(name: str) -> list[list[str]]:
    return paths(_schema(name), "primaryIdentifier")


def _filled(name: str, request: Request) -> dict[str, Any]:
    """The properties, with a name where the primary identifier is one and none was given."""
    found, values = _schema(name), dict(request.properties)
    read_only = paths(found, "readOnlyProperties")
    for path in _primary(name):
        if path not in read_only and path[0] not in values:
            values[path[0]] = request.name(255)
    return values


def _identity(name: str, request: Request, values: Mapping[str, Any]) -> str:
    primary = _primary(name)
    made_up = _made_up(name)
    parts = [
        str(values[path[0]]) if path[0] in values else _value(name, request, path, made_up)
        for path in primary
    ]
    return "|".join(parts) or made_up


def _made_up(name: str) -> str:
    return f"{name.rpartition('::')[2].lower()}-{secrets.token_hex(8)}"


def _attributes(
    name: str, request: Request, identity: str, values: Mapping[str, Any]
) -> dict[str, str]:
    """Values for `Fn::GetAtt`: of the read-only properties, by their definition."""
    found = _schema(name)
    attributes: dict[str, str] = {}
    primary = _primary(name)
    for path in paths(found, "readOnlyProperties"):
        if "*" in path:
            continue
        parts = dict(zip(map(tuple, primary), identity.split("|"), strict=False))
        value = parts.get(tuple(path)) or _value(name, request, path, identity)
        attributes[".".join(path)] = value
    for path in primary:
        if path[0] in values:
            attributes.setdefault(path[0], str(values[path[0]]))
    return attributes


def _value(name: str, request: Request, path: list[str], identity: str) -> str:
    defined = definition(_schema(name), path)
    if "enum" in defined:
        return str(defined["enum"][0])
    kind, last = defined.get("type"), path[-1]
    if kind in ("integer", "number"):
        return str(defined.get("minimum", 1))
    if kind == "boolean":
        return "false"
    if defined.get("format") == "date-time":
        return "2026-01-01T00:00:00Z"
    if last.lower().endswith("arn"):
        _, service, resource = name.lower().split("::")
        place = request.place
        return f"arn:aws:{service}:{place.region}:{place.account}:{resource}/{identity}"
    return f"{last.lower()}-{secrets.token_hex(6)}"


def _learn_replacements(name: str) -> None:
    """Tell ministack what replaces a resource of this type, once one exists."""
    create_only = paths(_schema(name), "createOnlyProperties")
    registration.set_replacing(name, tuple(path[0] for path in create_only))


def started() -> None:
    """After a restart: the types in use are learnt again."""
    for _, kind, _, _ in _RECORDS.everywhere():
        _learn_replacements(kind)


def inventory() -> list[tuple[Place, str, str]]:
    """What exists, for checks that nothing was left behind."""
    return [(place, kind, name) for place, kind, name, _ in _RECORDS.everywhere()]


def remaining(known: set[str]) -> tuple[ResourceType, ...]:
    """A generic type for each that CloudFormation knows and the lab does not."""
    return tuple(
        Generic(name)
        for name in schemas.names()
        if name not in known and not name.startswith(_LEFT_OUT)
    )


EXTENSION = Extension(saved=(_RECORDS.saved(),), started=started, inventory=inventory)
