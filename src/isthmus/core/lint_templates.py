"""Lint of an offering's placeholders: each is known where it stands, each parameter is used."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import OfferingSpec, StackTemplate
from isthmus.core import render, schemas
from isthmus.core.findings import Finding

_INSTANCE = frozenset({"isthmus.name", "isthmus.namespace", "isthmus.uid"})
_PROVIDER = frozenset(f"provider.{x}" for x in ("name", "driver", "region", "account"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """A part of the offering, and the names that may stand in it."""

    path: str
    node: Any
    names: Collection[str]
    engine: bool = False
    """Whether the engine's own placeholders mean something here."""
    later: Collection[str] = ()
    """Names that only the driver knows, such as ``resources.Bucket`` and ``call.token``; in a
    template the resources that the engine's placeholders may speak of."""
    any_credential: bool = False


def placeholders(spec: OfferingSpec) -> Iterator[Finding]:
    """Every placeholder is closed, well formed, and known in its place."""
    for place in _places(spec):
        for path, text in _strings(place.node, place.path):
            yield from _check(place, path, text)


def unused(spec: OfferingSpec) -> Iterator[Finding]:
    """Every parameter has an effect: in a stack, or on what the others may be."""
    used = {name for place in _places(spec) for _, name in render.placeholders(place.node)}
    used |= set(_conditions({k: v for k, v in spec.parameters.items() if k != "properties"}))
    for name in schemas.properties(_safe(spec.parameters)):
        if name not in used:
            message = f"no template uses ${{{name}}}; use it or remove the parameter"
            yield Finding(path=f"spec.parameters.properties.{name}", message=message, rule="unused")


def secrets(spec: OfferingSpec) -> Iterator[Finding]:
    """A secret parameter stands alone and only in a stack's ``parameters``."""
    names = schemas.secret_names(_safe(spec.parameters))
    for place in _places(spec):
        of_stack = re.fullmatch(r"spec\.stacks\.[^.]+\.parameters", place.path) is not None
        for path, text in _strings(place.node, place.path):
            for name in sorted({n for _, n in render.placeholders(text)} & names):
                if not of_stack:
                    message = f"secret ${{{name}}} may stand only in the stack's `parameters`"
                    yield Finding(path=path, message=message, rule="secret")
                elif text != f"${{{name}}}":
                    message = f"secret ${{{name}}} must stand alone, without other text"
                    yield Finding(path=path, message=message, rule="secret")


def _check(place: _Place, path: str, text: str) -> Iterator[Finding]:
    if "${" in render.PLACEHOLDER.sub("", text):
        message = "a placeholder is not closed; write ${name}, or $${ for a literal ${"
        yield Finding(path=path, message=message, rule="placeholder")
    ours = {name for _, name in render.placeholders(text)}
    for match in render.PLACEHOLDER.finditer(text):
        name: str | None = match[1]
        if name is None or name in ours:
            continue
        if not (_of_engine(name, place.later) if place.engine else name in place.later):
            message = f"${{{name}}} is no name that can stand here"
            yield Finding(path=path, message=message, rule="placeholder")
    for name in sorted(ours):
        if name in place.names or (place.any_credential and name.startswith("credential.")):
            continue
        message = f"${{{name}}} is not known here; known are: {_similar(name, place.names)}"
        yield Finding(path=path, message=message, rule="placeholder")


def _of_engine(name: str, resources: Collection[str]) -> bool:
    """``AWS::Region``, ``Queue.Arn`` of a resource ``Queue``; a shell's name elsewhere."""
    head, dot, _ = name.partition(".")
    return "::" in name or f"resources.{head}" in resources or not (resources or dot)


def _places(spec: OfferingSpec) -> Iterator[_Place]:
    own = set(schemas.properties(_safe(spec.parameters))) | _INSTANCE
    for driver, stack in spec.stacks.items():
        path = f"spec.stacks.{driver}"
        use = own | _PROVIDER | _outputs(stack, spec)
        yield _Place(
            path=f"{path}.template",
            node=stack.template,
            names=own,
            engine=True,
            later=_resources(stack, "Resources"),
        )
        yield _Place(path=f"{path}.parameters", node=stack.parameters, names=own)
        yield _Place(
            path=f"{path}.preDelete",
            node=stack.pre_delete,
            names=use - _PROVIDER,
            later=_resources(stack, "Resources", "resources"),
        )
        yield from _of_credentials(path, stack, spec, use)
        yield from _of_actions(path, stack, spec, use)
        yield from _of_handover(path, stack, own | _PROVIDER)
    if spec.binding is not None:
        keys = spec.binding.keys
        known = [own | _PROVIDER | _outputs(stack, spec) for stack in spec.stacks.values()]
        both = set[str].intersection(*known)
        yield _Place(path="spec.binding.keys", node=keys, names=both, any_credential=True)


