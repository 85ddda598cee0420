"""Objects in SQLite: one write path, group commit, nothing visible before it is durable.

A writer stages changes (no waiting, so reading and staging in one go cannot race) and then awaits
`commit`. All that was staged while the previous transaction ran goes into one SQLite transaction,
written by one thread. Readers and watchers see committed objects only; writers see staged ones.
Bodies stay bytes.
"""

import asyncio
import gc
import logging
import sqlite3
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, TypeVar

from isthmus.apiserver.collection import Collection
from isthmus.apiserver.config import Limits
from isthmus.apiserver.database import Database, StorageFailed, Written
from isthmus.apiserver.history import Event, History, Key, Record
from isthmus.apiserver.secretbox import SecretBox, UnreadableSecret

__all__ = ["Change", "Collection", "StorageFailed", "Store"]

_LOG = logging.getLogger(__name__)
Result = TypeVar("Result")


class Change(NamedTuple):
    """A staged event and where it belongs."""

    collection: Collection
    event: Event


class _Batch:
    """Changes that become durable together."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._waiting: list[asyncio.Future[None]] = []

    async def done(self) -> None:
        """Wait until they are durable and visible. Each has a future of its own: one may give up.

        Raises:
            StorageFailed: They are not.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def settle(self, error: StorageFailed | None = None) -> None:
        """Tell everybody who waits."""
        for waiter in self._waiting:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        self._waiting.clear()


