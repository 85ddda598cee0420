"""An `ApiServer` that listens from a thread of its own, as other programs find it."""

import asyncio
import base64
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvloop as fast
import yaml

from isthmus.apiserver import ApiServer, ServerConfig


class Listening:
    """A server over a folder; a context manager, or `start` and `stop`.

    Args:
        folder: Its data.
        uvloop: Whether it runs on that loop, as `isthmus up` does.
        config: Further fields of its configuration.

    Attributes:
        url: Where it listens.
        ca: Its certificate authority, as PEM.
        token: Its administrator's.
    """

    def __init__(self, folder: Path, *, uvloop: bool = False, **config: Any) -> None:
        self._loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = (
            fast.new_event_loop if uvloop else None
        )
        self.token = "admin"
        self._config = ServerConfig(folder, admin_token=self.token, **config)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.server: ApiServer
        self._loop: asyncio.AbstractEventLoop

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.server = await ApiServer.open(self._config)
        self.url, self.ca = self.server.url, self.server.ca_pem
        self.tenant_token = self.server.issue_token("dev", ["devs"])
        self._ready.set()
        await self.server.serve()
        await self.server.close()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.server.stop)
        self._thread.join(60)
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def kubeconfig(self, token: str = "") -> str:
        """A kubeconfig that holds everything itself."""
        authority = base64.b64encode(self.ca.encode()).decode()
        cluster = {"server": self.url, "certificate-authority-data": authority}
        return yaml.safe_dump({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": cluster}],
            "users": [{"name": "x", "user": {"token": token or self.token}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        })  # fmt: skip
