"""The database file: what is written there, in which format, and whether it can be trusted.

Everything here is called by one thread. A transaction holds only the last state of each object. A
row carries a checksum and the file the number of its rows, so that a page that went bad is found
when the file is read, and not when somebody misses something.

Formats: 1 had no checksums. A newer format is never touched; an older one is brought up to date in
one transaction, after a copy of the file was put beside it.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple, cast
from zlib import crc32

import orjson

from isthmus.apiserver.history import Event, Record
from isthmus.apiserver.secretbox import SecretBox

FORMAT = 2
"""Written as SQLite's `user_version`."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS objects("
    "resource TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,"
    " uid TEXT NOT NULL, labels TEXT, owners TEXT, body BLOB NOT NULL, sum INTEGER,"
    " UNIQUE(resource, namespace, name))",
    "CREATE TABLE IF NOT EXISTS settings(name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
    " WITHOUT ROWID",
)
_COLUMNS = 9
_SELECT = (
    "SELECT resource, namespace, name, version, uid, labels, owners, body, sum FROM objects"
    " ORDER BY resource, namespace, name"
)
_PLACES = "(" + ",".join("?" * _COLUMNS) + ")"
_CHUNKS = (256, 64, 16, 4, 1)
"""Rows a statement: few distinct statements stay prepared, and each runs without the interpreter's
lock held from its first row to its last."""

_SHARED_LABELS = 1024
"""Sets of labels that objects share in memory once they are read; many have the same."""

_made: Callable[[type[Record], tuple[object, ...]], Record] = cast("Any", tuple).__new__
"""Makes a `Record` in a fourth of the time that its own constructor takes."""

Row = tuple[str, str, str, int, str, bytes | None, bytes | None, bytes, int]


class StorageFailed(Exception):
    """The database refused a write or cannot be opened; nothing acknowledged is lost."""


class Written(NamedTuple):
    """A change to be written, and the resource (`group/plural`) that it belongs to."""

    resource: str
    event: Event


