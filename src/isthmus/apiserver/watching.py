"""Watches: the present state first when asked for, then every committed change, in order.

A watcher keeps a version and reads the history of its resource from there; each event is one chunk
of the answer. When history has moved on past a slow watcher, it is told that it is expired and
lists again, as every Kubernetes client does.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import asyncio
import secrets
from collections.abc import Iterator

import orjson

from isthmus.apiserver.config import Receive, Send
from isthmus.apiserver.errors import bad_request, expired, not_yet
from isthmus.apiserver.history import Event, Record, as_of
from isthmus.apiserver.http import JSON, Request, told, warning
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.listing import Wanted, is_version
from isthmus.apiserver.store import Collection, Store
from isthmus.apiserver.tables import partial

_SHORTEST_SECONDS = 1800
_AT_ONCE = 16
"""Events that one watcher holds on to while it is waiting for its caller."""
_INITIAL_END = "k8s.io/initial-events-end"


class Watch:
    """One watch, made of a request; `respond` answers it.

    Args:
        store: The store.
        wanted: What is watched.
        request: The request with its query parameters.
        bookmark_seconds: Time between bookmarks when nothing happens.
    """

    def __init__(
        self, store: Store, wanted: Wanted, request: Request, bookmark_seconds: float
    ) -> None:
        self._store = store
        self._resource = wanted.resource
        self._collection: Collection = store.collection(wanted.resource.collection)
        self._definition = self._collection.rereading
        self._namespace = wanted.namespace
        self._selection = wanted.selection
        self._view = wanted.view
        self._receive: Receive = request.receive
        self.warnings: list[str] = []
        """Sentences that kubectl prints to its user."""
        self._bookmarks = request.flag("allowWatchBookmarks")
        self._bookmark_seconds = bookmark_seconds
        self._heads = True
        self._ended = False
        asked = request.query.get("resourceVersion", "")
        if asked and not is_version(asked):
            raise bad_request(f'resourceVersion: Invalid value: "{asked[:64]}": no number')
        self._send_initial = request.flag("sendInitialEvents")
        self._initial = self._send_initial or asked in ("", "0")
        self._version = store.version if self._initial else int(asked)
        seconds = request.number("timeoutSeconds")
        self._seconds = seconds or _SHORTEST_SECONDS + secrets.randbelow(_SHORTEST_SECONDS)

    async def respond(self, send: Send, stopping: asyncio.Event) -> None:
        """Stream until the time is over, the caller is gone, or the server stops."""
        headers = [(b"content-type", JSON), (b"cache-control", b"no-cache, private")]
        headers += [(b"warning", warning(sentence)) for sentence in told(self.warnings)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        history = self._collection.history
        wake = history.subscribe()
        ends = [
            asyncio.ensure_future(_disconnected(self._receive)),
            asyncio.ensure_future(stopping.wait()),
        ]
        for end in ends:
            end.add_done_callback(lambda _: self._end(wake))
        try:
            async with asyncio.timeout(self._seconds):
                await self._stream(send, wake)
        except TimeoutError:
            pass
        finally:
            history.unsubscribe(wake)
            for end in ends:
                end.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _is_over(self) -> bool:
        """Whether the kind is defined in another way now: the caller must look at all anew."""
        return self._collection.rereading is not self._definition

    def _is_within(self) -> bool:
        """Whether the watch is at a version that was and is not too old."""
        oldest = 0 if self._is_over() else self._oldest
        return oldest <= self._version <= self._store.version

    @property
    def _oldest(self) -> int:
        """The oldest version from which a watch can go on."""
        return max(self._collection.history.trimmed, self._collection.defined)

    def _end(self, wake: asyncio.Event) -> None:
        self._ended = True
        wake.set()

    async def _stream(self, send: Send, wake: asyncio.Event) -> None:
        for line in self._present() if self._initial else ():
            await send({"type": "http.response.body", "body": line, "more_body": True})
        history, rest = self._collection.history, _Rest(wake, self._bookmark_seconds)
        try:
            while not self._ended:
                wake.clear()
                events = history.since(self._version, _AT_ONCE)
                if not events and self._is_over():
                    return
                if events is None or not self._is_within():
                    line = self._expired()
                    await send({"type": "http.response.body", "body": line, "more_body": True})
                    return
                for event in events:
                    self._version = event.record.version
                    line = self._line(event)
                    if line is not None:
                        await send({"type": "http.response.body", "body": line, "more_body": True})
                if events:
                    rest.begin()
                elif rest.over:
                    rest.begin()
                    self._version = max(self._version, self._quiet_version())
                    if self._bookmarks:
                        line = self._bookmark()
                        await send({"type": "http.response.body", "body": line, "more_body": True})
                else:
                    await wake.wait()
        finally:
            rest.cancel()

    def _quiet_version(self) -> int:
        """A newer version at which nothing of this resource was missed."""
        events = self._collection.history.since(self._version)
        return self._version if events is None or events else self._store.version

    def _present(self) -> Iterator[bytes]:
        """What there is now; encoded line by line, since the caller may be slow to take it."""
        if self._is_over():
            return
        self._version = self._store.version
        keys = self._collection.within(self._namespace)
        records = [self._collection.records[key] for key in keys]
        for record in records:
            if self._selection.fits(record):
                yield self._encode("ADDED", record)
        if self._send_initial:
            yield self._bookmark(initial_end=True)

    def _line(self, event: Event) -> bytes | None:
        """The event as this watcher sees it, or None when it is none of its business."""
        record = event.record
        if self._namespace is not None and record.key[0] != self._namespace:
            return None
        kind = event.type
        if self._selection.lasting:
            if not self._selection.fits(record):
                return None
        elif not self._selection.everything:
            before = event.previous is not None and self._selection.fits(event.previous)
            after = kind != "DELETED" and self._selection.fits(record)
            if not before and not after:
                return None
            if before and not after and event.previous is not None and kind != "DELETED":
                record = as_of(event.previous, record.version)
            kind = "MODIFIED" if before and after else "ADDED" if after else "DELETED"
        return self._encode(kind, record)

    def _encode(self, kind: str, record: Record) -> bytes:
        body = self._resource.serve(record.body)
        if self._view.form == "Partial":
            body = orjson.dumps(partial(orjson.loads(body), self._view.version))
        elif self._view.form == "Table":
            metadata = {"resourceVersion": str(record.version)}
            obj: Json = orjson.loads(body)
            rows = self._view.table(self._resource, [obj], metadata, heads=self._heads)
            body = orjson.dumps(rows)
            self._heads = False
        return b'{"type":"' + kind.encode() + b'","object":' + body + b"}\n"

    def _bookmark(self, *, initial_end: bool = False) -> bytes:
        metadata: Json = {"resourceVersion": str(self._version), "creationTimestamp": None}
        if initial_end:
            metadata["annotations"] = {_INITIAL_END: "true"}
        obj: Json = {
            "kind": self._resource.kind,
            "apiVersion": self._resource.group_version,
            "metadata": metadata,
        }
        if self._view.form == "Partial":
            obj = partial(obj, self._view.version)
        elif self._view.form == "Table":
            row: Json = {"cells": [], "object": partial(obj)}
            listed = {"resourceVersion": str(self._version)}
            obj = self._view.table(self._resource, [], listed, heads=False)
            obj["rows"] = [row]
        return orjson.dumps({"type": "BOOKMARK", "object": obj}) + b"\n"

    def _expired(self) -> bytes:
        """Whoever asks for a version that is gone, or yet to come, is to list again.

        The latter is so after a backup was restored: a watch that waits would be silent for long.
        """
        newest = self._store.version
        if self._version > newest:
            error = not_yet(self._version, newest)
        else:
            error = expired(self._version, self._oldest)
        return orjson.dumps({"type": "ERROR", "object": error.status()}) + b"\n"


class _Rest:
    """Wakes a watch when nothing has happened for a while, with one timer for many events.

    Args:
        wake: Set when the time is over.
        seconds: How long nothing must have happened.
    """

    def __init__(self, wake: asyncio.Event, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake = wake
        self._seconds = seconds
        self.over = False
        """Whether the time is over."""
        self._since = self._loop.time()
        self._timer = self._loop.call_later(seconds, self._look)

    def begin(self) -> None:
        """Something has happened: count anew."""
        self._since = self._loop.time()
        if self.over:
            self.over = False
            self._timer = self._loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        left = self._since + self._seconds - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self.over = True
            self._wake.set()

    def cancel(self) -> None:
        """Nobody waits any more."""
        self._timer.cancel()


async def _disconnected(receive: Receive) -> None:
    """Return once the caller is gone. An in-process caller may only ever cancel us."""
    for _ in range(3):
        if (await receive())["type"] == "http.disconnect":
            return
    await asyncio.Event().wait()
