"""A client that is as cheap as it can be, since it shares the machine with what it measures."""

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_LAST_CHUNK = b"\r\n0\r\n\r\n"


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

    @property
    def head(self) -> str:
        """Headers that every request has."""
        token = f"authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"host: {urlsplit(self.url).netloc}\r\naccept: application/json\r\n{token}"


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
        self._head = target.head

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


class Reader:
    """Reads long answers, one at a time: decrypted to where they stay, and copied no more.

    It blocks meanwhile.

    Args:
        connection: With TLS.
        head: Headers of each request.
        most_bytes: How long an answer may be.
    """

    def __init__(self, connection: ssl.SSLSocket, head: str, most_bytes: int) -> None:
        self._connection = connection
        self._head = head
        self._room = memoryview(bytearray(most_bytes))

    def get(self, path: str) -> memoryview:
        """The whole answer as it came, head and all; valid until the next one."""
        self._connection.sendall(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())
        size = self._more(0)
        while (end := bytes(self._room[:size]).find(b"\r\n\r\n")) < 0:
            size = self._more(size)
        head = bytes(self._room[:end]).lower()
        _, sized, length = head.partition(b"content-length:")
        whole = end + 4 + int(length.split(b"\r\n")[0]) if sized else 0
        while size < whole or not (sized or bytes(self._room[size - 7 : size]) == _LAST_CHUNK):
            size = self._more(size)
        return self._room[:size]

    def _more(self, size: int) -> int:
        count = self._connection.recv_into(self._room[size:])
        if not count:
            raise ConnectionError("the answer is longer than expected, or was broken off")
        return size + count


@contextmanager
def reading(target: Target, most_bytes: int) -> Generator[Reader]:
    """A connection for long answers."""
    place = urlsplit(target.url)
    with (
        socket.create_connection((place.hostname, place.port)) as plain,
        target.tls.wrap_socket(plain, server_hostname=place.hostname) as connection,
    ):
        yield Reader(connection, target.head, most_bytes)


def body_of(answer: memoryview) -> bytes:
    """The body of a whole answer."""
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    if b"content-length:" in head.lower():
        return body
    parts: list[bytes] = []
    start = 0
    while True:
        stop = body.index(b"\r\n", start)
        size, start = int(body[start:stop], 16), stop + 2
        if not size:
            return b"".join(parts)
        parts.append(body[start : start + size])
        start += size + 2
