"""Write what Heat knows of its resource types to a file, for the offline lint of the product.

Run it with the Python of the lab's own environment, where Heat is installed:

    ~/.cache/isthmus-lab-openstack/*/venv/bin/python labs/openstack/write_heat_schema.py \
        src/isthmus/drivers/openstack/heat_types.json

Heat's API shows only the types whose services a cloud has; here all of them are wanted. One type a
line, so that the difference of two versions can be read. Kept are the names of attributes and, of
each property, its type, whether it is required, and the values it may have.
"""

import json
import sys
from pathlib import Path
from typing import Any

from heat.engine import constraints, resources, support

GONE = (support.HIDDEN,)
"""Support states of types that nobody can use any more."""


def main(target: str) -> None:
    """Write the target."""
    resources.initialise()
    env = resources.global_env()
    lines = []
    for name in sorted(env.get_types()):
        if not name.startswith("OS::"):
            continue
        kind = env.get_class(name)
        if kind.support_status.status not in GONE:
            lines.append(f"{json.dumps(name)}: {json.dumps(_short(kind), sort_keys=True)}")
    Path(target).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _short(kind: Any) -> dict[str, Any]:
    attributes = set(kind.attributes_schema) | set(kind.base_attributes_schema)
    properties = {name: _property(p) for name, p in kind.properties_schema.items()}
    return {"attributes": sorted(attributes), "properties": properties}


def _property(declared: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {"type": declared.type.lower()}
    if declared.required:
        kept["required"] = True
    for constraint in declared.constraints:
        if isinstance(constraint, constraints.AllowedValues):
            kept["values"] = list(constraint.allowed)
    nested = declared.schema or {}
    if kept["type"] == "map" and nested:
        kept["map"] = {name: _property(p) for name, p in nested.items()}
    if kept["type"] == "list" and nested and nested["*"].schema:
        kept["list"] = {name: _property(p) for name, p in nested["*"].schema.items()}
    return kept


if __name__ == "__main__":
    main(*sys.argv[1:])
