"""Lint of an offering's schemas and of the values held against them: parameters, plans, prices."""

from collections.abc import Iterator
from typing import Any, cast

import jsonschema_rs
from pydantic import ValidationError

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import OfferingSpec, Plan, PriceComponent
from isthmus.core import addresses, automatic, schemas
from isthmus.core.findings import Finding
from isthmus.core.render import as_text

_HELP = ("title", "description")


def parameters(spec: OfferingSpec) -> Iterator[Finding]:
    """Every parameter says what it is for, whether it can change, and has a fitting default."""
    path = "spec.parameters"
    yield from _schema(path, spec.parameters, updatable=True)
    for name, schema in _properties(spec.parameters).items():
        if schema.get("writeOnly") is True and "default" in schema:
            message = "a secret cannot have a default; remove it"
            yield Finding(path=f"{path}.properties.{name}.default", message=message, rule="secret")
        elif "default" in schema:
            at = f"{path}.properties.{name}.default"
            yield from _fits(at, {name: schema["default"]}, spec.parameters)


def choices(spec: OfferingSpec) -> Iterator[Finding]:
    """What ``x-auto`` chooses among, and by what, are values that their parameters may have."""
    known = _properties(spec.parameters)
    for name, schema in known.items():
        if automatic.KEYWORD not in schema:
            continue
        at = f"spec.parameters.properties.{name}.{automatic.KEYWORD}"
        try:
            choice = automatic.Choice.model_validate(schema[automatic.KEYWORD])
        except ValidationError as exc:
            where, message = automatic.mistake(exc)
            yield Finding(path=at + where, message=message, rule="auto")
            continue
        yield from _fits(at, {name: automatic.AUTO}, spec.parameters)
        yield from _fits(f"{at}.there", {name: choice.there}, spec.parameters)
        yield from _fits(f"{at}.absent", {name: choice.absent}, spec.parameters)
        for other, value in choice.when.items():
            if other not in known:
                message = f"no parameter {other!r}; there are: {_list(known)}"
                yield Finding(path=f"{at}.when.{other}", message=message, rule="auto")
            else:
                yield from _fits(f"{at}.when.{other}", {other: value}, spec.parameters)


def plans(spec: OfferingSpec) -> Iterator[Finding]:
    """A plan's values fit the schema one by one; what it fixes has a value."""
    known = _properties(spec.parameters)
    for index, plan in enumerate(spec.plans):
        path = f"spec.plans[{index}]"
        yield from _values(f"{path}.parameters", plan, spec.parameters)
        for number, name in enumerate(plan.fixed):
            if name not in known:
                message = f"no parameter {name!r}; there are: {_list(known)}"
                yield Finding(path=f"{path}.fixed[{number}]", message=message, rule="plan")
            elif name not in plan.parameters and "default" not in known[name]:
                message = f"{name!r} is fixed but has no value; give it one in the plan"
                yield Finding(path=f"{path}.fixed[{number}]", message=message, rule="plan")


def inputs(spec: OfferingSpec) -> Iterator[Finding]:
    """The inputs of bindings and actions explain themselves as well."""
    if spec.binding is not None:
        yield from _schema("spec.binding.parameters", spec.binding.parameters, updatable=False)
    for index, action in enumerate(spec.actions):
        path = f"spec.actions[{index}].parameters"
        yield from _schema(path, action.parameters, updatable=False)


def prices(spec: OfferingSpec) -> Iterator[Finding]:
    """A price speaks only of parameters, values, plans and drivers that there are."""
    names = {plan.name for plan in spec.plans}
    for number, prices in enumerate(spec.prices):
        path = f"spec.prices[{number}]"
        if prices.driver not in spec.stacks:
            message = f"no stack for driver {prices.driver!r}; there are: {_list(spec.stacks)}"
            yield Finding(path=f"{path}.driver", message=message, rule="price")
        for index, part in enumerate(prices.hourly):
            at = f"{path}.hourly[{index}]"
            yield from _price(at, part, spec.parameters)
            for unknown in sorted(set(part.plans) - names):
                message = f"no plan {unknown!r}; there are: {_list(names)}"
                yield Finding(path=f"{at}.plans", message=message, rule="price")


