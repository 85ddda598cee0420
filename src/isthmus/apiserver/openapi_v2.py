"""OpenAPI v2, for clients that know no other: what kubectl below 1.27 and some tools read.

It says less than v3: what it has no words for is left out, as Kubernetes does, for such clients
take a wrong word worse than a missing one.
Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-v2
"""

from collections.abc import Mapping
from typing import Any, cast

from isthmus.apiserver.jsonvalues import Json, as_list, as_map

_UNSAID = frozenset(("allOf", "anyOf", "oneOf", "not", "nullable", "writeOnly"))
_PRESERVE = "x-kubernetes-preserve-unknown-fields"


def reference(v3: str) -> str:
    """A reference to a schema, as v2 spells it."""
    return v3.replace("#/components/schemas/", "#/definitions/")


def definition(schema: Json, *, custom: bool) -> Json:
    """A schema of v2.

    Args:
        schema: The one of v3.
        custom: Whether it is that of a CustomResourceDefinition, for which Kubernetes leaves out
            the type of what may be null, and every default.
    """
    out = {name: value for name, value in schema.items() if name not in _UNSAID}
    for part in as_list(schema.get("allOf")):
        if "$ref" in part:  # How v3 says a description beside a reference.
            out |= {"$ref": reference(part["$ref"])}
    if custom or "$ref" in out:
        out.pop("default", None)
    _untype(schema, out, nullable=custom and bool(schema.get("nullable")))
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


def _untype(schema: Json, out: Json, *, nullable: bool) -> None:
    """Leave out types that readers would hold against what is valid."""
    if nullable or schema.get(_PRESERVE):
        out.pop("items", None)
        out.pop("properties", None)
        if nullable or out.get("type") == "object":
            out.pop("type", None)
    if out.get("type") == "array" and "items" not in out:
        del out["type"]


def paths(v3: Mapping[str, Json]) -> Json:
    """The paths of v2."""
    return {
        path: {name: _part(part) for name, part in item.items() if part}
        for path, item in v3.items()
    }


def _part(part: Any) -> Any:
    if isinstance(part, list):
        return [_parameter(place) for place in cast("list[Json]", part)]
    return _operation(part)


def _parameter(parameter: Json) -> Json:
    plain = {name: value for name, value in parameter.items() if name != "schema"}
    return plain | parameter["schema"]


def _operation(operation: Json) -> Json:
    out = dict(operation)
    parameters = [_parameter(p) for p in out.pop("parameters")]
    body = out.pop("requestBody", None)
    if body is not None:
        given = {"name": "body", "in": "body", "required": True, "schema": _content(body)}
        parameters.insert(0, given)
    if parameters:
        out["parameters"] = parameters
    out["responses"] = {
        code: {"description": answer["description"], "schema": _content(answer)}
        for code, answer in operation["responses"].items()
    }
    return out


def _content(part: Json) -> Json:
    return {"$ref": reference(part["content"]["application/json"]["schema"]["$ref"])}
