"""What an administrator asks of the running server: a backup, and a new key for its Secrets.

Paths outside of Kubernetes' own, allowed by rules with `nonResourceURLs`; like every such path they
are `system:masters`' alone unless a role says otherwise.
"""

import asyncio
import secrets
from datetime import UTC, datetime
from pathlib import Path

from isthmus.apiserver import backup, datafolder, key_rotation
from isthmus.apiserver.config import Send
from isthmus.apiserver.errors import ApiError, unknown_path
from isthmus.apiserver.http import Request, Response
from isthmus.apiserver.rbac import Action, Authorizer
from isthmus.apiserver.store import Store

PREFIX = "maintenance"
BACKUP = "/maintenance/backup"
ENCRYPTION_KEY = "/maintenance/encryption-key"
_PART_BYTES = 256 * 1024
_TEMPORARY = ".backup-"


class Download:
    """A file as an answer; it is removed once it was sent, or the caller is gone.

    Args:
        path: The file.
        free: Released at the end.
    """

    def __init__(self, path: Path, free: asyncio.Lock) -> None:
        self._path = path
        self._free = free

    async def send(self, send: Send) -> None:
        """Answer."""
        try:
            size = str(self._path.stat().st_size).encode()
            kind = (b"content-type", b"application/vnd.sqlite3")
            headers = [kind, (b"content-length", size)]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            with self._path.open("rb") as file:
                while part := await asyncio.to_thread(file.read, _PART_BYTES):
                    await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._path.unlink(missing_ok=True)
            self._free.release()


class Maintenance:
    """Answers requests under `/maintenance`.

    Args:
        store: The store.
        folder: The data folder.
        authorizer: Knows who may.
    """

    def __init__(self, store: Store, folder: Path, authorizer: Authorizer) -> None:
        self._store = store
        self._folder = folder
        self._authorizer = authorizer
        self._busy = asyncio.Lock()
        for left in folder.glob(f"{_TEMPORARY}*"):
            left.unlink()

    async def answer(self, request: Request, path: str) -> Response | Download:
        """Carry a request out.

        Raises:
            ApiError: It is refused.
            StorageFailed: The disk refused.
        """
        verb = request.method.lower()
        self._authorizer.require(request.user, Action(verb, path=path))
        if (verb, path) == ("get", BACKUP):
            return await self._backup()
        if (verb, path) == ("post", ENCRYPTION_KEY):
            return await self._rotate()
        raise unknown_path()

    async def _backup(self) -> Download:
        await self._begin()
        path = self._folder / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            await self._store.in_thread(lambda database: database.copy_to(path))
            await asyncio.to_thread(backup.complete, path, self._folder, datetime.now(UTC))
        except BaseException:
            path.unlink(missing_ok=True)
            self._busy.release()
            raise
        return Download(path, self._busy)

    async def _rotate(self) -> Response:
        await self._begin()
        try:
            path = self._folder / datafolder.SECRETS_KEY
            done = await self._store.in_thread(lambda d: key_rotation.rotate(d, path))
        finally:
            self._busy.release()
        return Response.json({"rewritten": done})

    async def _begin(self) -> None:
        """One at a time: each takes room on the disk and makes writers wait."""
        if self._busy.locked():
            raise ApiError(
                429, "TooManyRequests", "another backup or rotation is under way; try again"
            )
        await self._busy.acquire()
