"""From a kind to its CustomResourceDefinition: pure, so that the YAML can be checked in and diffed.

Kubernetes wants a *structural* schema: no ``$ref``, no ``anyOf`` with null.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from typing import Any, cast

from isthmus.api.meta import GROUP, VERSION, Column, Json, Resource

CATEGORY = "isthmus"


def crd(kind: type[Resource[Any, Any]]) -> Json:
    """Return the CustomResourceDefinition manifest of one kind."""
    names = kind.names
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": names.qualified},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if names.namespaced else "Cluster",
            "names": {
                "kind": names.kind,
                "listKind": f"{names.kind}List",
                "plural": names.plural,
                "singular": names.kind.lower(),
                "shortNames": list(names.short),
                "categories": [CATEGORY],
            },
            "versions": [_version(kind)],
        },
    }


def _version(kind: type[Resource[Any, Any]]) -> Json:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}} | _scale(kind),
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": _schema(kind)},
    }


def _scale(kind: type[Resource[Any, Any]]) -> Json:
    if kind.scale is None:
        return {}
    paths = {"specReplicasPath": kind.scale.spec, "statusReplicasPath": kind.scale.status}
    return {"scale": paths}


def _column(column: Column) -> Json:
    body = {"name": column.name, "type": column.type, "jsonPath": column.json_path}
    return body | ({"priority": column.priority} if column.priority else {})


def _schema(kind: type[Resource[Any, Any]]) -> Json:
    schema = structural(kind.model_json_schema(by_alias=True))
    parts: Json = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": schema["properties"]["spec"],
        # Without a default: a fresh object has no status until a controller has looked at it.
        "status": {k: v for k, v in schema["properties"]["status"].items() if k != "default"},
    }
    return {
        "type": "object",
        "description": schema.get("description", ""),
        "required": ["spec"],
        "properties": parts,
    }


def structural(schema: Json) -> Json:
    """Inline every ``$ref`` and turn ``anyOf [T, null]`` into ``nullable``."""
    defs = cast("dict[str, Json]", schema.get("$defs", {}))
    return _walk(schema, defs)


def _walk(node: Any, defs: dict[str, Json]) -> Any:
    if isinstance(node, list):
        return [_walk(item, defs) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    node = _unref(cast("Json", node), defs)
    return _plain({key: _child(key, value, defs) for key, value in node.items()})


def _child(key: str, value: Any, defs: dict[str, Json]) -> Any:
    """Keys of ``properties`` are names of fields, not keywords."""
    if key == "properties":
        return {name: _walk(item, defs) for name, item in cast("Json", value).items()}
    return value if key in ("default", "enum") else _walk(value, defs)


def _unref(node: Json, defs: dict[str, Json]) -> Json:
    """Follow ``$ref`` and unwrap ``anyOf [T, null]``; what stands beside them wins."""
    beside = {k: v for k, v in node.items() if k not in ("$ref", "anyOf", "$defs")}
    if ref := cast("str", node.get("$ref", "")):
        return _unref(defs[ref.rsplit("/", 1)[1]] | beside, defs)
    if options := cast("list[Json]", node.get("anyOf", [])):
        kept = [option for option in options if option != {"type": "null"}]
        nullable = {"nullable": True} if len(kept) < len(options) else {}
        return _unref(kept[0], defs) | beside | nullable
    return beside


def _plain(node: Json) -> Json:
    """Drop what a structural schema may not hold; an open object keeps its unknown fields.

    Empty defaults go too: the models have them, and objects stay short. An API server refuses a
    default with a null where the field is an enum, though the field is nullable.
    """
    extra = node.get("additionalProperties")
    dropped = {"title"} if isinstance(node.get("title"), str) else set[str]()
    if isinstance(node.get("default"), dict):
        default = cast("Json", node["default"])
        node = node | {"default": {name: value for name, value in default.items() if value}}
    if not node.get("default", True):
        dropped.add("default")
    if isinstance(extra, bool):
        dropped.add("additionalProperties")
    out = {key: value for key, value in node.items() if key not in dropped}
    if out.get("type") == "object" and extra is True:
        out["x-kubernetes-preserve-unknown-fields"] = True
    return out
