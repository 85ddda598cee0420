"""Objects in SQLite: one write path, group commit, nothing visible before it is durable.

A writer stages changes (no waiting, so reading and staging in one go cannot race) and then awaits
`commit`. All that was staged while the previous transaction ran goes into one SQLite transaction,
written by one thread. Readers and watchers see committed objects only; writers see staged ones.
Bodies stay bytes.
"""

import asyncio
import logging
import sqlite3
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import orjson

from isthmus.apiserver.config import Limits
from isthmus.apiserver.history import Event, History, Key, Record
from isthmus.apiserver.secretbox import SecretBox, UnreadableSecret

_LOG = logging.getLogger(__name__)
SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects(
    resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
    uid TEXT NOT NULL, labels TEXT, owners TEXT, body BLOB NOT NULL,
    UNIQUE(resource, namespace, name));
CREATE TABLE IF NOT EXISTS settings(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_COLUMNS = 8
_CHUNKS = (256, 64, 16, 4, 1)
"""Rows a statement: few distinct statements stay prepared, and each runs without the interpreter's
lock held from its first row to its last."""


class StorageFailed(Exception):
    """The database refused a write or cannot be opened; nothing acknowledged is lost."""


class Collection:
    """All objects of one resource: what is committed, what is staged, what changed lately.

    Args:
        name: `group/plural`.
        history: The ring that watchers read.
    """

    def __init__(self, name: str, history: History) -> None:
        self.name = name
        self.history = history
        self.records: dict[Key, Record] = {}
        self.keys: list[Key] = []
        self.staged: dict[Key, Record | None] = {}

    def current(self, key: Key) -> Record | None:
        """The object as a writer must see it, staged changes included."""
        if key in self.staged:
            return self.staged[key]
        return self.records.get(key)

    def within(self, namespace: str | None) -> Sequence[Key]:
        """Keys of committed objects in order, of one namespace or (None) of all."""
        if namespace is None:
            return self.keys
        low = bisect_left(self.keys, (namespace, ""))
        high = bisect_left(self.keys, (namespace + "\0", ""))
        return self.keys[low:high]

    def publish(self, event: Event) -> None:
        """Make a committed change visible."""
        key = event.record.key
        if event.type == "DELETED":
            del self.records[key]
            del self.keys[bisect_left(self.keys, key)]
        else:
            if event.type == "ADDED":
                insort(self.keys, key)
            self.records[key] = event.record
        staged = self.staged.get(key, event.record)
        if staged is event.record or (staged is None and event.type == "DELETED"):
            self.staged.pop(key, None)
        self.history.append(event)


class Change(NamedTuple):
    """A staged event and where it belongs."""

    collection: Collection
    event: Event


class _Batch:
    """Changes that become durable together."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.changes: list[Change] = []
        self.done: asyncio.Future[None] = loop.create_future()
        # A batch may fail when nobody waits for it any more; that is no warning's business.
        self.done.add_done_callback(lambda done: done.cancelled() or done.exception())


class Store:
    """The database and its image in memory. Open it with `Store.open`.

    Args:
        connection: An opened database.
        thread: The one thread that uses the connection.
        box: Encrypts the bodies of the resources in `sealed`.
        sealed: Names of resources that are encrypted at rest.
        limits: How much history is kept.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        thread: ThreadPoolExecutor,
        box: SecretBox,
        sealed: frozenset[str],
        limits: Limits,
    ) -> None:
        self.version = 0
        """The resourceVersion of the last committed change."""
        self._allocated = 0
        self._collections: dict[str, Collection] = {}
        self._homes: dict[str, tuple[Collection, Key]] = {}
        self._dependents: dict[str, set[tuple[str, Key]]] = {}
        self._listeners: list[Callable[[Collection, Event], None]] = []
        self._connection = connection
        self._thread = thread
        self._box = box
        self._sealed = sealed
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._open = _Batch(self._loop)
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
            connection = await loop.run_in_executor(thread, _connect, path)
        except sqlite3.Error as error:
            thread.shutdown()
            raise StorageFailed(f"{path} cannot be opened: {error}") from error
        store = cls(connection, thread, box, sealed, limits)
        try:
            await loop.run_in_executor(thread, store._load)
        except (sqlite3.Error, UnreadableSecret) as error:
            await store.close()
            raise StorageFailed(f"{path} cannot be read: {error}") from error
        return store

    def _load(self) -> None:
        row = self._connection.execute("SELECT value FROM settings WHERE name='version'").fetchone()
        self.version = self._allocated = int(row[0]) if row else 1
        rows = self._connection.execute(
            "SELECT resource, namespace, name, version, uid, labels, owners, body FROM objects"
            " ORDER BY resource, namespace, name"
        )
        for resource, namespace, name, version, uid, labels, owners, body in rows:
            if resource in self._sealed:
                body = self._box.open_sealed(f"{resource}/{namespace}/{name}", body)
            collection = self.collection(resource)
            key = (namespace, name)
            record = Record(
                key, version, body, uid,
                orjson.loads(labels) if labels else {},
                tuple(orjson.loads(owners)) if owners else (),
            )  # fmt: skip
            collection.records[key] = record
            collection.keys.append(key)
            self._index(collection, record, None)

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
            await asyncio.shield(batch.done)

    async def _flush(self) -> None:
        while self._open.changes:
            batch = self._running = self._open
            self._open = _Batch(self._loop)
            try:
                await self._loop.run_in_executor(self._thread, self._write, batch.changes)
            except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever
                self._abandon(batch, error)
            else:
                self._publish(batch)
        self._running = self._flusher = None

    def _write(self, changes: list[Change]) -> None:
        """One transaction; only the last state of each object is written."""
        latest = {(change.collection.name, change.event.record.key): change for change in changes}
        gone: list[object] = []
        rows: list[object] = []
        for (resource, key), (_, event) in latest.items():
            if event.type == "DELETED":
                gone += (resource, *key)
            else:
                rows += self._row(resource, event.record)
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for count, values in _chunks(gone, 3):
                places = ",".join(["(?,?,?)"] * count)
                execute(
                    f"DELETE FROM objects WHERE (resource,namespace,name) IN (VALUES {places})",
                    values,
                )
            for count, values in _chunks(rows, _COLUMNS):
                places = ",".join(["(?,?,?,?,?,?,?,?)"] * count)
                execute(f"INSERT OR REPLACE INTO objects VALUES {places}", values)
            execute(
                "INSERT OR REPLACE INTO settings VALUES('version', ?)",
                (changes[-1].event.record.version,),
            )
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def _row(self, resource: str, record: Record) -> tuple[object, ...]:
        namespace, name = record.key
        body = record.body
        if resource in self._sealed:
            body = self._box.seal(f"{resource}/{namespace}/{name}", body)
        labels = orjson.dumps(record.labels) if record.labels else None
        owners = orjson.dumps(record.owners) if record.owners else None
        return (resource, namespace, name, record.version, record.uid, labels, owners, body)

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
        batch.done.set_result(None)

    def _tell(self, collection: Collection, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener(collection, event)
            except Exception:  # noqa: BLE001 - the change is durable: its writer must hear so
                _LOG.exception("a listener failed", extra={"resource": collection.name})

    def _abandon(self, batch: _Batch, error: Exception) -> None:
        """Forget every staged change: later ones may rest on those that failed."""
        waiting, self._open = self._open, _Batch(self._loop)
        for collection in self._collections.values():
            collection.staged.clear()
        for failed in (batch, waiting):
            failed.done.set_exception(StorageFailed(f"the database refused the write: {error}"))

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
        await self._loop.run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()


def _chunks(values: list[object], width: int) -> Iterator[tuple[int, list[object]]]:
    """Split flat rows into statements of a few fixed sizes."""
    start, left = 0, len(values) // width
    for size in _CHUNKS:
        while left >= size:
            yield size, values[start : start + size * width]
            start += size * width
            left -= size


def _connect(path: Path) -> sqlite3.Connection:
    """Open the database for this process alone.

    Raises:
        StorageFailed: It was written by a newer program.
    """
    connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=2.0)
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if found > SCHEMA_VERSION:
        connection.close()
        raise StorageFailed(
            f"{path} has format {found}, this program knows {SCHEMA_VERSION}: use the newer program"
        )
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    path.chmod(0o600)
    return connection
