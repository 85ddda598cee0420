"""Schemas of the OpenAPI documents: what `kubectl explain` tells and generated clients are made of.

Those of built-in kinds are Kubernetes' own, in `published.json` (copyright The Kubernetes Authors,
Apache License 2.0; `tests/published.py` chooses them from the documents of a kube-apiserver): they
only describe, `kinds` validates. Those of custom kinds are made of their definitions.
"""

from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any, cast

import orjson

from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.resources import Resource

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_GVK = "x-kubernetes-group-version-kind"
_EMBEDDED = "x-kubernetes-embedded-resource"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_VERSION_WORDS = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should"
    " convert recognized schemas to the latest internal value, and may reject unrecognized values."
    f" More info: {_CONVENTIONS}#resources"
)
_KIND_WORDS = (
    "Kind is a string value representing the REST resource this object represents. Servers may"
    " infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase."
    f" More info: {_CONVENTIONS}#types-kinds"
)


def _text(words: str) -> Json:
    return {"type": "string", "description": words}


def reference(name: str) -> Json:
    """A reference to a definition."""
    return {"$ref": f"#/components/schemas/{name}"}


def _metadata(name: str, words: str) -> Json:
    return {"description": words, "allOf": [reference(META + name)]}


_API_VERSION, _KIND = _text(_VERSION_WORDS), _text(_KIND_WORDS)
_TYPE_META: Json = {"apiVersion": _API_VERSION, "kind": _KIND}
_OBJECT_META = _metadata(
    "ObjectMeta", f"Standard object's metadata. More info: {_CONVENTIONS}#metadata"
)
_LIST_META = _metadata("ListMeta", f"Standard list metadata. More info: {_CONVENTIONS}#types-kinds")
_WITHIN: Json = {
    "apiVersion": _text(
        "apiVersion defines the versioned schema of this representation of an object. More info:"
        f" {_CONVENTIONS}#resources"
    ),
    "kind": _text(
        "kind is a string value representing the type of this object. In CamelCase. More info:"
        f" {_CONVENTIONS}#types-kinds"
    ),
    "metadata": _OBJECT_META,
}
"""What every embedded resource has."""


class _Published:
    """Kubernetes' definitions of built-in kinds, read once and never changed."""

    def __init__(self) -> None:
        file = resources.files("isthmus.apiserver") / "published.json"
        self.definitions: dict[str, Json] = orjson.loads(file.read_bytes())
        self.names = {
            _place(gvk): name
            for name, schema in self.definitions.items()
            for gvk in as_list(schema.get(_GVK))
        }
        self._needed: dict[str, dict[str, Json]] = {}

    def needed(self, name: str) -> dict[str, Json]:
        """A definition, and those that it refers to."""
        found = self._needed.get(name)
        if found is None:
            found, wanted = dict[str, Json](), [name]
            while wanted:
                each = wanted.pop()
                if each not in found:
                    found[each] = self.definitions[each]
                    wanted += _references(found[each])
            self._needed[name] = found
        return found


@cache
def _published() -> _Published:
    return _Published()


class Schemas:
    """The definitions of one document, collected while its paths are described."""

    def __init__(self) -> None:
        self._published = _published()
        self.found: dict[str, Json] = {}
        """Definitions by name."""
        self.custom: set[str] = set()
        """Names of those that a CustomResourceDefinition brings."""

    def of_kind(self, group: str, kind: str) -> str:
        """The name of a built-in kind in version v1, such as `TokenRequest`."""
        return self.known(self._published.names[(group, "v1", kind)])

    def known(self, name: str) -> str:
        """The same name; its definition, and those that it refers to, are now found."""
        self.found |= self._published.needed(name)
        return name

    def of(self, resource: Resource) -> tuple[str, str]:
        """The names of a resource's kind and of its lists."""
        if not resource.custom:
            return (
                self.of_kind(resource.group, resource.kind),
                self.of_kind(resource.group, resource.kind + "List"),
            )
        prefix = ".".join((*reversed(resource.group.split(".")), resource.version))
        name, listed = f"{prefix}.{resource.kind}", f"{prefix}.{resource.list_kind}"
        self.known(META + "ObjectMeta")
        self.known(META + "ListMeta")
        self.found[name] = custom(resource)
        self.found[listed] = _list(resource, name)
        self.custom |= {name, listed}
        return name, listed


def _place(gvk: Json) -> tuple[str, str, str]:
    return gvk["group"], gvk["version"], gvk["kind"]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        part = cast("Json", value)
        target = part.get("$ref")
        if isinstance(target, str):
            yield target.rpartition("/")[2]
        for inner in part.values():
            if isinstance(inner, dict | list):
                yield from _references(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _references(inner)


def custom(resource: Resource) -> Json:
    """The schema of a custom kind, with what every object has."""
    schema = dict(resource.schema.raw)
    fields = as_map(schema.pop("properties", None))
    own = {name: part for name, part in fields.items() if name not in ("metadata", *_TYPE_META)}
    schema = cast("Json", _told(schema))
    schema["properties"] = {
        **_TYPE_META,
        "metadata": _OBJECT_META,
        **{name: _told(part) for name, part in own.items()},
    }
    return {**schema, **_named(resource, resource.kind)}


def _list(resource: Resource, name: str) -> Json:
    items: Json = {
        "description": f"List of {resource.plural}. More info: {_CONVENTIONS}",
        "type": "array",
        "items": reference(name),
    }
    return {
        "description": f"{resource.list_kind} is a list of {resource.kind}",
        "type": "object",
        "required": ["items"],
        "properties": {**_TYPE_META, "items": items, "metadata": _LIST_META},
        **_named(resource, resource.list_kind),
    }


def _named(resource: Resource, kind: str) -> Json:
    out: Json = {_GVK: [{"group": resource.group, "version": resource.version, "kind": kind}]}
    if resource.selectable:
        paths = [{"fieldPath": path} for path in sorted(resource.selectable)]
        out["x-kubernetes-selectable-fields"] = paths
    return out


def _told(value: Any) -> Any:
    """A part of a structural schema as Kubernetes publishes it.

    What goes without saying of embedded resources and of numbers that may be texts is said.
    """
    if isinstance(value, list):
        return [_told(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    schema: Json = {name: _told(part) for name, part in cast("Json", value).items()}
    if schema.get(_INT_OR_STRING) is True:
        schema.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
        schema.pop("type", None)
    if schema.get(_EMBEDDED) is True:
        schema["properties"] = {**as_map(schema.get("properties")), **_WITHIN}
        schema["required"] = [*schema.get("required", ()), "kind", "apiVersion"]
    return schema