def _price(path: str, part: PriceComponent, schema: Json) -> Iterator[Finding]:
    known = _properties(schema)
    if (part.amount is None) == (not part.by) or bool(part.by) != bool(part.amounts):
        message = "give either `amount`, or `by` with `amounts`"
        yield Finding(path=path, message=message, rule="price")
    for field, name in (("by", part.by), *(("times", factor) for factor in part.times)):
        if name and name not in known:
            message = f"no parameter {name!r}; there are: {_list(known)}"
            yield Finding(path=f"{path}.{field}", message=message, rule="price")
    allowed: Any = known.get(part.by, {}).get("enum")
    if isinstance(allowed, list):
        texts = {as_text(value) for value in allowed}  # pyright: ignore[reportUnknownVariableType]
        for unknown in sorted(set(part.amounts) - texts):
            message = f"parameter {part.by!r} has no value {unknown!r}"
            yield Finding(path=f"{path}.amounts.{unknown}", message=message, rule="price")


def _schema(path: str, schema: Json, *, updatable: bool) -> Iterator[Finding]:
    if problem := _invalid(schema):
        yield Finding(path=path, message=problem, rule="schema")
        return
    for name, prop in _properties(schema).items():
        at = f"{path}.properties.{name}"
        for field in _HELP:
            if not isinstance(prop.get(field), str) or not prop[field]:
                yield Finding(path=at, message=f"has no `{field}`; write one", rule="help")
        yield from _own_rules(at, prop, schema)
        if updatable and not isinstance(prop.get(schemas.UPDATABLE), bool):
            message = f"say with `{schemas.UPDATABLE}: true` or `false` whether it can change"
            yield Finding(path=at, message=message, rule="updatable")


def _own_rules(path: str, prop: Json, schema: Json) -> Iterator[Finding]:
    """Our own keywords: of these the schema's validator knows nothing."""
    within: Any = prop.get(addresses.WITHIN)
    apart: Any = prop.get(addresses.APART, [])
    named = cast("list[Any]", apart if isinstance(apart, list) else [apart])
    for name in named if within is None else [*named, within]:
        if str(name) not in schemas.properties(schema):
            message = f"no parameter {name!r}; there are: {_list(schemas.properties(schema))}"
            yield Finding(path=path, message=message, rule="schema")
    prefix: Any = prop.get(addresses.PREFIX, {"from": 0, "to": 0})
    if not isinstance(prefix, dict) or not all(isinstance(prefix.get(k), int) for k in _BITS):  # pyright: ignore[reportUnknownMemberType]
        message = f"write `{addresses.PREFIX}: {{from: 8, to: 28}}`"
        yield Finding(path=path, message=message, rule="schema")
    if not isinstance(prop.get(schemas.REMEDY, ""), str):
        yield Finding(path=path, message=f"`{schemas.REMEDY}` must be text", rule="schema")


_BITS = ("from", "to")


def _invalid(schema: Json) -> str:
    properties: Any = schema.get("properties", {})
    if not isinstance(properties, dict):
        return "`properties` must be an object"
    if any(not isinstance(prop, dict) for prop in properties.values()):  # pyright: ignore[reportUnknownVariableType,reportUnknownMemberType]
        return "every property must be an object"
    try:
        schemas.strict(schema)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as exc:
        return f"it is no JSON Schema: {str(exc).splitlines()[0]}"
    return ""


def _values(path: str, plan: Plan, schema: Json) -> Iterator[Finding]:
    known = _properties(schema)
    for name, value in plan.parameters.items():
        if name not in known:
            message = f"no parameter {name!r}; there are: {_list(known)}"
            yield Finding(path=f"{path}.{name}", message=message, rule="plan")
        elif known[name].get("writeOnly") is True:
            message = "a plan cannot hold a secret; remove it"
            yield Finding(path=f"{path}.{name}", message=message, rule="secret")
        else:
            yield from _fits(f"{path}.{name}", {name: value}, schema)


def _fits(path: str, value: Json, schema: Json) -> Iterator[Finding]:
    only = {"properties": {k: p for k, p in _properties(schema).items() if k in value}}
    for message in _errors(only, value):
        yield Finding(path=path, message=message, rule="value")


def _errors(schema: Json, value: Json) -> Iterator[str]:
    try:
        for error in schemas.strict(schema).iter_errors(value):
            yield error.message
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        return  # The schema itself is wrong, which is said where it is written.


def _properties(schema: Json) -> dict[str, Json]:
    return schemas.properties(schema) if not _invalid(schema) else {}


def _list(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
