"""A turn: one request on a connection and the answer to it, as an ASGI application sees them.

The head of an answer whose length is known waits for the first part of its body, so that both go
out in one write: over TLS, each write costs as much as all the rest of this.

Source: https://asgi.readthedocs.io/en/stable/specs/www.html
"""

import asyncio
import http
import logging
from typing import Protocol

from isthmus.apiserver.config import AsgiApp, Message, Scope

MOST_BUFFERED = 64 * 1024
"""Bytes of a body that wait for the application, before no more are read."""
_JOINED = 64 * 1024
"""Bodies up to this length are copied behind their head."""
_LOG = logging.getLogger(__name__)
_STATUS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\ndate: ".encode()
    for status in http.HTTPStatus
}
_FAILED = b"content-type: text/plain\r\ncontent-length: 21\r\nconnection: close\r\n\r\n"
_WITHOUT_BODY = frozenset((204, 304))
_SIZED, _CHUNKED, _PLAIN, _NONE = range(4)


class Line(Protocol):
    """What a turn needs of its connection."""

    full: bool
    """Whether the caller does not take what was written."""

    def write(self, data: bytes) -> None:
        """Send bytes."""
        ...

    async def drained(self) -> None:
        """Wait until the caller has taken most of what was written."""
        ...

    def read_on(self) -> None:
        """There is room for more of the body."""
        ...

    def ended(self, turn: "Turn") -> None:
        """The answer is complete."""
        ...

    def abort(self) -> None:
        """Break off: the answer cannot be completed."""
        ...

    def date(self) -> bytes:
        """Now, as a header has it, with the end of the line."""
        ...


class Turn:
    """One request and its answer.

    Args:
        line: The connection.
        scope: The ASGI scope.
        stays: Whether the connection outlives the answer.
        asks: Whether the caller waits for a word before it sends the body.
    """

    __slots__ = (
        "_asks", "_body", "_form", "_given", "_head", "_left", "_line", "_started", "_waiter",
        "complete", "gone", "over", "scope", "stays",
    )  # fmt: skip

    def __init__(self, line: Line, scope: Scope, *, stays: bool, asks: bool) -> None:
        self.scope = scope
        self.stays = stays
        self.complete = False
        """Whether the whole request has arrived."""
        self.over = False
        """Whether the answer is complete."""
        self.gone = False
        """Whether the caller is gone."""
        self._line = line
        self._asks = asks
        self._body = b""
        self._given = False
        self._waiter: asyncio.Future[None] | None = None
        self._started = False
        self._head = b""
        self._form = _NONE
        self._left = 0

    # --- the request, as it arrives -------------------------------------------------------------

    def feed(self, part: bytes) -> None:
        """A part of the body has arrived; once the answer is complete, nobody wants it."""
        if not self.over:
            self._body = self._body + part if self._body else part
            self._wake()

    def finish(self) -> None:
        """The request is complete."""
        self.complete = True
        self._wake()

    def leave(self) -> None:
        """The caller is gone."""
        self.gone = True
        self._wake()

    @property
    def buffered(self) -> int:
        """Bytes of the body that wait."""
        return len(self._body)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- what the application calls -------------------------------------------------------------

    async def run(self, app: AsgiApp) -> None:
        """Let the application answer; whatever happens, the caller does not wait in vain."""
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:  # noqa: BLE001 - the last resort of applications that have none
            _LOG.exception("an application failed")
        finally:
            if not (self.over or self.gone):
                self._fail()

    def _fail(self) -> None:
        if self._started and not self._head:
            self._line.abort()
            return
        self.stays = False
        head = _STATUS[500] + self._line.date() + _FAILED
        body = b"" if self.scope["method"] == "HEAD" else b"Internal Server Error"
        self._line.write(head + body)
        self._end()

    async def receive(self) -> Message:
        """The next part of the request; `http.disconnect` once nobody waits for an answer."""
        while not (self.over or self.gone):
            if self._body or (self.complete and not self._given):
                body, self._body = self._body, b""
                self._given = self.complete
                if not self._given:
                    self._line.read_on()
                return {"type": "http.request", "body": body, "more_body": not self._given}
            if self._asks:
                self._asks = False
                self._line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the answer; to nobody, when the caller is gone."""
        if self._line.full and not self.gone:
            await self._line.drained()
        if self.gone:
            return
        if message["type"] == "http.response.start":
            self._begin(message)
        else:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))

    # --- the answer ------------------------------------------------------------------------------

    def _begin(self, message: Message) -> None:
        if self._started:
            raise RuntimeError("an answer begins once")
        status, headers = message["status"], message.get("headers", ())
        lines = [_STATUS[status], self._line.date()]
        self._form = _PLAIN if self.scope["http_version"] == "1.0" else _CHUNKED
        for header in headers:
            lines.append(b"%b: %b\r\n" % header)
            if header[0] == b"content-length":
                self._form, self._left = _SIZED, int(header[1])
        if status in _WITHOUT_BODY or self.scope["method"] == "HEAD":
            self._form = _NONE
        if self._form == _CHUNKED:
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self.stays or self._form == _PLAIN:
            self.stays = False
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if not (head.count(b"\r") == head.count(b"\n") == len(lines)):
            raise ValueError("a header must not have more than one line")
        self._started, self._asks = True, False
        if self._form == _SIZED:
            self._head = head
        else:
            self._line.write(head)

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if not self._started or self.over:
            raise RuntimeError("a body belongs between the beginning of an answer and its end")
        head, self._head = self._head, b""
        if self._form == _SIZED:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the answer is not as long as its head says")
        elif self._form == _CHUNKED:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        elif self._form == _NONE:
            body = b""
        if head and len(body) > _JOINED:
            self._line.write(head)
            head = b""
        if head or body:
            self._line.write(head + body if head else body)
        if not more:
            self._end()

    def _end(self) -> None:
        self.over = True
        self._body = b""
        self._wake()
        self._line.ended(self)