def _of_credentials(
    path: str, stack: StackTemplate, spec: OfferingSpec, use: set[str]
) -> Iterator[_Place]:
    given = _safe(spec.binding.parameters) if spec.binding is not None else {}
    own = {f"binding.{name}" for name in schemas.properties(given)}
    for index, credential in enumerate(stack.credentials):
        at = f"{path}.credentials[{index}]"
        yield _Place(path=f"{at}.spec", node=credential.spec, names=use | own)
        yield _Place(path=f"{at}.keys", node=credential.keys, names=use | own, any_credential=True)


def _of_actions(
    path: str, stack: StackTemplate, spec: OfferingSpec, use: set[str]
) -> Iterator[_Place]:
    inputs = {action.name: schemas.properties(_safe(action.parameters)) for action in spec.actions}
    for name, calls in stack.actions.items():
        own = {f"action.{parameter}" for parameter in inputs.get(name, {})}
        yield _Place(
            path=f"{path}.actions.{name}", node=calls, names=use | own, later=_of_calls(calls)
        )


def _of_handover(path: str, stack: StackTemplate, use: set[str]) -> Iterator[_Place]:
    if stack.handover is None:
        return
    take = use | {"handover.resource"}
    give = take | {"handover.key"}
    for name, calls, names in (
        ("give", stack.handover.give, give),
        ("withdraw", stack.handover.withdraw, take),
    ):
        at = f"{path}.handover.{name}"
        yield _Place(path=at, node=calls, names=names, later=_of_calls(calls))


def _outputs(stack: StackTemplate, spec: OfferingSpec) -> set[str]:
    """Outputs that the template declares; where it has no such place, whatever is asked for."""
    declared: Any = stack.template.get("Outputs", stack.template.get("outputs"))
    if isinstance(declared, Mapping):
        return {f"outputs.{name}" for name in cast("Mapping[str, Any]", declared)}
    body = spec.model_dump(mode="json")
    return {name for _, name in render.placeholders(body) if name.startswith("outputs.")}


def _resources(stack: StackTemplate, *sections: str) -> set[str]:
    """Resources of the template, where its engine calls them so."""
    declared = [stack.template.get(section) for section in sections]
    found = [cast("Mapping[str, Any]", names) for names in declared if isinstance(names, Mapping)]
    return {f"resources.{name}" for names in found for name in names}


def _of_calls(spec: Json) -> set[str]:
    """Names that an action's calls give to its later parts."""
    calls: Any = spec.get("calls")
    names = {"call.token"}
    for call in cast("list[Any]", calls) if isinstance(calls, list) else []:
        result: Any = cast("Json", call).get("result") if isinstance(call, dict) else None
        if isinstance(result, Mapping):
            names |= {f"result.{name}" for name in cast("Mapping[str, Any]", result)}
    return names


def _conditions(schema: Any) -> Iterator[str]:
    """Names that a schema's ``if``, ``allOf`` and the like speak of."""
    if isinstance(schema, Mapping):
        for key, value in cast("Mapping[str, Any]", schema).items():
            if key == "properties" and isinstance(value, Mapping):
                yield from cast("Mapping[str, Any]", value)
            yield from _conditions(value)
    elif isinstance(schema, list):
        for item in cast("list[Any]", schema):
            yield from _conditions(item)


def _strings(node: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, str):
        yield path, node
    elif isinstance(node, Mapping):
        for key, value in cast("Mapping[str, Any]", node).items():
            yield from _strings(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(cast("list[Any]", node)):
            yield from _strings(value, f"{path}[{index}]")


def _safe(schema: Json) -> Json:
    """Return the schema with only those properties that are objects."""
    given: Any = schema.get("properties")
    if not isinstance(given, Mapping):
        return {}
    properties = cast("Mapping[str, Any]", given)
    return {"properties": {k: p for k, p in properties.items() if isinstance(p, dict)}}


def _similar(name: str, names: Iterable[str]) -> str:
    """List the names of the same family, so that the message stays short."""
    family = name.partition(".")[0] + "." if "." in name else ""
    near = [n for n in names if (n.startswith(family) if family else "." not in n)]
    return ", ".join(sorted(near)) or "none of this kind"