class Database:
    """An open database. Make it with `Database.open`.

    Args:
        connection: To the file.
        box: Encrypts the bodies of the resources in `sealed`.
        sealed: Names of resources that are encrypted at rest.
    """

    def __init__(
        self, connection: sqlite3.Connection, box: SecretBox, sealed: frozenset[str]
    ) -> None:
        self.connection = connection
        self.box = box
        self._sealed = sealed
        self._count = 0

    @classmethod
    def open(cls, path: Path, box: SecretBox, sealed: frozenset[str]) -> "Database":
        """Open or make the file, for this process alone.

        Raises:
            StorageFailed: It was written by a newer program, or by another one.
            sqlite3.Error: Another process holds it, or it is no database.
        """
        connection = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None, timeout=2.0
        )
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA cell_size_check=ON")
            path.chmod(0o600)
            _bring_up_to_date(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(connection, box, sealed)

    def load(self) -> tuple[int, Iterator[tuple[str, Record]]]:
        """The last resourceVersion, and every object with its resource, in order.

        Raises:
            StorageFailed: While iterating: something was altered or is missing.
            UnreadableSecret: While iterating: the key does not fit.
        """
        settings = read_settings(self.connection)
        return settings.get("version", 1), self._records(settings)

    def _records(self, settings: dict[str, int]) -> Iterator[tuple[str, Record]]:
        self._count = settings.get("objects", 0)
        sealed = self._sealed
        read_labels = lru_cache(_SHARED_LABELS)(_read_labels)
        for row in checked(self.connection, settings):
            resource, namespace, name, version, uid, labels, owners, body, _ = row
            if resource in sealed:
                body = self.box.open_sealed(f"{resource}/{namespace}/{name}", body)
            key = (intern(namespace), name)
            owned = tuple(orjson.loads(owners)) if owners else ()
            record = _made(Record, (key, version, body, uid, read_labels(labels), owned))
            yield resource, record

    def write(self, changes: Sequence[Written]) -> None:
        """Make changes durable, in one transaction or not at all.

        Raises:
            sqlite3.Error: The disk refused; everything is as before.
        """
        latest: dict[tuple[str, tuple[str, str]], Event] = {}
        count = self._count
        for resource, event in changes:
            latest[resource, event.record.key] = event
            count += (event.type == "ADDED") - (event.type == "DELETED")
        gone: list[object] = []
        rows: list[object] = []
        for (resource, key), event in latest.items():
            if event.type == "DELETED":
                gone += (resource, *key)
            else:
                rows += self._row(resource, event.record)
        version = changes[-1].event.record.version
        self._transact(lambda: self._execute(gone, rows, version, count))
        self._count = count

    def try_write(self) -> None:
        """Write something that changes nothing, as durably as any object.

        Raises:
            sqlite3.Error: The disk refused.
        """
        now = int(time.time())

        def write() -> None:
            self.connection.execute("INSERT OR REPLACE INTO settings VALUES('tried', ?)", (now,))

        self._transact(write)

    def _execute(self, gone: list[object], rows: list[object], version: int, count: int) -> None:
        execute = self.connection.execute
        for number, values in _chunks(gone, 3):
            places = ",".join(["(?,?,?)"] * number)
            execute(
                f"DELETE FROM objects WHERE (resource,namespace,name) IN (VALUES {places})", values
            )
        for number, values in _chunks(rows, _COLUMNS):
            execute(f"INSERT OR REPLACE INTO objects VALUES {','.join([_PLACES] * number)}", values)
        execute(
            "INSERT OR REPLACE INTO settings VALUES('version', ?), ('objects', ?)",
            (version, count),
        )

    def _row(self, resource: str, record: Record) -> Row:
        namespace, name = record.key
        body = record.body
        if resource in self._sealed:
            body = self.box.seal(f"{resource}/{namespace}/{name}", body)
        labels = orjson.dumps(record.labels) if record.labels else None
        owners = orjson.dumps(record.owners) if record.owners else None
        row = (resource, namespace, name, record.version, record.uid, labels, owners, body)
        return (*row, checksum(row))

    def reseal(self, box: SecretBox) -> int:
        """Encrypt every sealed object anew with the first key of `box`; how many there were.

        What was encrypted with the old key is overwritten on the disk as well, free pages and the
        log included.
        """
        self.connection.execute("PRAGMA secure_delete=ON")
        done = 0

        def rewrite() -> None:
            nonlocal done
            for resource in self._sealed:
                found = self.connection.execute(
                    "SELECT * FROM objects WHERE resource=?", (resource,)
                ).fetchall()
                for row in found:
                    place = "/".join(row[:3])
                    fresh = (*row[:7], box.seal(place, self.box.open_sealed(place, row[7])))
                    self.connection.execute(
                        f"INSERT OR REPLACE INTO objects VALUES {_PLACES}",
                        (*fresh, checksum(fresh)),
                    )
                    done += 1

        self._transact(rewrite)
        self.box = box
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.execute("PRAGMA secure_delete=OFF")
        return done

    def _transact(self, work: Callable[[], None]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            work()
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def copy_to(self, path: Path) -> None:
        """Write a consistent copy into a file that does not exist yet; it is on the disk then."""
        path.touch(0o600, exist_ok=False)
        copy = sqlite3.connect(path, isolation_level=None)
        try:
            self.connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
        finally:
            copy.close()

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close()


def read_only(path: Path, *, patience: float = 5.0) -> sqlite3.Connection:
    """Open a file that is there and will not be changed; `patience` is the wait for its lock, in s.

    Raises:
        sqlite3.Error: It is not there, or cannot be read.
    """
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=patience)


def read_settings(connection: sqlite3.Connection) -> dict[str, int]:
    """What the file says about itself: the last `version`, and the number of `objects`."""
    return dict(connection.execute("SELECT name, value FROM settings").fetchall())


def checked(connection: sqlite3.Connection, settings: dict[str, int]) -> Iterator[Row]:
    """Every row in order, each one as it was written and none missing.

    Raises:
        StorageFailed: Not so.
    """
    count = 0
    for row in connection.execute(_SELECT):
        if checksum(row) != row[8]:
            raise StorageFailed(f"{'/'.join(row[:3])} was altered on the disk; restore a backup")
        if row[3] > settings.get("version", 1):
            raise StorageFailed(
                f"{'/'.join(row[:3])} is newer than the whole file; restore a backup"
            )
        count += 1
        yield row
    if count != settings.get("objects", 0):
        raise StorageFailed(
            f"it should hold {settings.get('objects', 0)} objects and holds {count}; restore a"
            " backup"
        )


def checksum(row: Sequence[object]) -> int:
    """A checksum of everything in a row but itself."""
    resource, namespace, name, version, uid, labels, owners, body = row[:8]
    head = f"{resource}\0{namespace}\0{name}\0{version}\0{uid}".encode("utf-8", "surrogatepass")
    total = crc32(head)
    # Unrolled, since a start does this for every object. Only damage makes other types of these.
    if isinstance(labels, bytes):
        total = crc32(labels, total)
    if isinstance(owners, bytes):
        total = crc32(owners, total)
    return crc32(body, total) if isinstance(body, bytes) else total


def _read_labels(stored: bytes | None) -> dict[str, str]:
    return orjson.loads(stored) if stored else {}


def _chunks(values: list[object], width: int) -> Iterator[tuple[int, list[object]]]:
    """Split flat rows into statements of a few fixed sizes."""
    start, left = 0, len(values) // width
    for size in _CHUNKS:
        while left >= size:
            yield size, values[start : start + size * width]
            start += size * width
            left -= size


# --- formats -----------------------------------------------------------------------------------


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    found = format_of(connection)
    if found > FORMAT:
        raise StorageFailed(
            f"{path} has format {found}, this program knows {FORMAT}: use the newer program, or"
            " restore a backup from before"
        )
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if tables if found == 0 else not {"objects", "settings"} <= tables:
        raise StorageFailed(
            f"{path} is the database of another program; move it away, and put back the right one"
            " or restore a backup"
        )
    if 0 < found < FORMAT:
        _keep(connection, path.with_name(f"{path.stem}-format{found}{path.suffix}"))
    while found < FORMAT:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _STEPS[found](connection)
            connection.execute(f"PRAGMA user_version={found + 1 if found else FORMAT}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        found = format_of(connection)


def format_of(connection: sqlite3.Connection) -> int:
    """The format of a database; 0: it is new."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _keep(connection: sqlite3.Connection, path: Path) -> None:
    """Keep a copy of the file as it is, which the older program can read."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    fresh.touch(0o600)
    connection.execute("VACUUM INTO ?", (str(fresh),))
    fresh.replace(path)


def _make(connection: sqlite3.Connection) -> None:
    for table in _TABLES:
        connection.execute(table)


def _add_checksums(connection: sqlite3.Connection) -> None:
    """1 to 2."""
    connection.execute("ALTER TABLE objects ADD COLUMN sum INTEGER")
    count = 0
    for row in connection.execute("SELECT *, rowid FROM objects").fetchall():
        connection.execute("UPDATE objects SET sum=? WHERE rowid=?", (checksum(row[:8]), row[-1]))
        count += 1
    connection.execute("INSERT OR REPLACE INTO settings VALUES('objects', ?)", (count,))


_STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {0: _make, 1: _add_checksums}
"""What brings a format to the next one; 0 makes the newest at once."""
