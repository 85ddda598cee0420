"""One connection of a caller: HTTP/1.1, with bounds on what it may cost.

A connection that is slow to say what it wants, or that does not take what it asked for, is closed;
so is every one beyond the most that are allowed. Whom a client certificate speaks for is found out
once a connection, and put into the scope of its requests.
"""

import asyncio
import logging
import resource
import time
from collections import deque
from email.utils import formatdate
from typing import Any, cast
from urllib.parse import unquote

import httptools

from isthmus.apiserver.client_certificates import PEER, Peer, peer_of
from isthmus.apiserver.config import AsgiApp, Scope, ServerConfig
from isthmus.apiserver.joined import PIECES
from isthmus.apiserver.turns import MOST_BUFFERED, Turn

_LOG = logging.getLogger(__name__)
_OWN_FILES = 100
"""Descriptors that the rest of the process needs."""
_LEAST_TAKEN = 64 * 1024
"""Bytes of an answer that a caller must take within `Limits.stalled_seconds`."""
_MOST_HEAD = 64 * 1024
"""Bytes of a request line with its headers, where they do not arrive at once."""
_IDLE_SECONDS = 600.0
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class Service:
    """What all connections of a server share.

    Args:
        app: Answers the requests.
        config: The limits, and whether there are client certificates.
    """

    def __init__(self, app: AsgiApp, config: ServerConfig) -> None:
        self.app = app
        self.limits = config.limits
        self.certificates = config.client_ca is not None
        self.connections: set[Connection] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.most = most_connections(config.limits.connections)
        self._empty = asyncio.Event()
        self._second = 0
        self._date = b""

    def date(self) -> bytes:
        """Now, as a header has it, with the end of the line."""
        second = int(time.time())
        if second != self._second:
            self._second, self._date = second, formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._date

    def enter(self, connection: "Connection") -> None:
        """Count a new connection."""
        self.connections.add(connection)
        self._empty.clear()

    def leave(self, connection: "Connection") -> None:
        """Forget a connection."""
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def end(self, grace_seconds: float) -> None:
        """Let every request under way be answered, for a while, and close all connections."""
        for connection in tuple(self.connections):
            connection.shut()
        try:
            async with asyncio.timeout(grace_seconds):
                if self.connections:
                    await self._empty.wait()
                if self.tasks:
                    await asyncio.wait(self.tasks)
        except TimeoutError:
            if self.tasks:
                _LOG.warning("requests are broken off", extra={"number": len(self.tasks)})
        for task in tuple(self.tasks):
            task.cancel()
        for connection in tuple(self.connections):
            connection.abort()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=1.0)


