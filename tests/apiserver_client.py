"""Calls an `ApiServer` in-process, as its controllers do, and gives back plain JSON."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from isthmus.apiserver import ApiServer, ServerConfig

JsonObject = dict[str, Any]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def widget_definition(**version: Any) -> JsonObject:
    """A CustomResourceDefinition with a bit of everything; `version` overrides its version."""
    schema: JsonObject = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {
                    "size": {"type": "integer", "minimum": 1},
                    "color": {"type": "string", "default": "red", "enum": ["red", "green"]},
                    "replicas": {"type": "integer"},
                    "text": {"type": "string"},
                    "password": {"type": "string", "format": "password", "maxLength": 8},
                    "tags": {
                        "type": "array",
                        "items": {"type": "string"},
                        "x-kubernetes-list-type": "set",
                    },
                    "ports": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {
                                "name": {"type": "string"},
                                "port": {"type": "integer"},
                            },
                        },
                    },
                },
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {
                "plural": "widgets",
                "kind": "Widget",
                "shortNames": ["wd"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                        },
                    },
                    "additionalPrinterColumns": [
                        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                        {
                            "name": "Color",
                            "type": "string",
                            "jsonPath": ".spec.color",
                            "priority": 1,
                        },
                    ],
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                    **version,
                }
            ],
        },
    }


def widget(name: str = "a", **spec: Any) -> JsonObject:
    """A valid Widget."""
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": 1, **spec},
    }


class Answer:
    """A finished answer."""

    def __init__(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.code, self.headers, self.body = code, headers, body
        self.warnings: list[str] = []

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Stream:
    """A running watch; iterate with `next`."""

    def __init__(self) -> None:
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue()

    async def next(self, seconds: float = 30.0) -> JsonObject:
        async with asyncio.timeout(seconds):
            return orjson.loads(await self.chunks.get())


class Client:
    """Speaks to the ASGI application as one user."""

    def __init__(self, server: ApiServer, token: str, agent: str = "test") -> None:
        self._app = server.app
        self.headers = [
            (b"authorization", b"Bearer " + token.encode()),
            (b"user-agent", agent.encode()),
        ]

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        kind: str = "application/json",
        accept: str = "",
        forever: bool = False,
    ) -> Answer:
        """One request; bytes are sent as they are, anything else as JSON.

        With `forever` the caller never goes away by itself, so that a watch runs its time.
        """
        raw = body if isinstance(body, bytes) else (b"" if body is None else orjson.dumps(body))
        start: JsonObject = {}
        parts: list[bytes] = []

        sent = False

        async def receive() -> Any:
            nonlocal sent
            if sent and forever:
                await asyncio.Event().wait()
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        await self._app(self._scope(method, path, kind, accept), receive, send)
        headers = {k.decode(): v.decode() for k, v in start["headers"]}
        answer = Answer(start["status"], headers, b"".join(parts))
        answer.warnings = [v.decode() for k, v in start["headers"] if k == b"warning"]
        return answer

    def _scope(self, method: str, path: str, kind: str, accept: str) -> JsonObject:
        bare, _, query = path.partition("?")
        headers = [*self.headers, (b"content-type", kind.encode()), (b"accept", accept.encode())]
        return {
            "type": "http",
            "method": method,
            "path": bare,
            "query_string": query.encode(),
            "headers": headers,
        }

    @asynccontextmanager
    async def watch(self, path: str, accept: str = "") -> AsyncGenerator[Stream]:
        """A watch that ends with the block."""
        stream, leave = Stream(), asyncio.Event()

        async def receive() -> Any:
            await leave.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message.get("body"):
                stream.chunks.put_nowait(message["body"])

        scope = self._scope("GET", path, "application/json", accept)
        task = asyncio.ensure_future(self._app(scope, receive, send))
        try:
            yield stream
        finally:
            leave.set()
            await asyncio.wait([task], timeout=30)
            assert task.done()


@asynccontextmanager
async def running(folder: Path, **config: Any) -> AsyncGenerator[tuple[ApiServer, Client]]:
    """A server over `folder`, and its administrator's client."""
    server = await ApiServer.open(ServerConfig(folder, admin_token="admin", **config))
    try:
        yield server, Client(server, "admin")
    finally:
        await server.close()


async def until(api: Client, path: str, holds: Callable[[Answer], bool]) -> Answer:
    """Ask for a path again until its answer is as wanted, and return that answer."""
    async with asyncio.timeout(60):
        while True:
            answer = await api("GET", path)
            if holds(answer):
                return answer
            await asyncio.sleep(0.01)


def gone(answer: Answer) -> bool:
    """Whether there is nothing at the path, for `until`."""
    return answer.code == 404


async def entitle(
    admin: Client, kind: str, name: str, rules: list[Any], *, namespace: str = ""
) -> None:
    """Give a subject rules in one namespace, or everywhere; once each.

    Args:
        admin: Who gives.
        kind: `User`, `Group` or `ServiceAccount`; the latter is one of the namespace `default`.
        name: Of the subject, and of its role and binding.
        rules: What it may do then.
        namespace: Where; empty: everywhere.
    """
    group = "rbac.authorization.k8s.io"
    where = f"/apis/{group}/v1" + (f"/namespaces/{namespace}" if namespace else "")
    whose = {"namespace": "default"} if kind == "ServiceAccount" else {"apiGroup": group}
    role, prefix = ("Role", "") if namespace else ("ClusterRole", "cluster")
    binding = {
        "metadata": {"name": name},
        "subjects": [{"kind": kind, "name": name, **whose}],
        "roleRef": {"apiGroup": group, "kind": role, "name": name},
    }
    for plural, body in (
        (f"{prefix}roles", {"metadata": {"name": name}, "rules": rules}),
        (f"{prefix}rolebindings", binding),
    ):
        made = await admin("POST", f"{where}/{plural}", body)
        assert made.code == 201, made.body
