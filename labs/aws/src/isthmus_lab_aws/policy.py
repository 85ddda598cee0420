"""Stack policies: which resources of a stack an update may touch.

Source: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/protect-stack-resources.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, cast


def refusal(policy: str, action: str, logical_id: str, resource_type: str) -> str | None:
    """Why the policy forbids the action on a resource; None where it allows it.

    Args:
        policy: the policy's JSON; empty allows everything.
        action: `Update:Modify`, `Update:Replace` or `Update:Delete`.
        logical_id: the resource's logical id.
        resource_type: its type, for conditions on `ResourceType`.
    """
    if not policy:
        return None
    statements = _list(json.loads(policy).get("Statement", []))
    allowed = False
    for number, statement in enumerate(statements, 1):
        if not _meets(statement, action, logical_id, resource_type):
            continue
        if statement.get("Effect") == "Deny":
            return (
                f"Action denied by stack policy: Statement [#{number}] does not allow [{action}] "
                f"for resource [LogicalResourceId/{logical_id}]"
            )
        allowed = True
    if allowed:
        return None
    return (
        f"Action not allowed by stack policy: no statement allows [{action}] for resource "
        f"[LogicalResourceId/{logical_id}]"
    )


def _meets(statement: Mapping[str, Any], action: str, logical_id: str, kind: str) -> bool:
    resource = f"LogicalResourceId/{logical_id}"
    return (
        _one_of(statement, "Action", action)
        and _one_of(statement, "Resource", resource)
        and _conditions(statement.get("Condition", {}), kind)
    )


def _one_of(statement: Mapping[str, Any], key: str, value: str) -> bool:
    if f"Not{key}" in statement:
        return not any(fnmatchcase(value, str(p)) for p in _list(statement[f"Not{key}"]))
    return any(fnmatchcase(value, str(p)) for p in _list(statement.get(key, [])))


def _conditions(conditions: Mapping[str, Any], kind: str) -> bool:
    """StringEquals and StringLike on ResourceType, the only key that stack policies have."""
    for operator, keys in conditions.items():
        wanted = [str(value) for value in _list(keys.get("ResourceType", []))]
        met = (
            any(fnmatchcase(kind, value) for value in wanted)
            if operator == "StringLike"
            else kind in wanted
        )
        if not met:
            return False
    return True


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else [value]
