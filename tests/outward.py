"""Fail the n-th outward call, before or after it took effect: a crash or a lost answer.

``Outward`` counts the calls of a store and of a driver in one row. A run without a strike says how
many there are; then each is struck once in turn.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from isthmus.api.meta import Json
from isthmus.errors import IsthmusError, Unavailable
from isthmus.ports import Api, Connection, Driver, Endpoint, Listing, Store, WatchEvent

T = TypeVar("T")
NODES = (
    "version", "nodes", "pods", "cordon", "uncordon", "evict", "delete_node",
    "issue_join_token", "extend_join_token", "revoke_join_token", "ask_control_plane",
)  # fmt: skip
ENGINE = ("observe", "apply", "delete", "adopt", "check_drift", "preview", "owned", "adoptable")


@dataclass
class Outward:
    """The row of outward calls, and which of them is struck."""

    strike: int = 0
    """Number of the call that fails, from 1; 0: none."""
    lost_answer: bool = False
    """Fail after the effect, not before."""
    error: Callable[[], IsthmusError] = lambda: Unavailable("struck")
    calls: list[str] = field(default_factory=list[str])

    async def call(self, name: str, run: Callable[[], Awaitable[T]]) -> T:
        self.calls.append(name)
        if len(self.calls) != self.strike:
            return await run()
        if self.lost_answer:
            await run()
        raise self.error()

    def driver(self, inner: Driver) -> Driver:
        @asynccontextmanager
        async def connect(endpoint: Endpoint) -> AsyncGenerator[Connection, None]:
            async with inner.open(endpoint) as connection:
                yield self._connection(connection)

        return replace(inner, open=connect)

    def store(self, inner: Store) -> "StruckStore":
        return StruckStore(inner, self)

    def _connection(self, inner: Connection) -> Connection:
        return Connection(
            engine=_Struck(inner.engine, self, ENGINE),
            credentials={
                name: _Struck(source, self, ("grant", "revoke"))
                for name, source in inner.credentials.items()
            },
            actions=_Struck(inner.actions, self, ("start", "poll")),
            probe=lambda: self.call("probe", inner.probe),
        )


def struck(inner: Any, row: Outward, names: tuple[str, ...]) -> Any:
    """Return an object whose named methods pass through the row."""
    return _Struck(inner, row, names)


class _Struck:
    """Passes the named methods through the row."""

    def __init__(self, inner: Any, row: Outward, names: tuple[str, ...]) -> None:
        for name in names:
            setattr(self, name, self._through(getattr(inner, name), row, name))

    @staticmethod
    def _through(method: Callable[..., Awaitable[T]], row: Outward, name: str) -> Any:
        return lambda *args: row.call(name, lambda: method(*args))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


class StruckStore:
    """A Store whose every call but the watch passes through the row."""

    def __init__(self, inner: Store, row: Outward) -> None:
        self._inner = inner
        self._row = row

    async def get(self, api: Api, namespace: str, name: str) -> Json | None:
        return await self._row.call(
            f"get {api.plural}", lambda: self._inner.get(api, namespace, name)
        )

    async def list(self, api: Api, namespace: str = "", selector: str = "") -> Listing:
        return await self._row.call(
            f"list {api.plural}", lambda: self._inner.list(api, namespace, selector)
        )

    def watch(self, api: Api, since: str) -> AsyncIterator[WatchEvent]:
        return self._inner.watch(api, since)

    async def create(self, api: Api, obj: Json) -> Json:
        return await self._row.call(f"create {api.plural}", lambda: self._inner.create(api, obj))

    async def replace(self, api: Api, obj: Json, subresource: str = "") -> Json:
        name = f"replace {api.plural} {subresource}".rstrip()
        return await self._row.call(name, lambda: self._inner.replace(api, obj, subresource))

    async def patch(self, api: Api, namespace: str, name: str, patch: Json) -> Json:
        return await self._row.call(
            f"patch {api.plural}", lambda: self._inner.patch(api, namespace, name, patch)
        )

    async def delete(self, api: Api, namespace: str, name: str, uid: str = "") -> None:
        await self._row.call(
            f"delete {api.plural}", lambda: self._inner.delete(api, namespace, name, uid)
        )
