"""Templates as they look with values in them, so that a native linter can read an offering.

A value comes from the plan or the schema's default, else it is made up from the schema. What cannot
be made up stays its placeholder: nobody can say anything about it before there is a value.
"""

from collections.abc import Iterator
from typing import Any, cast

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import OfferingSpec, Plan
from isthmus.core import schemas
from isthmus.core.catalog import Scope, usual
from isthmus.core.render import substitute
from isthmus.errors import InvalidSpec


def rendered(definition: OfferingSpec, driver: str) -> Iterator[Json]:
    """Yield the driver's template with the values of each plan; equal ones once."""
    seen: list[Json] = []
    for plan in definition.plans:
        scope = Scope(values=values(definition, plan), name="name", namespace="team", uid="uid")
        try:
            template = substitute(definition.stacks[driver].template, scope.of_stack())
        except InvalidSpec:
            continue  # An unknown placeholder is told by ``lint``.
        if template not in seen:
            seen.append(template)
            yield template


def values(definition: OfferingSpec, plan: Plan) -> Json:
    """Return a value for every parameter."""
    known = usual(definition, plan)
    return {
        name: known[name] if name in known else _made_up(name, schema)
        for name, schema in schemas.properties(definition.parameters).items()
    }


def undecided(message: str) -> bool:
    """Tell whether a finding only speaks of a placeholder that has no value yet."""
    return "${" in message


def _made_up(name: str, schema: Json) -> Any:
    for key in ("enum", "examples"):
        if listed := cast("list[Any]", schema.get(key) or []):
            return listed[0]
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    plain: Json = {"boolean": False, "array": [], "object": {}}
    return plain.get(str(kind), f"${{{name}}}")
