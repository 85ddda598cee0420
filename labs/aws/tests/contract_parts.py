"""What a case of the contract test is made of: a resource of a template and what is asked of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Read = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Part:
    """One resource of a group.

    `attributes` must resolve to a value; `change` is applied in an update, which must keep the
    physical id; `read` must give `after` once it is applied.
    """

    type: str
    properties: dict[str, Any] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    change: dict[str, Any] | None = None
    read: Read | None = None
    after: Any = None


def ref(logical_id: str) -> dict[str, str]:
    return {"Ref": logical_id}


def att(logical_id: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [logical_id, attribute]}


def trust(service: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def allow(action: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}
