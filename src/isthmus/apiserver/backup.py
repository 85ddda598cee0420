"""Backups: one file with all objects and users, and apart from it one file with the keys.

A backup is an SQLite database in the format of `database`, with two tables more. It is verified
when it is made and again before it is restored: every page, every row's checksum, and their number.
Secrets in it stay encrypted; without the key file nobody reads them, and nobody restores them.

After a restore resourceVersions go on far ahead of any that was given out since the backup, so that
a watcher from before the restore is told to list again instead of missing what comes.
"""

import base64
import binascii
import json
import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, cast

from isthmus.apiserver.database import (
    FORMAT,
    StorageFailed,
    checked,
    format_of,
    read_only,
    read_settings,
)
from isthmus.apiserver.datafolder import DATABASE, SECRETS_KEY, TOKENS, TOKENS_KEY
from isthmus.apiserver.kinds import SECRET_COLLECTION
from isthmus.apiserver.secretbox import SecretBox, UnreadableSecret, parse_keys, write_private

KEY_FILES = (SECRETS_KEY, TOKENS_KEY, "tls/ca.key", "tls/ca.crt")
"""What the key file holds of a data folder. The server's own certificate is made anew."""
SKIPPED_VERSIONS = 1_000_000_000
"""By how much a restore moves the resourceVersion ahead, as etcd's does."""


class BackupFailed(Exception):
    """A backup cannot be made or restored; nothing was changed, and the message says what helps."""


class Facts(NamedTuple):
    """What a backup holds.

    Attributes:
        made_at: When it was made, ISO 8601 in UTC.
        version: resourceVersion of the last change in it.
        objects: How many objects.
        secrets: How many of them are encrypted.
    """

    made_at: str
    version: int
    objects: int
    secrets: int


# --- making --------------------------------------------------------------------------------------


def complete(path: Path, folder: Path, now: datetime) -> Facts:
    """Make a backup of a fresh copy of the database, and verify it.

    Args:
        path: The copy.
        folder: The data folder, for the users.
        now: Goes into the backup; aware.
    """
    tokens = folder / TOKENS
    users = tokens.read_bytes() if tokens.exists() else b"[]"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE backup(name TEXT PRIMARY KEY, value) WITHOUT ROWID")
        connection.executemany(
            "INSERT INTO backup VALUES(?, ?)",
            [("made_at", now.isoformat(timespec="seconds")), (TOKENS, users)],
        )
        connection.execute("COMMIT")
    sync(path)
    return verify(path)


def verify(path: Path) -> Facts:
    """Read a backup from its first byte to its last.

    Raises:
        BackupFailed: It is none, it is newer than this program, or it is damaged.
    """
    try:
        with closing(read_only(path)) as connection:
            return _verify(path, connection)
    except (sqlite3.Error, StorageFailed) as error:
        raise BackupFailed(f"{path} is damaged, or is no backup: {error}") from error


def _verify(path: Path, connection: sqlite3.Connection) -> Facts:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not {"backup", "objects", "settings"} <= tables:
        raise BackupFailed(f"{path} is no backup; name a file that `backup` wrote")
    found = format_of(connection)
    if found > FORMAT:
        raise BackupFailed(
            f"{path} has format {found}, this program knows {FORMAT}: restore it with the newer"
            " program"
        )
    state = connection.execute("PRAGMA integrity_check").fetchone()[0]
    if state != "ok":
        raise BackupFailed(f"{path} is damaged ({state}); take an older one")
    settings = read_settings(connection)
    secrets = sum(row[0] == SECRET_COLLECTION for row in checked(connection, settings))
    made_at = str(_remembered(connection, "made_at"))
    return Facts(made_at, settings.get("version", 1), settings.get("objects", 0), secrets)


def _remembered(connection: sqlite3.Connection, name: str) -> object:
    row = connection.execute("SELECT value FROM backup WHERE name=?", (name,)).fetchone()
    return row[0] if row else b""


# --- keys ----------------------------------------------------------------------------------------


def write_keys(folder: Path, path: Path) -> None:
    """Write the keys of a data folder into one file with mode 0600.

    Raises:
        BackupFailed: The folder has no keys.
    """
    if not (folder / SECRETS_KEY).exists():
        raise BackupFailed(f"{folder} holds no keys; name the data folder")
    held = {
        name: base64.b64encode((folder / name).read_bytes()).decode()
        for name in KEY_FILES
        if (folder / name).exists()
    }
    write_private(path, json.dumps(held, indent=2).encode() + b"\n")


def read_keys(path: Path) -> dict[str, bytes]:
    """What `write_keys` wrote.

    Raises:
        BackupFailed: It is something else.
    """
    try:
        held = cast("dict[str, str]", json.loads(path.read_text()))
        found = {name: base64.b64decode(held[name]) for name in KEY_FILES if name in held}
        parse_keys(found[SECRETS_KEY])
    except (OSError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise BackupFailed(
            f"{path} is no key file; name the one that `backup --keys` wrote"
        ) from error
    return found


# --- restoring -----------------------------------------------------------------------------------


def restore(path: Path, folder: Path, keys: Mapping[str, bytes] | None) -> Facts:
    """Make a data folder of a backup. Interrupted at any moment, it can be done again.

    Args:
        path: The backup.
        folder: Must hold no database yet.
        keys: What `read_keys` read; None: those that the folder holds already.

    Raises:
        BackupFailed: Nothing was restored.
    """
    facts = verify(path)
    for name in (DATABASE, f"{DATABASE}-wal"):
        if (folder / name).exists():
            raise BackupFailed(
                f"{folder / name} exists; name an empty folder, or move the old one away"
            )
    if keys is None:
        keys = {n: (folder / n).read_bytes() for n in KEY_FILES if (folder / n).exists()}
    _check_keys(path, folder, facts, keys)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = folder / f"{DATABASE}.new"
    write_private(fresh, b"")
    shutil.copyfile(path, fresh)
    users = _detach(fresh)
    for name, content in keys.items():
        (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
        write_private(folder / name, content)
    write_private(folder / TOKENS, users)
    sync(fresh)
    fresh.replace(folder / DATABASE)
    sync(folder)
    return facts


def _check_keys(path: Path, folder: Path, facts: Facts, keys: Mapping[str, bytes]) -> None:
    for name, content in keys.items():
        if (folder / name).exists() and (folder / name).read_bytes() != content:
            raise BackupFailed(f"{folder / name} is another key; name an empty folder")
    if not facts.secrets:
        return
    if SECRETS_KEY not in keys:
        raise BackupFailed(
            f"{path} holds {facts.secrets} Secrets, which are encrypted; name the key file that"
            " was written with it"
        )
    box = SecretBox(parse_keys(keys[SECRETS_KEY]))
    with closing(read_only(path)) as connection:
        rows = connection.execute(
            "SELECT resource, namespace, name, body FROM objects WHERE resource=?",
            (SECRET_COLLECTION,),
        )
        try:
            for *place, body in rows:
                box.open_sealed("/".join(place), body)
        except UnreadableSecret as error:
            raise BackupFailed(f"the key file is not the one of {path}: {error}") from error


def _detach(path: Path) -> bytes:
    """Make a database of a copied backup; the users that it held."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        users = _remembered(connection, TOKENS)
        connection.execute("BEGIN")
        connection.execute("DROP TABLE backup")
        connection.execute(
            "UPDATE settings SET value=value+? WHERE name='version'", (SKIPPED_VERSIONS,)
        )
        connection.execute("COMMIT")
    return users if isinstance(users, bytes) else b"[]"


def sync(path: Path) -> None:
    """Have a file or a folder on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
