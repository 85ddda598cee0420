"""Requests to the API of a cluster: bounded in time, errors in our words, kinds found by asking.

https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

import orjson

from isthmus.api.meta import Json
from isthmus.drivers.kubernetes.kubeconfig import Target, tls
from isthmus.errors import (
    CapacityExhausted,
    Conflict,
    Forbidden,
    IsthmusError,
    NotFound,
    NotYet,
    Throttled,
    Unavailable,
)
from isthmus.ports import Api
from isthmus.runtime.kube import MERGE_PATCH, error_of, path_of
from isthmus.runtime.transport import Answer, HttpTransport, Request, Transport

MANAGER: Final = "isthmus"
"""Our name among the managers of fields."""
_APPLY_PATCH: Final = "application/apply-patch+yaml"
_SECONDS: Final = 45.0
"""The longest that one request may take, whatever trickles in."""
_PAGE: Final = 500
_AT_ONCE: Final = 8
_PAUSES: Final = 3
_PAUSE: Final = timedelta(seconds=1)
_LOOKS: Final = 5
"""How often an object may be written while we try what we would make of it."""

Query = tuple[tuple[str, str], ...]


class Ref(NamedTuple):
    """Which object; hashable, and the same before and after it exists."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def type(self) -> str:
        """As kubectl calls it: ``Deployment.apps``, ``ConfigMap``."""
        group = self.api_version.rpartition("/")[0]
        return f"{self.kind}.{group}" if group else self.kind

    def __str__(self) -> str:
        where = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.type} {where}"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind that the cluster serves."""

    api: Api
    kind: str
    verbs: frozenset[str]


class UnknownKind(NotYet):
    """The cluster does not serve this kind, or not yet."""