class Store:
    """The database and its image in memory. Open it with `Store.open`.

    Args:
        database: An open database.
        thread: The one thread that uses it.
        limits: How much history is kept.
    """

    def __init__(self, database: Database, thread: ThreadPoolExecutor, limits: Limits) -> None:
        self.version = 0
        """The resourceVersion of the last committed change."""
        self._allocated = 0
        self._collections: dict[str, Collection] = {}
        self._homes: dict[str, tuple[Collection, Key]] = {}
        self._dependents: dict[str, set[tuple[str, Key]]] = {}
        self._listeners: list[Callable[[Collection, Event], None]] = []
        self._database = database
        self._thread = thread
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._open = _Batch()
        self._running: _Batch | None = None
        self._flusher: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, path: Path, box: SecretBox, sealed: frozenset[str], limits: Limits
    ) -> "Store":
        """Open or make the database and load every object.

        Raises:
            StorageFailed: Another process holds it, it is newer than this program, or damaged.
        """
        thread = ThreadPoolExecutor(1, thread_name_prefix="apiserver-store")
        loop = asyncio.get_running_loop()
        try:
            database = await loop.run_in_executor(thread, Database.open, path, box, sealed)
        except (sqlite3.Error, StorageFailed) as error:
            thread.shutdown()
            raise StorageFailed(_cannot_open(path, error)) from error
        store = cls(database, thread, limits)
        try:
            await loop.run_in_executor(thread, store._load)
        except (sqlite3.Error, UnreadableSecret, StorageFailed) as error:
            await store.close()
            raise StorageFailed(f"{path} cannot be read: {error}") from error
        return store

    def _load(self) -> None:
        self.version, records = self._database.load()
        self._allocated = self.version
        with _lasting():
            for resource, found in groupby(records, itemgetter(0)):
                collection = self.collection(resource)
                for _, record in found:
                    key = record.key
                    collection.records[key] = record
                    collection.keys.append(key)
                    self._homes[record.uid] = (collection, key)
                    for owner in record.owners:
                        self._dependents.setdefault(owner, set()).add((resource, key))

    def collection(self, name: str) -> Collection:
        """The objects of a resource, by `group/plural`."""
        found = self._collections.get(name)
        if found is None:
            limits = self._limits
            history = History(self.version, limits.history_events, limits.history_bytes)
            found = self._collections[name] = Collection(name, history)
        return found

    def collections(self) -> Iterator[Collection]:
        """Every resource that ever had an object since the start."""
        return iter(tuple(self._collections.values()))

    def find(self, uid: str) -> tuple[Collection, Record] | None:
        """The committed object of this uid."""
        home = self._homes.get(uid)
        return (home[0], home[0].records[home[1]]) if home else None

    def dependents(self, uid: str) -> list[tuple[Collection, Record]]:
        """Committed objects that name `uid` as an owner."""
        found = self._dependents.get(uid, ())
        return [
            (self._collections[name], self._collections[name].records[key]) for name, key in found
        ]

    def owner_uids(self) -> list[str]:
        """Every uid that some committed object names as its owner."""
        return list(self._dependents)

    def listen(self, listener: Callable[[Collection, Event], None]) -> None:
        """Call `listener` for every committed change, before its writer is answered."""
        self._listeners.append(listener)

    @property
    def allocated(self) -> int:
        """The last resourceVersion that some change was staged with."""
        return self._allocated

    def allocate(self) -> int:
        """The resourceVersion for the change that is staged next."""
        self._allocated += 1
        return self._allocated

    def stage(self, collection: Collection, record: Record, *, delete: bool = False) -> None:
        """Add a change to the next transaction. The record's version comes from `allocate`."""
        previous = collection.current(record.key)
        kind = "DELETED" if delete else ("ADDED" if previous is None else "MODIFIED")
        collection.staged[record.key] = None if delete else record
        self._open.changes.append(Change(collection, Event(kind, record, previous)))
        if self._flusher is None:
            self._flusher = self._loop.create_task(self._flush())

    async def commit(self) -> None:
        """Return once everything staged so far is durable and visible.

        Raises:
            StorageFailed: The disk refused; the staged changes are forgotten.
        """
        batch = self._open if self._open.changes else self._running
        if batch is not None:
            await batch.done()

    async def _flush(self) -> None:
        while self._open.changes:
            batch = self._running = self._open
            self._open = _Batch()
            try:
                await self._loop.run_in_executor(self._thread, self._write, batch.changes)
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                self._abandon(batch, error)
            else:
                self._publish(batch)
        self._running = self._flusher = None

    def _write(self, changes: list[Change]) -> None:
        self._database.write([Written(c.collection.name, c.event) for c in changes])

    async def in_thread(self, work: Callable[[Database], Result]) -> Result:
        """Do something else with the database, between two transactions.

        Raises:
            StorageFailed: The disk refused.
        """
        try:
            return await self._loop.run_in_executor(self._thread, work, self._database)
        except (sqlite3.Error, OSError, UnreadableSecret) as error:
            raise StorageFailed(f"the database refused: {error}") from error

    def _publish(self, batch: _Batch) -> None:
        touched: dict[str, Collection] = {}
        for collection, event in batch.changes:
            collection.publish(event)
            removed = event.type == "DELETED"
            self._index(collection, None if removed else event.record, event.previous)
            touched[collection.name] = collection
            self._tell(collection, event)
        self.version = batch.changes[-1].event.record.version
        for collection in touched.values():
            collection.history.wake()
        batch.settle()

    def _tell(self, collection: Collection, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener(collection, event)
            except Exception:  # noqa: BLE001 - the change is durable: its writer must hear so
                _LOG.exception("a listener failed", extra={"resource": collection.name})

    def _abandon(self, batch: _Batch, error: Exception) -> None:
        """Forget every staged change: later ones may rest on those that failed."""
        waiting, self._open = self._open, _Batch()
        for collection in self._collections.values():
            collection.staged.clear()
        for failed in (batch, waiting):
            failed.settle(StorageFailed(f"the database refused the write: {error}"))

    def _index(self, collection: Collection, new: Record | None, old: Record | None) -> None:
        if old is not None:
            for owner in old.owners:
                places = self._dependents.get(owner)
                if places is not None:
                    places.discard((collection.name, old.key))
                    if not places:
                        del self._dependents[owner]
            self._homes.pop(old.uid, None)
        if new is not None:
            for owner in new.owners:
                self._dependents.setdefault(owner, set()).add((collection.name, new.key))
            self._homes[new.uid] = (collection, new.key)

    async def close(self) -> None:
        """Finish what is staged and close the database."""
        while self._flusher is not None:
            await asyncio.wait([self._flusher])
        await self._loop.run_in_executor(self._thread, self._database.close)
        self._thread.shutdown()


@contextmanager
def _lasting() -> Generator[None]:
    """Keep what is made here out of every collection of garbage: it is much, and it stays."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def _cannot_open(path: Path, error: Exception) -> str:
    if isinstance(error, StorageFailed):
        return str(error)
    if "locked" in str(error):
        return f"{path} cannot be opened: the database is locked by another process; stop that one"
    return f"{path} cannot be opened: {error}; restore a backup if it is damaged"
