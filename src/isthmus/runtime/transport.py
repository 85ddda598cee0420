"""How requests reach a Kubernetes API: over HTTP, or by calling an ASGI app in this process.

Both speak the same bytes with the same headers, so nothing behind them knows the difference.
"""

import asyncio
import math
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

import structlog

from isthmus.errors import Unavailable

if TYPE_CHECKING:
    import httpx2

log = structlog.get_logger(__name__)

JSON = "application/json"
_CONNECT_SECONDS = 10
_ANSWER_SECONDS = 30
_TOKEN_SECONDS = 10.0
_SILENCE_SECONDS = 120
"""A watch that says nothing for so long, not even a bookmark, is opened anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = JSON
    accept: str = JSON


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    body: bytes
    retry_after: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer whose body arrives bit by bit; ``lines`` are complete lines."""

    status: int
    lines: AsyncIterator[bytes]


class Transport(Protocol):
    """The way to an API. Raises Unavailable where nobody answers."""

    async def request(self, request: Request) -> Answer:
        """Send a request and wait for the whole answer."""
        ...

    def stream(self, request: Request) -> AbstractAsyncContextManager[Stream]:
        """Send a request whose answer does not end."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class HttpTransport:
    """Over HTTP, with TLS and a bearer token or a client certificate.

    Args:
        url: Of the API, for example ``https://127.0.0.1:6443``.
        token: Bearer token, or what returns the one of now; empty for none.
        tls: What is trusted, and our certificate where we have one; None: the system's.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | Callable[[], str] = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        import httpx2  # Costs 0.15 s, and the embedded home never needs it.

        self._errors = httpx2.TransportError
        self._token = token
        self._client = httpx2.AsyncClient(
            base_url=url,
            verify=tls if tls is not None else True,
            timeout=httpx2.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=64, max_keepalive_connections=32),
            trust_env=False,
        )

    async def request(self, request: Request) -> Answer:
        """See ``Transport``."""
        try:
            response = await self._client.send(self._build(request))
        except self._errors as exc:
            raise Unavailable("The API does not answer.", detail=repr(exc)) from exc
        return Answer(
            response.status_code, response.content, response.headers.get("retry-after", "")
        )

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Stream, None]:
        """See ``Transport``."""
        built = self._build(request)
        built.extensions["timeout"] = {
            "connect": _CONNECT_SECONDS,
            "read": _SILENCE_SECONDS,
            "write": _ANSWER_SECONDS,
            "pool": _ANSWER_SECONDS,
        }
        try:
            response = await self._client.send(built, stream=True)
            try:
                yield Stream(response.status_code, _lines(response.aiter_raw()))
            finally:
                await response.aclose()
        except self._errors as exc:
            raise Unavailable("The API broke off.", detail=repr(exc)) from exc

    async def close(self) -> None:
        """See ``Transport``."""
        await self._client.aclose()

    def _build(self, request: Request) -> "httpx2.Request":
        headers = {"accept": request.accept}
        if request.body:
            headers["content-type"] = request.content_type
        if token := self._token if isinstance(self._token, str) else self._token():
            headers["authorization"] = f"Bearer {token}"
        return self._client.build_request(
            request.method,
            request.path,
            params=list(request.query) or None,
            content=request.body or None,
            headers=headers,
        )


class TokenFile:
    """A bearer token in a file that somebody else writes anew before it expires, as kubelets do.

    Args:
        path: The file. A token of it is used for ten seconds before the file is read again.
        seconds: What these are measured by.
    """

    def __init__(self, path: Path, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._seconds = seconds
        self._token, self._read_at = "", -math.inf

    def __call__(self) -> str:
        """Return the token of now. Raises Unavailable where the file cannot be read."""
        now = self._seconds()
        if now - self._read_at >= _TOKEN_SECONDS:
            try:
                self._token = self._path.read_text().strip()
            except OSError as exc:
                raise Unavailable("The token's file cannot be read.", detail=repr(exc)) from exc
            self._read_at = now
        return self._token


Message = MutableMapping[str, Any]
AsgiApp = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[Message]],
        Callable[[Message], Awaitable[None]],
    ],
    Awaitable[None],
]


class AsgiTransport:
    """Calls an ASGI app in this process; nothing listens on a port for it.

    Args:
        app: The app.
        token: Bearer token; the app asks for one as it does over HTTP.
    """

    def __init__(self, app: AsgiApp, *, token: str) -> None:
        self._app = app
        self._headers = [(b"authorization", f"Bearer {token}".encode())]

    async def request(self, request: Request) -> Answer:
        """See ``Transport``."""
        status, chunks, retry_after = 0, list[bytes](), ""

        async def send(message: Message) -> None:
            nonlocal status, retry_after
            if message["type"] == "http.response.start":
                status = message["status"]
                retry_after = dict(message.get("headers", ())).get(b"retry-after", b"").decode()
            else:
                chunks.append(message.get("body", b""))

        try:
            await self._app(self._scope(request), _receiver(request.body), send)
        except Exception as exc:
            raise Unavailable("The API broke off.", detail=repr(exc)) from exc
        return Answer(status, b"".join(chunks), retry_after)

    @asynccontextmanager
    async def stream(self, request: Request) -> AsyncGenerator[Stream, None]:
        """See ``Transport``."""
        messages: asyncio.Queue[Message | None] = asyncio.Queue(1024)
        gone = asyncio.Event()

        async def run() -> None:
            try:
                receive = _receiver(request.body, gone)
                await self._app(self._scope(request), receive, messages.put)
            finally:
                await messages.put(None)

        task = asyncio.create_task(run())
        try:
            start = await messages.get()
            if start is None:
                raise Unavailable("The API broke off.")
            yield Stream(start["status"], _lines(_bodies(messages)))
        finally:
            gone.set()
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is not None:
                log.warning("the API broke off", detail=repr(task.exception()))

    async def close(self) -> None:
        """See ``Transport``."""

    def _scope(self, request: Request) -> MutableMapping[str, Any]:
        headers = [*self._headers, (b"accept", request.accept.encode())]
        if request.body:
            headers.append((b"content-type", request.content_type.encode()))
            headers.append((b"content-length", str(len(request.body)).encode()))
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "https",
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": urlencode(request.query).encode(),
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 0),
        }


def _receiver(body: bytes, gone: asyncio.Event | None = None) -> Callable[[], Awaitable[Message]]:
    """Give the body once; after that the client stays until it is gone."""
    given = False

    async def receive() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    return receive


async def _bodies(messages: asyncio.Queue[Message | None]) -> AsyncIterator[bytes]:
    while (message := await messages.get()) is not None:
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    rest = b""
    async for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            if line:
                yield line
    if rest:
        yield rest
