"""OpenAPI documents, from which kubectl explains, validates and merges.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

import hashlib
from typing import Any, cast

import orjson

from isthmus.apiserver import openapi_protobuf, openapi_v2
from isthmus.apiserver.discovery import GIT_VERSION
from isthmus.apiserver.errors import ApiError, unknown_path
from isthmus.apiserver.http import JSON, Request, Response
from isthmus.apiserver.jsonvalues import Json, as_map
from isthmus.apiserver.metadata import SCHEMA as METADATA_SCHEMA
from isthmus.apiserver.resources import Registry, Resource

_METADATA_NAME = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_PROTOBUF_V2 = b"application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
_API_VERSION = (
    "APIVersion defines the versioned schema of this representation of an object. Servers should"
    " convert recognized schemas to the latest internal value, and may reject unrecognized values."
    f" More info: {_CONVENTIONS}#resources"
)
_KIND = (
    "Kind is a string value representing the REST resource this object represents. Servers may"
    " infer this from the endpoint the client submits requests to. Cannot be updated. In CamelCase."
    f" More info: {_CONVENTIONS}#types-kinds"
)
_METADATA = f"Standard object's metadata. More info: {_CONVENTIONS}#metadata"
"""The words of every CustomResourceDefinition in the world, so that `explain` says the same."""
_WRITE_PARAMETERS = ("dryRun", "fieldManager", "fieldValidation")


class OpenApi:
    """Documents per group version, made when they are asked for and kept until kinds change.

    Args:
        registry: What is served.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._documents: dict[tuple[str, str], tuple[bytes, str]] = {}
        self._version2: dict[bytes, tuple[bytes, str]] = {}
        registry.listen(self._forget)

    def _forget(self) -> None:
        self._documents.clear()
        self._version2.clear()

    def answer(self, request: Request, parts: list[str]) -> Response:
        """Answer a path below `/openapi`.

        Raises:
            ApiError: 404, or 406 for a form that is not served.
        """
        accept = request.header(b"accept")
        if parts[1:] == ["v2"]:
            return self._answer_version2(request, accept)
        if parts[1:2] != ["v3"]:
            raise unknown_path()
        if len(parts) == 2:
            return self._index()
        if "openapi.v3" in accept and "json" not in accept:
            raise ApiError(406, "NotAcceptable", "OpenAPI v3 is served as application/json")
        group, version = _group_version(parts[2:])
        return _tagged(request, *self._document(group, version))

    def _index(self) -> Response:
        paths: Json = {}
        for group, versions in self._registry.groups().items():
            for version in versions:
                path = f"apis/{group}/{version}" if group else f"api/{version}"
                digest = self._document(group, version)[1]
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return Response.json({"paths": paths})

    def _answer_version2(self, request: Request, accept: str) -> Response:
        """The whole API in one document; whoever takes protobuf gets that, as in Kubernetes."""
        form = _PROTOBUF_V2 if "proto-openapi.spec.v2" in accept else JSON
        found = self._version2.get(form)
        if found is None:
            document = self._render_version2()
            plain = orjson.dumps(document)
            body = plain if form == JSON else openapi_protobuf.encode(document)
            found = self._version2[form] = (body, _digest(plain))
        response = _tagged(request, *found)
        response.content_type = form
        response.headers.append((b"vary", b"Accept"))
        return response

    def _render_version2(self) -> Json:
        definitions: Json = {
            _METADATA_NAME: openapi_v2.definition(_metadata_schema(), custom=False)
        }
        paths: Json = {}
        for group, versions in self._registry.groups().items():
            for resource in (r for version in versions for r in self._registry.of(group, version)):
                name, schema = _name(resource), _schema(resource)
                definitions[name] = openapi_v2.definition(schema, custom=resource.custom)
                paths |= openapi_v2.paths(_paths(resource, _reference(name)))
        return {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": GIT_VERSION},
            "paths": paths,
            "definitions": definitions,
        }

    def _document(self, group: str, version: str) -> tuple[bytes, str]:
        found = self._documents.get((group, version))
        if found is None:
            resources = self._registry.of(group, version)
            if not resources:
                raise unknown_path()
            body = orjson.dumps(_render(resources))
            found = self._documents[(group, version)] = (body, _digest(body))
        return found


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32].upper()


