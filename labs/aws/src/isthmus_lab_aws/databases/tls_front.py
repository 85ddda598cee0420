"""TLS in front of PostgreSQL: the wheel's server is built without it.

A `TlsFront` listens where clients log in, answers PostgreSQL's `SSLRequest`, speaks TLS with the
client and passes the bytes inside on to the server's own address. Log-ins stay the server's
business; only `force_tls` is decided here, in the words of RDS.

Source: https://www.postgresql.org/docs/16/protocol-flow.html#PROTOCOL-FLOW-SSL
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import TypeVar

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104
_CANCEL_REQUEST = 80877102
_CHUNK_BYTES = 65536
_NO_ENCRYPTION = "no pg_hba.conf entry for this host and user, no encryption: use sslmode=require"

T = TypeVar("T")


class TlsFront:
    """One listener, on one or several addresses, in front of one server."""

    def __init__(self, server_host: str, certificate: Path, key: Path, force_tls: bool) -> None:
        """Prepare a front.

        Args:
            server_host: where the server itself listens, on the same port as the front.
            certificate: server certificate (PEM file).
            key: its key (PEM file).
            force_tls: refuse sessions that do not ask for TLS.
        """
        self._server_host = server_host
        self._port = 0
        self._force_tls = force_tls
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.load_cert_chain(certificate, key)
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    def open(self, hosts: tuple[str, ...], port: int) -> None:
        """Listen from now on."""
        self._port = port
        _on_loop(self._open(hosts, port))

    def close(self) -> None:
        """Stop listening and cut every session."""
        _on_loop(self._close())

    async def _open(self, hosts: tuple[str, ...], port: int) -> None:
        self._server = await asyncio.start_server(self._serve, list(hosts), port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in list(self._sessions):
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.current_task()
        if session is not None:
            self._sessions.add(session)
        try:
            # A client that vanishes is its own affair.
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                first = await self._negotiate(reader, writer)
                if first is not None:
                    await self._relay(first, reader, writer)
        finally:
            if session is not None:
                self._sessions.discard(session)
            writer.close()

    async def _negotiate(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bytes | None:
        """Answer requests for encryption; return the first bytes that are for the server."""
        encrypted = False
        while True:
            head = await reader.readexactly(8)
            _, code = struct.unpack("!ii", head)
            if code == _SSL_REQUEST and not encrypted:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(self._context)
                encrypted = True
            elif code == _GSS_REQUEST:
                writer.write(b"N")
            elif encrypted or code == _CANCEL_REQUEST or not self._force_tls:
                return head
            else:
                writer.write(_error("28000", _NO_ENCRYPTION))
                await writer.drain()
                return None

    async def _relay(
        self, first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._server_host, self._port)
        server_writer.write(first)
        up = asyncio.create_task(_copy(reader, server_writer))
        down = asyncio.create_task(_copy(server_reader, writer))
        try:
            await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        finally:
            server_writer.close()  # First: the front may be closed while the two are awaited.
            for task in (up, down):
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()


def _error(code: str, message: str) -> bytes:
    """A fatal ErrorResponse of the PostgreSQL protocol."""
    fields = f"SFATAL\0VFATAL\0C{code}\0M{message}\0\0".encode()
    return b"E" + struct.pack("!i", len(fields) + 4) + fields


_loop: asyncio.AbstractEventLoop | None = None
_loop_lock = threading.Lock()


def _on_loop(work: Coroutine[None, None, T]) -> T:
    """Run on the event loop of the fronts, which has a thread of its own."""
    global _loop
    with _loop_lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="lab-tls-fronts", daemon=True).start()
    return asyncio.run_coroutine_threadsafe(work, _loop).result(30)