class Kube:
    """One cluster's API.

    Args:
        transport: The way to it.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._kinds: dict[str, dict[str, Kind]] = {}
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def get(self, ref: Ref) -> Json | None:
        """Return an object, or None where there is none, or not even its kind."""
        try:
            return await self.read(await self.path(ref))
        except (NotFound, UnknownKind):
            return None

    async def read(self, path: str, query: Query = ()) -> Json:
        """GET a path. Raises NotFound.

        A cluster that asks for a pause gets a few: it does so when a kind was just defined.
        """
        for _ in range(_PAUSES):
            try:
                return await self.send("GET", path, query=query)
            except Throttled as exc:
                await asyncio.sleep(min(exc.after or _PAUSE, _PAUSE).total_seconds())
        return await self.send("GET", path, query=query)

    async def list_if_served(self, api: Api, namespace: str = "", query: Query = ()) -> list[Json]:
        """Return all objects of a kind that was found; none where it has gone since."""
        try:
            return await self.list(api, namespace, query)
        except NotFound:
            return []

    async def list(self, api: Api, namespace: str = "", query: Query = ()) -> list[Json]:
        """Return all objects of a kind; large lists arrive in pages."""
        items: list[Json] = []
        following = ""
        while True:
            paged = (*query, ("limit", str(_PAGE)))
            page = (*paged, ("continue", following)) if following else paged
            answer = await self.read(path_of(api, namespace), page)
            # Items of a list do not say what they are; the list does.
            kind = {"kind": str(answer["kind"]).removesuffix("List")}
            typed = {"apiVersion": answer["apiVersion"]} | kind
            items += [typed | item for item in answer.get("items") or ()]
            following = str(answer["metadata"].get("continue") or "")
            if not following:
                return items

    async def apply(self, ref: Ref, manifest: Json, *, dry: bool = False) -> Json:
        """Apply a manifest on the server's side: its fields become ours.

        Args:
            ref: Which object.
            manifest: All fields that we want to own.
            dry: Only say what would be.
        """
        query: Query = (("fieldManager", MANAGER), ("force", "true"))
        if dry:
            query += (("dryRun", "All"),)
        path = await self.path(ref)
        return await self.send("PATCH", path, query=query, body=manifest, content=_APPLY_PATCH)

    async def tried(self, ref: Ref, manifest: Json, live: Json | None) -> tuple[Json | None, Json]:
        """Return an object as it is and as a manifest would make it, both of one moment.

        Controllers write between our look and our try; that is no change of ours.

        Args:
            ref: Which object.
            manifest: All fields that we want to own.
            live: What was seen of it.

        Raises:
            Conflict: It is written without a pause, or became another object.
        """
        for _ in range(_LOOKS):
            would = await self.apply(ref, manifest, dry=True)
            if live is None or _moment(would) == _moment(live):
                return live, would
            now = await self.get(ref)
            if now is None or now["metadata"]["uid"] != live["metadata"]["uid"]:
                break
            live = now
        raise Conflict(f"{ref} was written by somebody else.")

    async def merge(self, ref: Ref, patch: Json, subresource: str = "") -> Json:
        """Apply a JSON merge patch."""
        path = await self.path(ref, subresource)
        query: Query = (("fieldManager", MANAGER),)
        return await self.send("PATCH", path, query=query, body=patch, content=MERGE_PATCH)

    async def delete(self, ref: Ref, uid: str, *, policy: str = "Foreground") -> None:
        """Ask for the deletion of that very object, its dependents first. Absent is fine."""
        options: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": policy,
            "preconditions": {"uid": uid},
        }
        try:
            await self.send("DELETE", await self.path(ref), body=options)
        except (NotFound, UnknownKind):
            return

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Json | None = None,
        content: str = "application/json",
    ) -> Json:
        """Send a request and return the object that it answers with.

        Raises:
            IsthmusError: It was refused, or nobody answered.
        """
        answer = await self.ask(
            Request(
                method=method,
                path=path,
                query=query,
                body=orjson.dumps(body) if body is not None else b"",
                content_type=content,
            )
        )
        if answer.status >= 300:
            raise refusal(answer)
        return orjson.loads(answer.body)

    async def ask(self, request: Request) -> Answer:
        """Send a request and return the answer, whatever it is. Raises Unavailable."""
        try:
            async with self._gate, asyncio.timeout(_SECONDS):
                return await self._transport.request(request)
        except TimeoutError as exc:
            raise Unavailable("The cluster's API does not answer in time.") from exc

    # Which kinds there are.

    async def path(self, ref: Ref, subresource: str = "") -> str:
        """Return where an object is. Raises UnknownKind."""
        kind = await self.kind(ref.api_version, ref.kind)
        return path_of(kind.api, ref.namespace, ref.name, subresource)

    async def kind(self, api_version: str, kind: str) -> Kind:
        """Return what the cluster serves under a name. Raises UnknownKind."""
        known = self._kinds.get(api_version, {}).get(kind)
        if known is None:
            self._kinds[api_version] = await self._served(api_version)
            known = self._kinds[api_version].get(kind)
        if known is None:
            raise UnknownKind(
                f"The cluster serves no {kind} of {api_version}; its CustomResourceDefinition is "
                "missing."
            )
        return known

    async def kinds(self) -> tuple[Kind, ...]:
        """Return every kind that can be listed, each in its group's preferred version."""
        groups = (await self.read("/apis")).get("groups") or ()
        versions = ["v1", *(str(group["preferredVersion"]["groupVersion"]) for group in groups)]
        served = await asyncio.gather(*(self._working(version) for version in versions))
        return tuple(k for kinds in served for k in kinds.values() if "list" in k.verbs)

    async def _working(self, api_version: str) -> dict[str, Kind]:
        """Pass over an aggregated API whose own server is down."""
        try:
            return await self._served(api_version)
        except Unavailable:
            if "." not in api_version:
                raise
            return {}

    async def _served(self, api_version: str) -> dict[str, Kind]:
        root = "/api" if "/" not in api_version else "/apis"
        try:
            answer = await self.read(f"{root}/{api_version}")
        except NotFound:
            return {}
        return {
            str(found["kind"]): Kind(
                Api(api_version, str(found["name"]), bool(found["namespaced"])),
                str(found["kind"]),
                frozenset(found.get("verbs") or ()),
            )
            for found in answer.get("resources") or ()
            if "/" not in found["name"]
        }


def _moment(obj: Json) -> str:
    """A dry run changes no version."""
    return str(obj["metadata"]["resourceVersion"])


def refusal(answer: Answer) -> IsthmusError:
    """Return our error for a refusal: as ``runtime.kube`` says it, and quotas by their name."""
    error = error_of(answer)
    if isinstance(error, Forbidden) and "exceeded quota" in error.message:
        return CapacityExhausted(f"The namespace's quota does not allow it: {error.message}")
    return error


@asynccontextmanager
async def reach(target: Target) -> AsyncGenerator[Kube]:
    """Connect to a cluster; leaving the context disconnects. No call goes out on entering."""
    transport = HttpTransport(target.server, token=target.token, tls=tls(target))
    try:
        yield Kube(transport)
    finally:
        await transport.close()
