"""What the contract test asks of each resource type; the fidelity table is made from it as well.

`NAME` stands for a name of the test's own. `read` asks the service's own API, so that an update
counts only once the service shows it.
"""

from __future__ import annotations

import json
from typing import Any

from labs.aws.tests.contract_basics import BASICS
from labs.aws.tests.contract_parts import Part, att
from labs.aws.tests.contract_services import SERVICES

GROUPS: dict[str, dict[str, Part]] = {**BASICS, **SERVICES}


def template(group: str, name: str, *, changed: bool) -> dict[str, Any]:
    """The template of a group, before or after its update, with all attributes as outputs."""
    parts = GROUPS[group]
    resources = {
        logical: {
            "Type": part.type,
            **(
                {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}
                if part.type.startswith("AWS::RDS::DB") or "Redshift::Cluster" in part.type
                else {}
            ),
            "Properties": {**part.properties, **((part.change or {}) if changed else {})},
        }
        for logical, part in parts.items()
    }
    outputs = {
        f"{logical}{number}": {"Value": att(logical, attribute)}
        for logical, part in parts.items()
        for number, attribute in enumerate(part.attributes)
    }
    document = {"Resources": resources, "Outputs": outputs}
    return json.loads(json.dumps(document).replace("NAME", name))


def cases() -> dict[str, Part]:
    """The fullest part of each type."""
    found: dict[str, Part] = {}
    for parts in GROUPS.values():
        for part in parts.values():
            known = found.get(part.type)
            if known is None or (part.change is not None and known.change is None):
                found[part.type] = part
    return found
