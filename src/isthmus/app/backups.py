"""Backups and keys of a state folder, through the running server or, without one, by ourselves.

A running Isthmus holds its database alone, so it is asked for a copy. Keys never travel over the
network: they are read from the folder.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import orjson

from isthmus.apiserver import backup, datafolder, key_rotation
from isthmus.apiserver.database import Database, StorageFailed
from isthmus.apiserver.kinds import SECRET_COLLECTION
from isthmus.apiserver.maintenance import BACKUP, ENCRYPTION_KEY
from isthmus.apiserver.secretbox import UnreadableSecret
from isthmus.app.lock import exclusive
from isthmus.faces.cli import kubeconfig
from isthmus.faces.cli.client import Client, tls
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.output import note

_CONNECT_SECONDS = 10
_COPY_SECONDS = 600
"""A large database is copied before its first byte arrives."""
Result = TypeVar("Result")


def save(file: Path, keys: Path | None, folder: Path) -> None:
    """Write a backup, and with `keys` the keys.

    Raises:
        CommandFailed: Nothing was written.
    """
    for path in (file, keys):
        if path is not None and path.exists():
            raise CommandFailed(f"{path} exists; name a new file", Exit.USAGE)
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        _either(folder, lambda: _copy(folder, fresh), lambda: _download(folder, fresh))
        facts = backup.verify(fresh)
        if keys is not None:
            backup.write_keys(folder, keys)
        fresh.replace(file)
        backup.sync(file.absolute().parent)
    except backup.BackupFailed as exc:
        raise CommandFailed(str(exc), Exit.FAILED) from exc
    except OSError as exc:
        raise CommandFailed(f"{exc.filename or file}: {exc.strerror}", Exit.USAGE) from exc
    finally:
        fresh.unlink(missing_ok=True)
    note(f"{facts.objects} objects, {facts.secrets} of them encrypted, are in {file}")
    if keys is not None:
        note(f"the keys are in {keys}: keep that file apart from {file}")
    else:
        note(
            f"no key is in it: keep a copy of {folder / datafolder.SECRETS_KEY}, or use --keys FILE"
        )


def restore(file: Path, keys: Path | None, folder: Path) -> None:
    """Make a state folder of a backup.

    Raises:
        CommandFailed: Nothing was restored.
    """
    if not file.exists():
        raise CommandFailed(f"{file} does not exist; name what `backup` wrote", Exit.NOT_FOUND)
    with exclusive(folder):
        try:
            held = backup.read_keys(keys) if keys is not None else None
            facts = backup.restore(file, folder, held)
        except backup.BackupFailed as exc:
            raise CommandFailed(str(exc), Exit.INVALID) from exc
        except OSError as exc:
            raise CommandFailed(f"{exc.filename}: {exc.strerror}", Exit.USAGE) from exc
    note(f"{facts.objects} objects as of {facts.made_at} are in {folder}; start it with")
    note(f"  isthmus up --data-dir {folder}")


def rotate_key(folder: Path) -> None:
    """Encrypt all Secrets of a state folder with a new key.

    Raises:
        CommandFailed: The old key is still the one.
    """
    done = _either(folder, lambda: _rotate(folder), lambda: _ask_to_rotate(folder))
    note(f"{done} Secrets are encrypted with a new key; back the keys up again")


def _either(
    folder: Path, alone: Callable[[], Result], running: Callable[[], Coroutine[Any, Any, Result]]
) -> Result:
    """Do it ourselves where nobody holds the folder, else ask who does."""
    if not (folder / datafolder.DATABASE).exists():
        raise CommandFailed(f"--data-dir: {folder} holds no database", Exit.NOT_FOUND)
    try:
        with exclusive(folder):
            return alone()
    except CommandFailed as exc:
        if exc.code != Exit.CONFLICT:
            raise
    except (StorageFailed, UnreadableSecret, sqlite3.Error) as exc:
        raise CommandFailed(f"{folder / datafolder.DATABASE}: {exc}", Exit.FAILED) from exc
    return asyncio.run(running())


def _database(folder: Path) -> Database:
    sealed = frozenset((SECRET_COLLECTION,))
    datafolder.check(folder, sealed)
    if not (folder / datafolder.SECRETS_KEY).exists():
        raise StorageFailed(f"{folder / datafolder.SECRETS_KEY} is missing; put it back")
    box, _ = datafolder.open_box(folder)
    return Database.open(folder / datafolder.DATABASE, box, sealed)


def _copy(folder: Path, path: Path) -> None:
    with closing(_database(folder)) as database:
        database.copy_to(path)
    backup.complete(path, folder, datetime.now(UTC))


def _rotate(folder: Path) -> int:
    with closing(_database(folder)) as database:
        return key_rotation.rotate(database, folder / datafolder.SECRETS_KEY)


def _target(folder: Path) -> kubeconfig.Target:
    return kubeconfig.load(str(folder / "kubeconfig"))


async def _ask_to_rotate(folder: Path) -> int:
    async with Client(_target(folder)) as client:
        answer = await client.request("POST", ENCRYPTION_KEY)
    return int(answer["rewritten"])


async def _download(folder: Path, path: Path) -> None:
    target = _target(folder)
    headers = {"authorization": f"Bearer {target.token}"}
    timeout = httpx2.Timeout(_COPY_SECONDS, connect=_CONNECT_SECONDS)
    try:
        async with (
            httpx2.AsyncClient(verify=tls(target), timeout=timeout, trust_env=False) as client,
            client.stream("GET", target.server + BACKUP, headers=headers) as response,
        ):
            if response.status_code != 200:
                raise CommandFailed(_said(await response.aread()), Exit.FAILED)
            await _store(response, path)
    except httpx2.TransportError as exc:
        raise CommandFailed(
            f"{target.server} broke off before the backup was complete; try again",
            Exit.UNAVAILABLE,
        ) from exc


async def _store(response: httpx2.Response, path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        async for part in response.aiter_raw():
            file.write(part)
        file.flush()
        os.fsync(descriptor)


def _said(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["message"])
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return "the server cannot make a backup now; try again"
