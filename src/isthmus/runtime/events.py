"""Kubernetes Events: what happened to an object, where ``kubectl describe`` shows it.

Telling never holds anybody up: a queue of bounded length is written in the background, and what
does not fit is counted and dropped. Each happening has a name derived from what it says, so it is
told once, or counted, also after a restart.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from isthmus.api.meta import API_VERSION, Json, Resource
from isthmus.core.stacks import digest
from isthmus.errors import AlreadyExists, IsthmusError
from isthmus.ports import Clock, Store
from isthmus.runtime.kinds import EVENTS
from isthmus.runtime.outcome import Happening

log = structlog.get_logger(__name__)

COMPONENT = "isthmus"
_ROOM = 20_000
"""How many may wait to be written."""
_REMEMBERED = 4_096
_COUNT_EVERY = timedelta(seconds=30)
"""An equal happening is counted; the count is written no more often than this."""
_MESSAGE_LENGTH = 1024
"""The API's limit, https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/"""
_DEFAULT_NAMESPACE = "default"
"""Where events of cluster-scoped objects go."""


@dataclass(frozen=True, slots=True)
class _Told:
    count: int
    written: datetime


@dataclass(frozen=True, slots=True)
class _Subject:
    """Whom an Event is about; small, since many may wait."""

    kind: str
    namespace: str
    name: str
    uid: str


class Events:
    """Tells happenings as Events."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._queue: asyncio.Queue[tuple[_Subject, Happening, datetime]] = asyncio.Queue(_ROOM)
        self._told: OrderedDict[str, _Told] = OrderedDict()
        self.dropped = 0

    def tell(self, about: Resource[Any, Any], happening: Happening) -> None:
        """Have it told; returns at once."""
        if self._queue.full():
            self.dropped += 1
            return
        meta = about.metadata
        subject = _Subject(about.names.kind, meta.namespace, meta.name, meta.uid)
        self._queue.put_nowait((subject, happening, self._clock.now()))

    async def run(self) -> None:
        """Write for ever."""
        while True:
            subject, happening, now = await self._queue.get()
            await self._write(_event(subject, happening, now), once=bool(happening.key))
            self._queue.task_done()

    async def flush(self) -> None:
        """Wait until all that was told is written."""
        await self._queue.join()

    async def _write(self, event: Json, *, once: bool) -> None:
        name: str = event["metadata"]["name"]
        told = self._told.get(name)
        try:
            if told is None:
                await self._create(event, once=once)
            elif not once:
                await self._count(event, told)
        except IsthmusError as err:
            log.warning("event not written", reason=err.reason, why=err.message, detail=err.detail)

    async def _create(self, event: Json, *, once: bool) -> None:
        count = 1
        try:
            await self._store.create(EVENTS, event)
        except AlreadyExists:
            meta = event["metadata"]
            found = await self._store.get(EVENTS, meta["namespace"], meta["name"])
            count = (found or {}).get("count", 0)
            if not once:
                await self._count(event, _Told(count, datetime.min.replace(tzinfo=UTC)))
                return
        self._remember(event["metadata"]["name"], _Told(count, self._clock.now()))

    async def _count(self, event: Json, told: _Told) -> None:
        meta, now = event["metadata"], self._clock.now()
        told = replace(told, count=told.count + 1)
        if now - told.written >= _COUNT_EVERY:
            patch = {"count": told.count, "lastTimestamp": event["lastTimestamp"]}
            await self._store.patch(EVENTS, meta["namespace"], meta["name"], patch)
            told = replace(told, written=now)
        self._remember(meta["name"], told)

    def _remember(self, name: str, told: _Told) -> None:
        self._told[name] = told
        self._told.move_to_end(name)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)


def _event(about: _Subject, happening: Happening, now: datetime) -> Json:
    identity = happening.key or f"{happening.reason}/{happening.message}"
    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    involved = {
        "apiVersion": API_VERSION,
        "kind": about.kind,
        "name": about.name,
        "uid": about.uid,
    }
    if about.namespace:
        involved["namespace"] = about.namespace
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about.name[:200]}.{digest(about.uid, identity)[:16]}",
            "namespace": about.namespace or _DEFAULT_NAMESPACE,
        },
        "involvedObject": involved,
        "reason": happening.reason,
        "message": happening.message[:_MESSAGE_LENGTH],
        "type": happening.type,
        "count": 1,
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
    }
