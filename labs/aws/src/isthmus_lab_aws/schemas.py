"""AWS's published resource schemas, as cfn-lint carries them: properties, rights, read-only ones.

Read from its data files without importing cfn-lint, whose import takes a second and 100 MB.
Source: https://docs.aws.amazon.com/cloudformation-cli/latest/userguide/resource-type-schema.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from isthmus_lab_aws.resource import Properties, Request, ResourceType

Schema = Mapping[str, Any]


@cache
def _folder() -> Path:
    found = find_spec("cfnlint")
    if found is None or found.origin is None:
        raise RuntimeError(
            "cfn-lint is not installed; install isthmus-lab-aws with its dependencies"
        )
    return Path(found.origin).parent / "data" / "schemas"


@cache
def _index(region: str) -> Mapping[str, str]:
    file = _folder() / "providers" / f"{region}.json"
    if not file.exists():
        file = _folder() / "providers" / "us-east-1.json"
    return cast("Mapping[str, str]", json.loads(file.read_text()))


@cache
def _read(file: str) -> Schema:
    name = file if file.endswith(".json") else f"{file}.json"
    return cast("Schema", json.loads((_folder() / "resources" / name).read_text()))


def schema(name: str, region: str = "us-east-1") -> Schema | None:
    """The schema of a type in a region; None where the region has no such type."""
    file = _index(region).get(name)
    return None if file is None else _read(str(file))


def names(region: str = "us-east-1") -> list[str]:
    """Every type that the region has."""
    return sorted(_index(region))


def wrong_properties(operation: str, kind: ResourceType, request: Request) -> str | None:
    """Why CloudFormation refuses these properties: unknown, missing or read-only ones.

    The top level only: cfn-lint checks what is below when a template is accepted.
    """
    if operation == "delete":
        return None
    found = schema(kind.name, request.place.region)
    if found is None:
        return None
    wrong = _wrong(found, request.properties)
    if not wrong:
        return None
    return f"Properties validation failed for resource {request.logical_id} with message: {wrong}"


def _wrong(found: Schema, properties: Properties) -> str:
    known: Mapping[str, Any] = found["properties"]
    read_only = set(cast("list[str]", found.get("readOnlyProperties", [])))
    extraneous = [
        f"#: extraneous key [{key}] is not permitted" for key in properties if key not in known
    ]
    missing = [
        f"#: required key [{key}] not found"
        for key in cast("list[str]", found.get("required", []))
        if key not in properties
    ]
    forbidden = [
        f"#: Encountered unsupported property {key}"
        for key in properties
        if f"/properties/{key}" in read_only
    ]
    return "\n".join([*extraneous, *missing, *forbidden])


_MUTATING = {
    "create": ("Create", "Run", "Put", "Register", "Change", "Allocate", "Request"),
    "update": ("Modify", "Update", "Set", "Put", "Change", "Authorize", "Configure"),
    "delete": ("Delete", "Terminate", "Deregister", "Change", "Release", "Schedule"),
}

_WITHOUT_HANDLERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "AWS::EMR::Cluster": {
        "create": ("elasticmapreduce:RunJobFlow",),
        "update": (
            "elasticmapreduce:ModifyInstanceGroups",
            "elasticmapreduce:PutManagedScalingPolicy",
        ),
        "delete": ("elasticmapreduce:TerminateJobFlows",),
    },
}
"""Old types whose schemas do not say which rights their handlers need."""


@cache
def needed_actions(name: str, operation: str) -> tuple[str, ...]:
    """The IAM actions of which CloudFormation needs at least one for this operation.

    A schema lists every action that any property may need. The one that bears the type's name
    (`rds:CreateDBCluster`) is always needed; where there is none, any mutating one will do.
    """
    if name in _WITHOUT_HANDLERS:
        return _WITHOUT_HANDLERS[name][operation]
    found = schema(name)
    handlers: Mapping[str, Any] = found.get("handlers", {}) if found else {}
    listed = cast("list[str]", handlers.get(operation, {}).get("permissions", []))
    prefix = _own_prefix(cast("list[str]", handlers.get("create", {}).get("permissions", [])))
    mutating = [
        action
        for action in listed
        if action.startswith(f"{prefix}:")
        and action.partition(":")[2].startswith(_MUTATING[operation])
    ]
    noun = name.rpartition("::")[2].lower()
    verbs = [verb.lower() for verb in _MUTATING[operation]]
    exact = [
        action
        for action in mutating
        if action.partition(":")[2].lower() in {f"{verb}{noun}" for verb in verbs}
    ]
    return tuple(exact[:1] or mutating)


def _own_prefix(actions: list[str]) -> str:
    prefixes = [action.partition(":")[0] for action in actions]
    return max(prefixes, key=prefixes.count, default="")
