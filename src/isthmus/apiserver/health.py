"""`/livez`, `/readyz` and `/healthz`, each check of theirs alone, and `?verbose`.

The server lives while it answers. It is ready while it takes requests and its database can be
written: that is tried, so a full disk is seen before somebody's write is refused.

Source: https://kubernetes.io/docs/reference/using-api/health-checks/
"""

import time
from urllib.parse import parse_qsl

from isthmus.apiserver.http import Response
from isthmus.apiserver.store import StorageFailed, Store

PATHS = ("/healthz", "/readyz", "/livez")
BELOW = tuple(f"{path}/" for path in PATHS)
_CHECKS = {
    "livez": ("ping",),
    "healthz": ("ping", "database"),
    "readyz": ("ping", "database", "shutdown"),
}
"""`ping` is the answer itself; `database` goes by the name `etcd`, too, as in Kubernetes."""
_REMEMBERED_SECONDS = 2.0


class Health:
    """Answers probes.

    Args:
        store: What is tried.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writable = True
        self._tried = float("-inf")

    async def answer(self, path: str, query: bytes, *, stopping: bool) -> Response:
        """What a probe is told: 200, or 500 where something fails.

        Args:
            path: What was asked.
            query: Its query; with `verbose` every check is told, and `exclude` leaves one out.
            stopping: Whether no more requests are taken.
        """
        root, _, check = path.strip("/").partition("/")
        check = "database" if check == "etcd" else check
        known = _CHECKS[root]
        if check and check not in known:
            return Response(b"404 page not found\n", 404, b"text/plain")
        asked = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
        left_out = {value for name, value in asked if name == "exclude"}
        failed = [
            name
            for name in ((check,) if check else known)
            if name not in left_out and not await self._passes(name, stopping=stopping)
        ]
        if not failed and (check or not any(name == "verbose" for name, _ in asked)):
            return Response(b"ok", 200, b"text/plain")
        lines = [
            f"[-]{name} failed: reason withheld" if name in failed
            else f"[+]{name} {'excluded: ' if name in left_out else ''}ok"
            for name in ((check,) if check else known)
        ]  # fmt: skip
        lines.append(f"{root} check {'failed' if failed else 'passed'}")
        text = "\n".join(lines) + "\n"
        return Response(text.encode(), 500 if failed else 200, b"text/plain")

    async def _passes(self, name: str, *, stopping: bool) -> bool:
        if name == "shutdown":
            return not stopping
        return name != "database" or await self._can_write()

    async def _can_write(self) -> bool:
        """Whether the database takes a write; remembered a while, for anybody may ask."""
        if time.monotonic() - self._tried > _REMEMBERED_SECONDS:
            self._tried = time.monotonic()
            try:
                await self._store.in_thread(lambda database: database.try_write())
            except StorageFailed:
                self._writable = False
            else:
                self._writable = True
        return self._writable
