"""What a kubelet and Prometheus ask of a process without an API: alive, ready, metrics.

Plain HTTP, one answer a connection; all that is known here may be known to everybody.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from isthmus.faces.cli.failures import CommandFailed, Exit

_HEAD_BYTES = 8192
_SECONDS = 5
_AT_ONCE = 32
_TEXT = "text/plain; charset=utf-8"


class Probes:
    """Answers ``/livez`` and ``/healthz``, ``/readyz`` and ``/metrics``.

    Args:
        ready: Whether the process can do its work: as the leader, or as one that stands by.
    """

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the one request of a connection; who dawdles gets no answer."""
        with suppress(
            TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError
        ):
            async with self._gate, asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        status, kind, body = self._page(path) if method == b"GET" else _page(405, "GET only")
        lines = (
            f"HTTP/1.1 {status}",
            f"content-type: {kind}",
            f"content-length: {len(body)}",
            "connection: close",
        )
        return "\r\n".join((*lines, "\r\n")).encode() + body

    def _page(self, path: bytes) -> tuple[str, str, bytes]:
        match path:
            case b"/livez" | b"/healthz":
                return _page(200, "ok")
            case b"/readyz":
                return _page(200, "ok") if self._ready() else _page(503, "the caches are cold")
            case b"/metrics":
                return "200 OK", CONTENT_TYPE_LATEST, generate_latest()
            case _:
                return _page(404, "there is nothing at this path")


_PHRASES = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def _page(code: int, text: str) -> tuple[str, str, bytes]:
    return f"{code} {_PHRASES[code]}", _TEXT, f"{text}\n".encode()


@asynccontextmanager
async def listening(address: str, probes: Probes) -> AsyncGenerator[str]:
    """Answer at an address, ``HOST:PORT``, for as long as the block lasts; empty: nowhere.

    Yields:
        The address with the port that was taken.

    Raises:
        CommandFailed: It is none, or it cannot be used.
    """
    if not address:
        yield ""
        return
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        server = await asyncio.start_server(
            probes.serve, host or None, int(port), limit=_HEAD_BYTES
        )
    except (OSError, ValueError, OverflowError) as exc:
        raise CommandFailed(
            f"--listen: {address} cannot be used ({exc}); write HOST:PORT, as 127.0.0.1:8080",
            Exit.USAGE,
        ) from exc
    try:
        yield f"{host}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
