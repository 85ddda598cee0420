"""The Store over a Kubernetes API: the embedded one, or any real cluster.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import random
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import suppress
from datetime import timedelta
from typing import Any, cast

import orjson

from isthmus.api.meta import Json
from isthmus.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InternalError,
    InvalidSpec,
    IsthmusError,
    NotFound,
    Throttled,
    Unavailable,
)
from isthmus.ports import Api, Expired, Listing, WatchEvent
from isthmus.runtime.transport import JSON, Answer, Request, Transport

MERGE_PATCH = "application/merge-patch+json"
_METADATA = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1, application/json"
_PAGE = 500
_WATCH_SECONDS = (240, 480)
"""A watch ends after a random time between these, so that many do not end at once."""
_TOO_SHORT_SECONDS = 1.0
_NEUTRAL_LENGTH = 1024


class KubeStore:
    """Implements ``isthmus.ports.Store``.

    Args:
        transport: The way to the API.
        lean: Resources of which lists and watches bring the metadata only: a cluster's Secrets
            may be large, and are nobody's business until they are asked for by name.
    """

    def __init__(self, transport: Transport, *, lean: Collection[Api] = ()) -> None:
        self._transport = transport
        self._lean = lean

    async def get(self, api: Api, namespace: str, name: str) -> Json | None:
        """See ``Store``."""
        try:
            return await self._send("GET", path_of(api, namespace, name))
        except NotFound:
            return None

    async def list(self, api: Api, namespace: str = "", selector: str = "") -> Listing:
        """See ``Store``. Large lists arrive in pages."""
        items: list[Json] = []
        query = [("limit", str(_PAGE))]
        if selector:
            query.append(("labelSelector", selector))
        following = ""
        while True:
            page = (*query, ("continue", following)) if following else tuple(query)
            path, accept = path_of(api, namespace), self._form(api, "List")
            answer = await self._ask(Request(method="GET", path=path, query=page, accept=accept))
            items += answer.get("items") or ()
            following = answer["metadata"].get("continue", "")
            if not following:
                return Listing(tuple(items), answer["metadata"]["resourceVersion"])

    async def watch(self, api: Api, since: str) -> AsyncIterator[WatchEvent]:
        """See ``Store``. A watch that ends is taken up where it stopped."""
        version = since
        while True:
            started = time.monotonic()
            async for event in self._watch_once(api, version):
                version = event.object["metadata"]["resourceVersion"]
                yield event
            if time.monotonic() - started < _TOO_SHORT_SECONDS:
                raise Unavailable("The API ends every watch at once.")

    async def create(self, api: Api, obj: Json) -> Json:
        """See ``Store``."""
        namespace = obj["metadata"].get("namespace", "")
        return await self._send("POST", path_of(api, namespace), body=_typed(api, obj))

    async def replace(self, api: Api, obj: Json, subresource: str = "") -> Json:
        """See ``Store``."""
        meta = obj["metadata"]
        path = path_of(api, meta.get("namespace", ""), meta["name"], subresource)
        return await self._send("PUT", path, body=_typed(api, obj))

    async def patch(self, api: Api, namespace: str, name: str, patch: Json) -> Json:
        """See ``Store``."""
        path = path_of(api, namespace, name)
        return await self._send("PATCH", path, body=patch, content_type=MERGE_PATCH)

    async def delete(self, api: Api, namespace: str, name: str, uid: str = "") -> None:
        """See ``Store``."""
        options: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
        }
        if uid:
            options["preconditions"] = {"uid": uid}
        with suppress(NotFound):
            await self._send("DELETE", path_of(api, namespace, name), body=options)

    async def _watch_once(self, api: Api, version: str) -> AsyncIterator[WatchEvent]:
        query = (
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", str(random.randint(*_WATCH_SECONDS))),
        )
        request = Request(method="GET", path=path_of(api), query=query, accept=self._form(api))
        async with self._transport.stream(request) as stream:
            if stream.status != 200:
                body = b"\n".join([line async for line in stream.lines])
                _raise_if_expired(stream.status)
                raise error_of(Answer(stream.status, body))
            async for line in stream.lines:
                yield _event(line)

    async def _send(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        content_type: str = JSON,
    ) -> Json:
        request = Request(
            method=method,
            path=path,
            body=orjson.dumps(body) if body is not None else b"",
            content_type=content_type,
        )
        return await self._ask(request)

    def _form(self, api: Api, suffix: str = "") -> str:
        """Return what we want to be answered: all of the objects, or their metadata."""
        return _METADATA.format(suffix) if api in self._lean else JSON

    async def _ask(self, request: Request) -> Json:
        answer = await self._transport.request(request)
        if answer.status >= 300:
            raise error_of(answer)
        return orjson.loads(answer.body)


def path_of(api: Api, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Return the path of a collection or an object."""
    root = "/api" if api.group_version == "v1" else "/apis"
    within = ["namespaces", namespace] if namespace and api.namespaced else []
    parts = [root, api.group_version, *within, api.plural, name, subresource]
    return "/".join(part for part in parts if part)


def error_of(answer: Answer) -> IsthmusError:
    """Turn a refusal of the API into one of our errors; the only place that does.

    https://github.com/kubernetes/apimachinery/blob/master/pkg/apis/meta/v1/types.go (StatusReason)
    """
    status = _status(answer.body)
    message = str(status.get("message", ""))[:_NEUTRAL_LENGTH] or f"HTTP {answer.status}"
    reason = str(status.get("reason", ""))
    make = _BY_REASON.get(reason) or _BY_CODE.get(answer.status)
    if make is not None:
        return make(message)
    if answer.status == 429:
        return Throttled("The API asked us to slow down.", detail=message, after=_after(answer))
    if answer.status >= 500:
        return Unavailable("The API cannot answer now.", detail=message, after=_after(answer))
    return InternalError("The API did not understand us.", detail=f"{answer.status}: {message}")


_BY_REASON: dict[str, Callable[[str], IsthmusError]] = {
    "AlreadyExists": AlreadyExists,
    "Conflict": Conflict,
    "Forbidden": Forbidden,
    "Invalid": InvalidSpec,
    "NotFound": NotFound,
    "Unauthorized": Forbidden,
}
_BY_CODE: dict[int, Callable[[str], IsthmusError]] = {
    400: InvalidSpec,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: InvalidSpec,
    422: InvalidSpec,
}


def _status(body: bytes) -> Json:
    """Only a body that calls itself a Status is trusted into messages."""
    try:
        parsed: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    status = cast("Json", parsed)
    return status if status.get("kind") == "Status" else {}


def _after(answer: Answer) -> timedelta | None:
    return timedelta(seconds=int(answer.retry_after)) if answer.retry_after.isdigit() else None


def _event(line: bytes) -> WatchEvent:
    raw = orjson.loads(line)
    if raw["type"] == "ERROR":
        code = int(raw["object"].get("code", 500))
        _raise_if_expired(code)
        raise error_of(Answer(code, orjson.dumps(raw["object"])))
    return WatchEvent(raw["type"], raw["object"])


def _raise_if_expired(code: int) -> None:
    if code == 410:
        raise Expired


def _typed(api: Api, obj: Json) -> Json:
    """The API wants to be told what it gets."""
    if "kind" in obj:
        return obj
    return {"apiVersion": api.group_version, "kind": _KINDS[api.plural]} | obj


_KINDS = {"namespaces": "Namespace", "secrets": "Secret", "events": "Event", "leases": "Lease"}