class Connection(asyncio.Protocol):
    """One connection. Its timers run only while somebody keeps us waiting.

    Args:
        service: What it shares with all the others.
    """

    __slots__ = (
        "_answering", "_arriving", "_drain", "_draining", "_headers", "_idle", "_idle_since",
        "_loop", "_parser", "_paused", "_peer", "_receiving", "_scope", "_service", "_since_last",
        "_transport", "_url", "_waiting", "full",
    )  # fmt: skip

    def __init__(self, service: Service) -> None:
        self.full = False
        self._service = service
        self._loop = asyncio.get_running_loop()
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._peer: Peer | None = None
        self._scope: Scope = {}
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._since_last = 0
        self._receiving: Turn | None = None
        self._answering: Turn | None = None
        self._waiting: deque[Turn] = deque()
        self._paused = False
        self._arriving: asyncio.TimerHandle | None = None
        self._draining: asyncio.TimerHandle | None = None
        self._drain: asyncio.Future[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._idle_since = 0.0

    # --- beginning and end ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit or refuse a connection whose TLS handshake is done."""
        self._transport = transport
        service = self._service
        service.enter(self)
        if len(service.connections) > service.most:
            _LOG.warning("too many connections", extra={"limit": service.most})
            self.abort()
            return
        tls = transport.get_extra_info("ssl_object")
        if service.certificates and tls is not None:
            self._peer = peer_of(cast("dict[str, Any]", tls.getpeercert() or {}))
        self._scope = {
            "type": "http", "asgi": _ASGI, "http_version": "1.1", "root_path": "",
            "scheme": "https" if tls is not None else "http",
            "client": _address(transport, "peername"), "server": _address(transport, "sockname"),
            PIECES: True,
        }  # fmt: skip
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._service.leave(self)
        self._arrived()
        self._drained()
        if self._idle is not None:
            self._idle.cancel()
        for turn in (self._answering, self._receiving, *self._waiting):
            if turn is not None:
                turn.leave()
        self._waiting.clear()
        self._release()
        self._parser = None

    def shut(self) -> None:
        """End, after the answer that is under way."""
        if self._answering is None:
            self._transport.close()
        else:
            self._answering.stays = False

    def abort(self) -> None:
        """End at once."""
        self._transport.abort()

    def _look_idle(self) -> None:
        self._idle = None
        if self._answering is not None:
            return
        left = self._idle_since + _IDLE_SECONDS - self._loop.time()
        if left > 0:
            self._idle = self._loop.call_later(left, self._look_idle)
        else:
            self._transport.close()

    # --- requests that arrive bit by bit ---------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read on; what has begun must be complete in time, however steadily it drips."""
        self._since_last += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # nobody speaks anything else here
            for turn in (self._answering, *self._waiting):
                if turn is not None:
                    turn.stays = False
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request")
            return
        if self._headers is not None and self._since_last > _MOST_HEAD:
            self._refuse(b"431 Request Header Fields Too Large")
            return
        if self._headers is None and self._receiving is None:
            self._arrived()
        elif self._arriving is None:
            self._await_request()
        if self._waiting:
            self._begin_next()
        else:
            self.read_on()  # a body that filled its room may be complete by now

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url, self._headers = b"", []

    def on_url(self, url: bytes) -> None:
        """Take a part of the URL."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        cast("list[tuple[bytes, bytes]]", self._headers).append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Make a turn of what is known; its body may be yet to come."""
        parser, headers = self._parser, self._headers or []
        path, query = _parts(self._url)
        scope: Scope = {
            **self._scope,
            "method": parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": path.encode("ascii"),
            "query_string": query,
            "headers": headers,
        }
        version: str = parser.get_http_version()
        if version != "1.1":
            scope["http_version"] = version
        if self._peer is not None and time.time() < self._peer.until:
            scope[PEER] = self._peer.user
        asks = (b"expect", b"100-continue") in headers
        self._receiving = Turn(self, scope, stays=parser.should_keep_alive(), asks=asks)
        self._waiting.append(self._receiving)
        self._headers = None

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        turn = self._receiving
        if turn is not None:
            turn.feed(body)
            if turn.buffered > MOST_BUFFERED:
                self._regulate()

    def on_message_complete(self) -> None:
        """End a request."""
        self._since_last = 0  # what else came with it is not counted: it is no more than one piece
        if self._receiving is not None:
            self._receiving.finish()
            self._receiving = None

    def _refuse(self, status: bytes) -> None:
        """What arrives is no HTTP; an answer that is under way is completed."""
        if self._answering is not None:
            self._answering.stays = False
            self._transport.pause_reading()
            return
        self._transport.write(
            b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
        self._transport.close()

    def _await_request(self) -> None:
        self._arriving = self._loop.call_later(self._service.limits.request_seconds, self._late)

    def _late(self) -> None:
        if self._paused:  # it is we who do not read
            self._await_request()
        else:
            self.abort()

    def _arrived(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _regulate(self) -> None:
        """Read only what there is room for: part of a body, and no request beyond the next."""
        turn = self._receiving
        pause = bool(self._waiting) or (turn is not None and turn.buffered > MOST_BUFFERED)
        if pause != self._paused and not self._transport.is_closing():
            self._paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # --- turns ------------------------------------------------------------------------------------

    def _begin_next(self) -> None:
        if self._answering is None and not self._transport.is_closing():
            turn = self._answering = self._waiting.popleft()
            task = self._loop.create_task(turn.run(self._service.app))
            self._service.tasks.add(task)
            task.add_done_callback(self._service.tasks.discard)
        if self._waiting or self._paused:
            self._regulate()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the caller has taken most of what was written."""
        if self._drain is None:
            self._drain = self._loop.create_future()
        await asyncio.shield(self._drain)

    def read_on(self) -> None:
        """There may be room for more."""
        if self._paused:
            self._regulate()

    def ended(self, turn: Turn) -> None:
        """An answer is complete."""
        self._answering = None
        if not turn.stays:
            self._transport.close()
        elif self._waiting:
            self._begin_next()
        else:
            self.read_on()  # what is left of a body that nobody wants, and the next request
            self._idle_since = self._loop.time()
            if self._idle is None:
                self._idle = self._loop.call_later(_IDLE_SECONDS, self._look_idle)

    def date(self) -> bytes:
        """Now, as a header has it."""
        return self._service.date()

    # --- answers that nobody takes ----------------------------------------------------------------

    def pause_writing(self) -> None:
        """The buffer is full: our writer waits, and we look whether the caller takes anything."""
        self.full = True
        self._look_later(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """The buffer is nearly empty."""
        self._drained()
        self._release()

    def _release(self) -> None:
        self.full = False
        if self._drain is not None:
            self._drain.set_result(None)
            self._drain = None

    def _look_later(self, waiting: int) -> None:
        self._drained()
        seconds = self._service.limits.stalled_seconds
        self._draining = self._loop.call_later(seconds, self._look, waiting)

    def _look(self, before: int) -> None:
        waiting = self._transport.get_write_buffer_size()
        if waiting > before - _LEAST_TAKEN:
            _LOG.warning("a caller does not take its answer", extra={"waiting_bytes": waiting})
            self.abort()
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


def _address(transport: asyncio.BaseTransport, which: str) -> tuple[str, int] | None:
    found: Any = transport.get_extra_info(which)
    return found[:2] if found and not isinstance(found, str) else None


def _parts(url: bytes) -> tuple[str, bytes]:
    """Path and query of a request's target, which nearly always is no more than these."""
    if url[:1] == b"/" and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path.decode("ascii"), query
    parsed = httptools.parse_url(url)
    return (parsed.path or b"/").decode("ascii"), parsed.query or b""
