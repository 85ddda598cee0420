"""OpenAPI v2, for clients that know no other: what kubectl below 1.27 and some tools read.

It says less than v3: what it has no words for is left out, as Kubernetes does, for such clients
take a wrong word worse than a missing one.
Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v2
"""

from collections.abc import Mapping
from typing import Any, cast

from isthmus.apiserver.jsonvalues import Json, as_list, as_map

_UNSAID = frozenset(("allOf", "anyOf", "oneOf", "not", "nullable", "writeOnly", "default"))
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_ROOT = "x-kubernetes-group-version-kind"


def reference(v3: str) -> str:
    """A reference to a schema, as v2 spells it."""
    return v3.replace("#/components/schemas/", "#/definitions/")


def definition(schema: Json, *, custom: bool) -> Json:
    """A schema of v2.

    Args:
        schema: The one of v3.
        custom: Whether it is that of a CustomResourceDefinition, for which Kubernetes leaves out
            the type of what may be null.
    """
    out = {name: value for name, value in schema.items() if name not in _UNSAID}
    for part in (schema, *as_list(schema.get("allOf"))):
        if "$ref" in part:  # In v3 a description beside a reference needs `allOf`.
            out |= {"$ref": reference(part["$ref"])}
    _untype(schema, out, custom=custom)
    parts = as_map(out.get("properties"))
    if parts:
        out["properties"] = {n: definition(part, custom=custom) for n, part in parts.items()}
    for name in ("items", "additionalProperties"):
        if isinstance(out.get(name), dict):
            out[name] = definition(cast("Json", out[name]), custom=custom)
    if custom and "required" in out:
        out["required"] = [n for n in out["required"] if not as_map(parts.get(n)).get("nullable")]
        if not out["required"]:
            del out["required"]
    return out


def _untype(schema: Json, out: Json, *, custom: bool) -> None:
    """Leave out what readers would hold against what is valid."""
    nullable = custom and bool(schema.get("nullable"))
    if nullable or schema.get(_PRESERVE):
        for name in ("items", "properties", "required"):
            out.pop(name, None)
        if nullable or out.get("type") == "object":
            out.pop("type", None)
    if out.get("type") == "array" and "items" not in out:
        del out["type"]
    if "oneOf" in schema and not custom:  # A quantity: a text, though a number is taken for one.
        out["type"] = "string"
    if custom and _ROOT in schema:
        out["type"] = "object"
        out.pop(_PRESERVE, None)


def paths(v3: Mapping[str, Json]) -> Json:
    """The paths of v2."""
    return {path: {name: _part(part) for name, part in item.items()} for path, item in v3.items()}


def parameters(v3: Mapping[str, Json]) -> Json:
    """The parameters that operations refer to."""
    return {name: _parameter(parameter) for name, parameter in v3.items()}


def _part(part: Any) -> Any:
    if isinstance(part, list):
        return [_parameter(place) for place in cast("list[Json]", part)]
    return _operation(part)


def _parameter(parameter: Json) -> Json:
    if "$ref" in parameter:
        return {"$ref": parameter["$ref"].replace("#/components/", "#/")}
    plain = {name: value for name, value in parameter.items() if name != "schema"}
    return plain | parameter["schema"]


def _operation(operation: Json) -> Json:
    out = dict(operation)
    given = [_parameter(p) for p in out.pop("parameters")]
    body = out.pop("requestBody", None)
    if body is not None:
        out["consumes"] = list(body["content"])
        needed = {"required": True} if body.get("required") else {}
        given.insert(0, {"name": "body", "in": "body", **needed, "schema": _schema(body)})
    if given:
        out["parameters"] = given
    out["produces"] = list(operation["responses"]["200"]["content"])
    out["responses"] = {
        code: {"description": answer["description"]}
        | ({"schema": _schema(answer)} if "content" in answer else {})
        for code, answer in operation["responses"].items()
    }
    return out


def _schema(part: Json) -> Json:
    """The schema of a body, which is the same in every form."""
    first = next(iter(part["content"].values()))
    return {"$ref": reference(first["schema"]["$ref"])}
