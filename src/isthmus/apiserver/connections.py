"""One connection of uvicorn's, with bounds on what it may cost.

A connection that is slow to say what it wants, or that does not take what it asked for, is closed;
so is every one beyond the most that are allowed. Whom a client certificate speaks for is found out
once a connection, and put into the scope of its requests.

Importing this imports uvicorn.
"""

import asyncio
import logging
import resource
import time
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from isthmus.apiserver.client_certificates import PEER, Peer, peer_of
from isthmus.apiserver.config import Scope, ServerConfig

_LOG = logging.getLogger(__name__)
_OWN_FILES = 100
"""Descriptors that the rest of the process needs."""
_LEAST_TAKEN = 64 * 1024
"""Bytes of an answer that a caller must take within `Limits.stalled_seconds`."""


class Connection(HttpToolsProtocol):
    """One connection. Its timers run only while somebody keeps us waiting.

    Args:
        bounds: The limits, and whether there are client certificates.
        uvicorn: What uvicorn gives to each of its connections.
    """

    def __init__(self, bounds: ServerConfig, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self._limits = bounds.limits
        self._certificates = bounds.client_ca is not None
        self._peer: Peer | None = None
        self._incomplete = False
        self._arriving: asyncio.TimerHandle | None = None
        self._draining: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit or refuse a connection whose TLS handshake is done."""
        super().connection_made(transport)
        most = most_connections(self._limits.connections)
        if len(self.connections) > most:
            _LOG.warning("too many connections", extra={"limit": most})
            transport.abort()
            return
        if self._certificates:
            self._peer = _peer(transport)
        self._arriving = self.loop.call_later(self._limits.request_seconds, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._arrived()
        self._drained()
        super().connection_lost(exc)

    # --- requests that arrive bit by bit ------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read on; what has begun must be complete in time, however steadily it drips."""
        super().data_received(data)
        if not self._incomplete:
            self._arrived()
        elif self._arriving is None:
            seconds = self._limits.request_seconds
            self._arriving = self.loop.call_later(seconds, self.transport.abort)

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._incomplete = True
        if self._peer is not None and time.time() < self._peer.until:
            cast("Scope", self.scope)[PEER] = self._peer.user

    def on_message_complete(self) -> None:
        """End a request."""
        self._incomplete = False
        super().on_message_complete()

    def _arrived(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    # --- answers that nobody takes ------------------------------------------------------------

    def pause_writing(self) -> None:
        """The buffer is full: our writer waits, and we look whether the caller takes anything."""
        super().pause_writing()
        self._look_later(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The buffer is nearly empty."""
        self._drained()
        super().resume_writing()

    def _look_later(self, waiting: int) -> None:
        self._drained()
        self._draining = self.loop.call_later(self._limits.stalled_seconds, self._look, waiting)

    def _look(self, before: int) -> None:
        waiting = self.transport.get_write_buffer_size()
        if waiting > before - _LEAST_TAKEN:
            _LOG.warning("a caller does not take its answer", extra={"waiting_bytes": waiting})
            self.transport.abort()
        else:
            self._look_later(waiting)

    def _drained(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None


def most_connections(wanted: int) -> int:
    """No more than the process may open files, less what it needs for itself."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, allowed - _OWN_FILES))


def _peer(transport: asyncio.Transport) -> Peer | None:
    tls: Any = transport.get_extra_info("ssl_object")
    return peer_of(cast("dict[str, Any]", (tls and tls.getpeercert()) or {}))
