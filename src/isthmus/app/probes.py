"""What a kubelet and Prometheus ask of a process without an API: alive, ready, metrics."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from isthmus.faces.cli.failures import CommandFailed, Exit

_TEXT = "text/plain; charset=utf-8"
_CONCURRENT = 64
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Probes:
    """Answers ``/livez`` and ``/healthz``, ``/readyz`` and ``/metrics``; no secret is in any.

    Args:
        ready: Whether the process can do its work: as the leader, or as one that stands by.
    """

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Send) -> None:
        """Answer one request."""
        del receive
        status, kind, body = 404, _TEXT, b"not found\n"
        match scope["path"]:
            case "/livez" | "/healthz":
                status, body = 200, b"ok\n"
            case "/readyz":
                status, body = (200, b"ok\n") if self._ready() else (503, b"the caches are cold\n")
            case "/metrics":
                status, kind, body = 200, CONTENT_TYPE_LATEST, generate_latest()
            case _:
                pass
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def listening(address: str, probes: Probes) -> AsyncGenerator[None]:
    """Answer at an address, ``HOST:PORT``, for as long as the block lasts; empty: nowhere.

    Raises:
        CommandFailed: It is none, or it cannot be used.
    """
    if not address:
        yield
        return
    import socket

    import uvicorn

    class Server(uvicorn.Server):
        """Signals belong to the program around it."""

        @contextlib.contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    host, _, port = address.rpartition(":")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host.strip("[]"), int(port)), family=family)
    except (OSError, ValueError, OverflowError) as exc:
        raise CommandFailed(
            f"--listen: {address} cannot be used ({exc}); write HOST:PORT, as 127.0.0.1:8080",
            Exit.USAGE,
        ) from exc
    config = uvicorn.Config(
        probes,
        interface="asgi3",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        limit_concurrency=_CONCURRENT,
        timeout_graceful_shutdown=1,
    )
    server: Any = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([serving])
        listener.close()
