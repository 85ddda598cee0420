"""A data folder before anything in it is opened: what was lost is told, never replaced by new.

The order of the first start makes that decidable. The database is written first, whole; only then
the keys are. So a folder with keys, users or a log and without a database once had one.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson

from isthmus.apiserver.database import FORMAT, Database, StorageFailed, format_of, read_only
from isthmus.apiserver.secretbox import (
    KEY_BYTES,
    SecretBox,
    UnreadableSecret,
    parse_keys,
    write_private,
)

DATABASE = "objects.sqlite"
SECRETS_KEY = "secrets.key"
TOKENS_KEY = "tokens.key"
TOKENS = "tokens.json"
_LOG = f"{DATABASE}-wal"
_LATER = (SECRETS_KEY, TOKENS_KEY, TOKENS, "tls/ca.key")
"""What is written after the database at the first start."""
_NOT_LOOKED = (
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
)  # fmt: skip
"""Why a file could not be looked at, which says nothing about what is in it. Looking needs room on
the disk for an index of the log."""
_ANEW = "to begin anew, name an empty folder"


def check(folder: Path, sealed: frozenset[str]) -> None:
    """Look at a folder and change nothing.

    Args:
        folder: The data folder.
        sealed: Names of resources that are encrypted at rest.

    Raises:
        StorageFailed: Something was lost, emptied or exchanged since the last start.
    """
    try:
        _check_database(folder)
        for name, fits in _FITS.items():
            _check_content(folder / name, fits)
        _check_log(folder, sealed)
    except OSError as error:
        raise StorageFailed(
            f"{error.filename or folder} cannot be read ({error.strerror}); give this user the"
            " right to it"
        ) from error


def _check_database(folder: Path) -> None:
    path = folder / DATABASE
    if _size(path) and (_size(folder / _LOG) or _has_format(path)):
        return
    what = "is empty" if path.exists() else "is missing"
    for name in (_LOG, *_LATER):
        if _size(folder / name) if name == _LOG else (folder / name).exists():
            raise StorageFailed(
                f"{path} {what}, and {folder / name} says that it held objects; put it back, or"
                f" restore a backup; {_ANEW}"
            )


def _has_format(path: Path) -> bool:
    """Whether SQLite's header says that tables of ours were made; a torn header is for SQLite."""
    with path.open("rb") as file:
        header = file.read(100)
    return len(header) < 100 or header[:15] != b"SQLite format 3" or header[60:64] != bytes(4)


def _check_log(folder: Path, sealed: frozenset[str]) -> None:
    """Read what a crash left without writing to it: the log may be that of another file.

    SQLite applies a log to whatever database it lies beside, and that cannot be taken back.
    """
    path, log = folder / DATABASE, folder / _LOG
    if not _size(path) or not _size(log):
        return
    try:
        with closing(read_only(path, patience=2.0)) as found:
            if format_of(found) == FORMAT:
                for _ in Database(found, open_box(folder)[0], sealed).load()[1]:
                    pass
    except (sqlite3.Error, StorageFailed, UnreadableSecret) as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in _NOT_LOOKED and code != sqlite3.SQLITE_IOERR_SHORT_READ:
            return  # whoever opens it says what is in the way
        raise StorageFailed(
            f"{path} cannot be read together with its log {log}: {error}; nothing was changed."
            " Restore a backup, or put back the file that the log belongs to"
        ) from error


def _check_content(path: Path, fits: Callable[[bytes], object]) -> None:
    if not path.exists():
        return
    try:
        fits(path.read_bytes())
    except (ValueError, TypeError, KeyError) as error:
        raise StorageFailed(
            f"{path} is not what was written there ({error}); put it back, from the key file of a"
            " backup for example"
        ) from error


def _fits_users(content: bytes) -> None:
    for entry in orjson.loads(content):
        _ = entry["sha256"], entry["user"], entry["groups"]


def _fits_tokens_key(content: bytes) -> None:
    """Whoever can guess the key can make tokens."""
    if len(content) < KEY_BYTES:
        raise ValueError(f"it has {len(content)} bytes")


def _fits_pem(content: bytes) -> None:
    if not content.startswith(b"-----BEGIN "):
        raise ValueError("it is no PEM")


_FITS: dict[str, Callable[[bytes], object]] = {
    SECRETS_KEY: parse_keys,
    TOKENS_KEY: _fits_tokens_key,
    TOKENS: _fits_users,
    "tls/ca.key": _fits_pem,
    "tls/ca.crt": _fits_pem,
}


def open_box(folder: Path) -> tuple[SecretBox, bytes | None]:
    """The box of a folder's keys; with a fresh key where there is none.

    Returns:
        The box, and the fresh key, which `keep_key` writes once the database is there.
    """
    path = folder / SECRETS_KEY
    if path.exists():
        return SecretBox(parse_keys(path.read_bytes())), None
    fresh = os.urandom(KEY_BYTES)
    return SecretBox([fresh]), fresh


def keep_key(folder: Path, key: bytes | None) -> None:
    """Write a fresh key, if there is one."""
    if key is not None:
        write_private(folder / SECRETS_KEY, key.hex().encode() + b"\n")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
