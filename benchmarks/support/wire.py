"""A client that is as cheap as it can be, since it shares the machine with what it measures."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Target:
    """A running server."""

    name: str
    url: str
    tls: ssl.SSLContext
    token: str = ""
    pids: tuple[int, ...]

    @property
    def resident_mib(self) -> float:
        """Memory of all its processes."""
        return sum(_resident_mib(pid) for pid in self.pids)


def _resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Connection:
    """HTTP/1.1 over TLS, one request at a time."""

    def __init__(
        self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self._writer = writer
        token = f"authorization: Bearer {target.token}\r\n" if target.token else ""
        self._head = f"host: {urlsplit(target.url).netloc}\r\naccept: application/json\r\n{token}"

    @classmethod
    async def open(cls, target: Target) -> "Connection":
        """Connect."""
        place = urlsplit(target.url)
        reader, writer = await asyncio.open_connection(
            place.hostname, place.port, ssl=target.tls, limit=2**22
        )
        return cls(target, reader, writer)

    async def ask(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Send a request and read the whole answer."""
        status, length = await self.begin(method, path, body, kind)
        if length is not None:
            return status, await self.reader.readexactly(length)
        parts: list[bytes] = []
        while part := await self.chunk():
            parts.append(part)
        return status, b"".join(parts)

    async def begin(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> tuple[int, int | None]:
        """Send a request; status and length of its answer (None: it comes in chunks)."""
        head = (
            f"{method} {path} HTTP/1.1\r\n{self._head}content-type: {kind}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        status = int(answer[9:12])
        start = answer.find(b"content-length:")
        if start < 0:
            return status, None
        return status, int(answer[start + 15 : answer.index(b"\r\n", start)])

    async def chunk(self) -> bytes:
        """One part of an answer that comes in chunks; empty at its end."""
        size = int((await self.reader.readline()).split(b";")[0], 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    def close(self) -> None:
        """Hang up."""
        self._writer.transport.abort()


@asynccontextmanager
async def connected(target: Target, count: int) -> AsyncGenerator[list[Connection]]:
    """So many open connections."""
    opened = [await Connection.open(target) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()