def _tagged(request: Request, document: bytes, digest: str) -> Response:
    """The document, or 304 for a caller who has it."""
    tag = b'"' + digest.encode() + b'"'
    if request.headers.get(b"if-none-match") == tag:
        return Response(b"", 304, headers=[(b"etag", tag)])
    return Response(document, headers=[(b"etag", tag)])


def _group_version(parts: list[str]) -> tuple[str, str]:
    if len(parts) == 2 and parts[0] == "api":
        return "", parts[1]
    if len(parts) == 3 and parts[0] == "apis":
        return parts[1], parts[2]
    raise unknown_path()


def _render(resources: list[Resource]) -> Json:
    schemas: Json = {_METADATA_NAME: _metadata_schema()}
    paths: Json = {}
    for resource in resources:
        name = _name(resource)
        schemas[name] = _published(_schema(resource))
        paths.update(_paths(resource, _reference(name)))
    info = {"title": "Kubernetes", "version": GIT_VERSION}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _name(resource: Resource) -> str:
    reverse = ".".join(reversed((resource.group or "core.api.k8s.io").split(".")))
    return f"{reverse}.{resource.version}.{resource.kind}"


def _reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _metadata_schema() -> Json:
    schema: Json = orjson.loads(orjson.dumps(METADATA_SCHEMA.raw))
    properties = schema["properties"]
    properties["finalizers"] |= {
        "x-kubernetes-list-type": "set",
        "x-kubernetes-patch-strategy": "merge",
    }
    properties["ownerReferences"] |= {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["uid"],
        "x-kubernetes-patch-merge-key": "uid",
        "x-kubernetes-patch-strategy": "merge",
    }
    description = "ObjectMeta is metadata that all persisted resources must have."
    return {**_published(schema), "description": description}


def _published(value: Any) -> Any:
    """A schema without the words that OpenAPI readers of kubectl do not know."""
    if isinstance(value, dict):
        schema = cast("Json", value)
        return {k: _published(v) for k, v in schema.items() if k not in ("nullable", "writeOnly")}
    if isinstance(value, list):
        return [_published(item) for item in cast("list[Any]", value)]
    return value


def _schema(resource: Resource) -> Json:
    """The schema with what every object has, as v3 says it but for `_published`."""
    schema: Json = dict(resource.schema.raw)
    schema["properties"] = {
        "apiVersion": {
            "type": "string",
            "description": _API_VERSION,
        },
        "kind": {
            "type": "string",
            "description": _KIND,
        },
        "metadata": {
            "allOf": [_reference(_METADATA_NAME)],
            "default": {},
            "description": _METADATA,
        },
        **{
            name: part
            for name, part in as_map(schema.get("properties")).items()
            if name not in ("apiVersion", "kind", "metadata")
        },
    }
    schema["x-kubernetes-group-version-kind"] = [_gvk(resource)]
    return schema


def _gvk(resource: Resource) -> Json:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _place(name: str) -> Json:
    """A part of the path."""
    schema = {"type": "string", "uniqueItems": True}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _paths(resource: Resource, reference: Json) -> Json:
    base = resource.path + ("/namespaces/{namespace}" if resource.namespaced else "")
    base += f"/{resource.plural}"
    content = {"content": {"application/json": {"schema": reference}}}

    def operation(action: str, *parameters: str, body: bool = False) -> Json:
        described: Json = {
            "operationId": f"{action}{resource.kind}",
            "parameters": [
                {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
                for name in parameters
            ],
            "responses": {"200": {"description": "OK", **content}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": _gvk(resource),
        }
        return {**described, "requestBody": content} if body else described

    places = [_place("namespace")] if resource.namespaced else []
    at_once = {"delete": operation("deletecollection")}
    return {
        base: {
            "parameters": places,
            "get": operation("list"),
            "post": operation("post", *_WRITE_PARAMETERS, body=True),
            **(at_once if "deletecollection" in resource.verbs else {}),
        },
        base + "/{name}": {
            "parameters": [_place("name"), *places],
            "get": operation("get"),
            "put": operation("put", *_WRITE_PARAMETERS, body=True),
            "patch": operation("patch", *_WRITE_PARAMETERS, "force", body=True),
            "delete": operation("delete", "dryRun"),
        },
    }
