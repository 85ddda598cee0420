"""Runs the controllers: caches, queues and workers, from start to graceful stop.

How a program is put together (see ``isthmus.controllers.build`` for the second line)::

    manager = Manager(store, clock=SystemClock())
    built = controllers.build(manager, load=drivers.load, installation="home")
    async with manager:            # starts it; leaving the block stops it gracefully
        await forever

A standby calls ``warm``, and ``work`` once it leads.

``store`` is any ``isthmus.ports.Store``. Everything runs on the current event loop.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import structlog

from isthmus.api.meta import Json, Resource
from isthmus.ports import Api, Clock, Store
from isthmus.runtime import telemetry
from isthmus.runtime.cache import Cache, Change, Index, Lister, metadata_only
from isthmus.runtime.events import Events
from isthmus.runtime.kinds import METADATA_ONLY, Key, api_of, key_of
from isthmus.runtime.queue import Queue
from isthmus.runtime.worker import Next, Reconciler, Worker

log = structlog.get_logger(__name__)

WORKERS = 8
"""Reconciles of one kind at the same time. They only wait for API calls, never for a cloud."""
_LONG = timedelta(minutes=1)
_JITTER = 0.1
GRACE = timedelta(seconds=10)
"""How long a stop waits for the reconciles in work."""

ResourceT = TypeVar("ResourceT", bound=Resource[Any, Any])


@dataclass(frozen=True, slots=True)
class Trigger:
    """Objects of another resource whose change queues ours.

    Args:
        cache: Of the other resource.
        keys: From the changed object to the keys of ours.
        essence: Only a change of this part counts; None: every change does.
        gone: Only that the object has gone counts.
    """

    cache: Cache
    keys: Callable[[Json], Iterable[Key]]
    essence: Callable[[Json], object] | None = None
    gone: bool = False


class _Controller:
    def __init__(self, worker: Worker[Any], workers: int) -> None:
        self.worker = worker
        self.queue = Queue()
        self.workers = workers

    async def work(self) -> None:
        while True:
            key = await self.queue.get()
            try:
                self._requeue(key, await self.worker.step(key))
            except Exception:
                log.exception("worker broke", controller=self.worker.name)
                self.queue.retry(key)
            finally:
                self.queue.done(key)

    def _requeue(self, key: Key, following: Next) -> None:
        if following.failed:
            self.queue.retry(key, after=following.after)
            return
        self.queue.succeeded(key)
        if following.after is not None:
            self.queue.add_after(key, _spread(following.after))


class Manager:
    """Owns the caches and runs the controllers.

    Args:
        store: Where the objects live.
        clock: The time.
        permit: Called before each call to a cloud; raises where we may not act (any more).
    """

    def __init__(
        self, store: Store, *, clock: Clock, permit: Callable[[], None] = lambda: None
    ) -> None:
        self.store = store
        self.clock = clock
        self.permit = permit
        self.events = Events(store, clock)
        self._caches: dict[Api, Cache] = {}
        self._controllers: list[_Controller] = []
        self._background: list[Callable[[], Awaitable[None]]] = [self.events.run]
        self._closers: list[Callable[[], Awaitable[None]]] = []
        self._tasks: list[asyncio.Task[Any]] = []

    @property
    def apis(self) -> tuple[Api, ...]:
        """What is listed and watched."""
        return tuple(self._caches)

    @property
    def reconcilers(self) -> tuple[Reconciler[Any], ...]:
        """What runs."""
        return tuple(controller.worker.reconciler for controller in self._controllers)

    @property
    def warmed(self) -> bool:
        """Whether all caches have been filled."""
        return all(cache.synced.is_set() for cache in self._caches.values())

    def cache(self, api: Api) -> Cache:
        """Return the cache of a resource; it is filled once the manager runs."""
        if api not in self._caches:
            trim = metadata_only if api in METADATA_ONLY else None
            self._caches[api] = Cache(self.store, api, trim=trim)
        return self._caches[api]

    def lister(self, kind: type[ResourceT], **indexes: Index) -> Lister[ResourceT]:
        """Return the cached objects of a kind, indexed by name of index."""
        cache = self.cache(api_of(kind))
        for name, index in indexes.items():
            cache.index(name, index)
        return Lister(cache, kind)

    def add(
        self,
        reconciler: Reconciler[ResourceT],
        *,
        triggers: Iterable[Trigger] = (),
        workers: int = WORKERS,
    ) -> Worker[ResourceT]:
        """Run a reconciler for every object of its kind."""
        cache = self.cache(api_of(reconciler.kind))
        worker = Worker(reconciler, self.store, cache, clock=self.clock, events=self.events)
        controller = _Controller(worker, workers)
        own = Trigger(cache, lambda obj: [key_of(obj)], essence=_wanted)
        for trigger in (own, *triggers):
            trigger.cache.subscribe(_queueing(trigger, controller.queue))
        queue = controller.queue
        telemetry.QUEUE_DEPTH.labels(worker.name).set_function(lambda: len(queue))
        self._controllers.append(controller)
        return worker

    def in_background(self, run: Callable[[], Awaitable[None]]) -> None:
        """Have something run as long as the manager does."""
        self._background.append(run)

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have something called once everything has stopped."""
        self._closers.append(close)

    async def start(self) -> None:
        """Fill the caches, then start the workers."""
        await self.warm()
        self.work()

    async def warm(self) -> None:
        """Fill the caches, and keep them fresh; what they bring is queued."""
        self._tasks = [asyncio.create_task(cache.run()) for cache in self._caches.values()]
        await asyncio.gather(*(cache.synced.wait() for cache in self._caches.values()))

    def work(self) -> None:
        """Start the workers; after ``warm``."""
        spawn = asyncio.create_task
        self._tasks += [spawn(_forever(run)) for run in self._background]
        for controller in self._controllers:
            self._tasks += [spawn(controller.work()) for _ in range(controller.workers)]

    async def stop(self) -> bool:
        """Let the reconciles in work end, then stop everything.

        Returns:
            Whether they did end; false: some were broken off after ``GRACE``.
        """
        ended = False
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE.total_seconds()):
                await self._settle()
            ended = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for close in reversed(self._closers):
            await close()
        return ended

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @property
    def idle(self) -> bool:
        """Whether no object is queued or in work; some may wait for their time."""
        return all(controller.queue.idle for controller in self._controllers)

    async def _settle(self) -> None:
        for controller in self._controllers:
            controller.queue.close()
        await asyncio.gather(*(c.queue.drain() for c in self._controllers))


def _spread(after: timedelta) -> timedelta:
    """Let what was made at once not be looked at again at once for ever."""
    return after * (1 + random.random() * _JITTER) if after >= _LONG else after


async def _forever(run: Callable[[], Awaitable[None]]) -> None:
    await run()


def _queueing(trigger: Trigger, queue: Queue) -> Callable[[Change], None]:
    essence = trigger.essence

    def changed(change: Change) -> None:
        if trigger.gone and change.new is not None:
            return
        keys = tuple(trigger.keys(change.object))
        if keys and (essence is None or not _same(essence, change)):
            for key in keys:
                queue.add(key)

    return changed


def _same(essence: Callable[[Json], object], change: Change) -> bool:
    if change.old is None or change.new is None:
        return False
    return essence(change.old) == essence(change.new)


def _wanted(obj: Json) -> object:
    """What somebody wants of an object: all but its status and our finalizer."""
    meta = obj["metadata"]
    return (
        meta.get("uid"),
        meta.get("generation"),
        meta.get("labels"),
        meta.get("annotations"),
        meta.get("deletionTimestamp"),
    )
