"""OpenAPI documents, from which kubectl explains, validates and merges.

Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

import asyncio
import hashlib
from typing import NamedTuple

import orjson

from isthmus.apiserver import openapi_paths, openapi_protobuf, openapi_v2
from isthmus.apiserver.discovery import GIT_VERSION
from isthmus.apiserver.errors import ApiError, unknown_path
from isthmus.apiserver.http import JSON, Request, Response
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.openapi_schemas import Schemas
from isthmus.apiserver.resources import Registry, Resource
from isthmus.apiserver.reviews import REVIEWS

_PROTOBUF_V2 = b"application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_INFO = {"title": "Kubernetes", "version": GIT_VERSION}


class _Document(NamedTuple):
    """A document of v3, and what it was made of."""

    resources: tuple[Resource, ...]
    body: bytes
    digest: str


class OpenApi:
    """Documents per group version, made when they are asked for and kept until kinds change.

    Args:
        registry: What is served.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._documents: dict[tuple[str, str], _Document] = {}
        self._version2: dict[bytes, tuple[bytes, str]] = {}
        registry.listen(self._forget)

    def _forget(self) -> None:
        self._version2 = {}
        served = set(self._group_versions())
        self._documents = {gv: found for gv, found in self._documents.items() if gv in served}

    async def answer(self, request: Request, parts: list[str]) -> Response:
        """Answer a path below `/openapi`.

        Raises:
            ApiError: 404, or 406 for a form that is not served.
        """
        accept = request.header(b"accept")
        if parts[1:] == ["v2"]:
            return await self._answer_version2(request, accept)
        if parts[1:2] != ["v3"]:
            raise unknown_path()
        if len(parts) == 2:
            return self._index()
        if "openapi.v3" in accept and "json" not in accept:
            raise ApiError(406, "NotAcceptable", "OpenAPI v3 is served as application/json")
        group, version = _group_version(parts[2:])
        found = self._document(group, version)
        return _tagged(request, found.body, found.digest)

    def _index(self) -> Response:
        paths: Json = {}
        for group, version in self._group_versions():
            path = f"apis/{group}/{version}" if group else f"api/{version}"
            digest = self._document(group, version).digest
            paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return Response.json({"paths": paths})

    def _group_versions(self) -> list[tuple[str, str]]:
        served = self._registry.groups()
        for review in REVIEWS:
            served.setdefault(review.group, ["v1"])
        return [(group, version) for group, versions in served.items() for version in versions]

    async def _answer_version2(self, request: Request, accept: str) -> Response:
        """The whole API in one document; whoever takes protobuf gets that, as in Kubernetes."""
        form = _PROTOBUF_V2 if "proto-openapi.spec.v2" in accept else JSON
        kept = self._version2  # Another one when kinds change meanwhile.
        found = kept.get(form)
        if found is None:
            document = self._render_version2()
            plain = body = orjson.dumps(document)
            if form != JSON:  # That takes so long that others would notice.
                body = await asyncio.to_thread(openapi_protobuf.encode, document)
            found = kept[form] = (body, _digest(plain))
        response = _tagged(request, *found)
        response.content_type = form
        response.headers.append((b"vary", b"Accept"))
        return response

    def _render_version2(self) -> Json:
        schemas = Schemas()
        paths: Json = {}
        for group, version in self._group_versions():
            paths |= self._paths(group, version, schemas)
        return {
            "swagger": "2.0",
            "info": _INFO,
            "paths": openapi_v2.paths(paths),
            "definitions": {
                name: openapi_v2.definition(schema, custom=name in schemas.custom)
                for name, schema in schemas.found.items()
            },
            "parameters": openapi_v2.parameters(openapi_paths.SHARED),
        }

    def _document(self, group: str, version: str) -> _Document:
        resources = tuple(self._registry.of(group, version))
        found = self._documents.get((group, version))
        if found is None or found.resources != resources:
            schemas = Schemas()
            paths = self._paths(group, version, schemas)
            if not paths:
                self._documents.pop((group, version), None)
                raise unknown_path()
            components = {"schemas": schemas.found, "parameters": openapi_paths.SHARED}
            body = orjson.dumps(
                {"openapi": "3.0.0", "info": _INFO, "paths": paths, "components": components}
            )
            found = _Document(resources, body, _digest(body))
            self._documents[(group, version)] = found
        return found

    def _paths(self, group: str, version: str, schemas: Schemas) -> Json:
        """The paths of a group version; what they refer to is then in `schemas`."""
        paths: Json = {}
        for resource in self._registry.of(group, version):
            paths |= openapi_paths.of_resource(resource, schemas)
        for review in REVIEWS:
            if (group, version) == (review.group, "v1"):
                paths |= openapi_paths.of_review(review, schemas)
        return paths


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
