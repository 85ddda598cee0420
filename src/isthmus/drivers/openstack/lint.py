"""Check HOT templates offline: structure, resource types, their properties, and references.

``heat_types.json`` is what Heat knows of its types; ``labs/openstack/write_heat_schema.py`` writes
it. Whether an image or a flavor exists only a cloud can say: that is the preview's part.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

import orjson

from isthmus.api.meta import Json
from isthmus.core.documents import without_nulls
from isthmus.core.findings import Finding
from isthmus.drivers.openstack import lint_functions
from isthmus.drivers.openstack.lint_functions import Names
from isthmus.drivers.openstack.stateful import STATEFUL_TYPES

_SECTIONS: Final = frozenset(
    {
        "heat_template_version", "description", "parameter_groups", "parameters", "resources",
        "outputs", "conditions", "files", "environment",
    }
)  # fmt: skip
_OF_RESOURCE: Final = frozenset(
    {
        "type", "properties", "metadata", "depends_on", "update_policy", "deletion_policy",
        "external_id", "condition", "description",
    }
)  # fmt: skip
_PARAMETER_TYPES: Final = ("string", "number", "json", "comma_delimited_list", "boolean")
_LITERALS: Final[dict[str, tuple[type, ...]]] = {
    "integer": (int, str),
    "number": (int, float, str),
    "boolean": (bool, str),
    "string": (str, int, float, bool),
    "list": (list, str, dict),
    "map": (dict, str),
}
"""What Python reads for a literal of a type. Heat takes numbers and truth as text, too, and a
mapping may be a function."""


def check(template: Json) -> tuple[Finding, ...]:
    """Return what is wrong with a template; paths are relative to it."""
    return tuple(dict.fromkeys(_document(without_nulls(template), "", {})))


def _document(template: Json, path: str, around: Mapping[str, Any]) -> Iterator[Finding]:
    nested = _mapping(template, "files") or dict(around)
    for name in template.keys() - _SECTIONS:
        yield _found(path, name, f"is no section of HOT; those are: {_list(_SECTIONS)}", "section")
    if not isinstance(template.get("heat_template_version"), str):
        yield _found(path, "heat_template_version", "write a version, like '2021-04-16'", "version")
    resources = _mapping(template, "resources")
    if not resources:
        yield _found(path, "resources", "there are none", "structure")
    names = _names(template, resources, nested)
    own = _own_types(template, nested)
    yield from _parameters(template, path)
    for name, resource in resources.items():
        at = _join(path, f"resources.{name}")
        if isinstance(resource, dict):
            yield from _resource(cast("Json", resource), at, names, own)
        else:
            yield Finding(path=at, message="write a mapping with a type", rule="structure")
    yield from lint_functions.check(resources, _join(path, "resources"), names)
    yield from _outputs(template, path, names)
    for name, content in nested.items():
        if isinstance(content, dict) and "heat_template_version" in content and not around:
            yield from _document(cast("Json", content), _join(path, f"files.{name}"), nested)


def _names(template: Json, resources: Json, nested: Mapping[str, Any]) -> Names:
    parameters = _mapping(template, "parameters")
    return Names(
        parameters=frozenset(parameters),
        hidden=frozenset(n for n, p in parameters.items() if _is_hidden(p)),
        resources={
            name: str(cast("Json", r).get("type", "")) if isinstance(r, dict) else ""
            for name, r in resources.items()
        },
        conditions=frozenset(_mapping(template, "conditions")),
        files=frozenset(nested),
        attributes={kind: frozenset(s["attributes"]) for kind, s in types().items()},
    )


def _own_types(template: Json, nested: Mapping[str, Any]) -> frozenset[str]:
    """Return the types that the template brings along: nested templates, and aliases of types."""
    registry = _mapping(_mapping(template, "environment"), "resource_registry")
    return frozenset(nested) | frozenset(registry)


def _parameters(template: Json, path: str) -> Iterator[Finding]:
    for name, declared in _mapping(template, "parameters").items():
        kind = cast("Json", declared).get("type") if isinstance(declared, dict) else None
        if kind not in _PARAMETER_TYPES:
            message = f"write one of {', '.join(_PARAMETER_TYPES)}"
            yield _found(path, f"parameters.{name}.type", message, "parameter")


def _resource(resource: Json, path: str, names: Names, own: frozenset[str]) -> Iterator[Finding]:
    for key in resource.keys() - _OF_RESOURCE:
        yield _found(
            path, key, f"is no part of a resource; those are: {_list(_OF_RESOURCE)}", "key"
        )
    needed = resource.get("depends_on", [])
    for name in [needed] if isinstance(needed, str) else cast("list[Any]", needed):
        if name not in names.resources:
            yield _found(path, "depends_on", f"there is no resource {name!r}", "reference")
    condition = resource.get("condition")
    if isinstance(condition, str) and condition not in names.conditions:
        yield _found(path, "condition", f"there is no condition {condition!r}", "reference")
    yield from _typed(resource, path, own)


def _typed(resource: Json, path: str, own: frozenset[str]) -> Iterator[Finding]:
    kind = str(resource.get("type", ""))
    properties = _mapping(resource, "properties")
    if kind in own or kind.startswith("AWS::"):
        return
    schema = types().get(kind)
    if schema is None:
        near = difflib.get_close_matches(kind, types(), n=3, cutoff=0.5)
        message = f"there is no type {kind!r}" + (
            f"; did you mean {', '.join(near)}?" if near else ""
        )
        yield _found(path, "type", message, "type")
        return
    if kind in STATEFUL_TYPES and "deletion_policy" not in resource:
        message = "holds data and has no deletion_policy; write Delete, Retain or Snapshot"
        yield Finding(path=path, message=message, rule="deletion-policy")
    yield from _properties(properties, schema["properties"], _join(path, "properties"), kind)
    member: Any = properties.get("resource_def") or properties.get("resource")
    if isinstance(member, dict) and "type" in member:
        at = "resource_def" if "resource_def" in properties else "resource"
        inner = {"deletion_policy": "Delete"} | cast("Json", member)
        yield from _typed(inner, _join(path, f"properties.{at}"), own)


def _properties(given: Json, schema: Json, path: str, kind: str) -> Iterator[Finding]:
    for name in sorted(n for n, p in schema.items() if p.get("required") and n not in given):
        yield _found(path, name, f"{kind} needs it", "required")
    for name, value in given.items():
        declared = schema.get(name)
        if declared is None:
            near = difflib.get_close_matches(name, schema, n=3, cutoff=0.5) or sorted(schema)
            message = f"{kind} has no such property; did you mean {', '.join(near)}?"
            yield _found(path, name, message, "property")
        else:
            yield from _value(value, declared, _join(path, name), kind)


def _value(value: Any, declared: Json, path: str, kind: str) -> Iterator[Finding]:
    if lint_functions.is_function(value):
        return
    wanted = _LITERALS.get(str(declared["type"]))
    if wanted is not None and not isinstance(value, wanted):
        yield Finding(path=path, message=f"must be a {declared['type']}", rule="type")
    elif "values" in declared and not isinstance(value, list | dict):
        if str(value) not in map(str, declared["values"]):
            listed = ", ".join(map(str, declared["values"]))
            yield Finding(path=path, message=f"must be one of {listed}", rule="value")
    elif "map" in declared and isinstance(value, dict):
        yield from _properties(cast("Json", value), declared["map"], path, kind)
    elif "list" in declared and isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            if isinstance(item, dict) and not lint_functions.is_function(item):
                at = f"{path}[{index}]"
                yield from _properties(cast("Json", item), declared["list"], at, kind)


def _outputs(template: Json, path: str, names: Names) -> Iterator[Finding]:
    for name, output in _mapping(template, "outputs").items():
        at = _join(path, f"outputs.{name}")
        if not isinstance(output, dict) or "value" not in output:
            yield Finding(path=at, message="write a value", rule="structure")
            continue
        value = cast("Json", output)["value"]
        yield from lint_functions.check(value, f"{at}.value", names)
        for secret in lint_functions.reads_hidden(value, names):
            message = f"repeats the hidden parameter {secret!r}; outputs are for everybody"
            yield Finding(path=at, message=message, rule="secret")


@cache
def types() -> Mapping[str, Json]:
    """Return what Heat knows of its types: properties and attributes."""
    text = files("isthmus.drivers.openstack").joinpath("heat_types.json").read_bytes()
    return cast("dict[str, Json]", orjson.loads(text))


def _is_hidden(parameter: Any) -> bool:
    return isinstance(parameter, dict) and bool(cast("Json", parameter).get("hidden"))


def _mapping(document: Json, name: str) -> Json:
    found: Any = document.get(name)
    return cast("Json", found) if isinstance(found, dict) else {}


def _found(path: str, name: str, message: str, rule: str) -> Finding:
    return Finding(path=_join(path, name), message=message, rule=rule)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
