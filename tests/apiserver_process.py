"""An `ApiServer` as a process of its own, that tests and benchmarks may kill.

Usage: ``python -m tests.apiserver_process FOLDER PORT``. It prints one line once it serves.
"""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from isthmus.app.children import dying_with_us

ROOT = Path(__file__).parents[1]
TOKEN = "admin"


def reserved_port() -> socket.socket:
    """A port that the kernel gives to nobody else while this socket is open.

    Who asks for it by its number and with SO_REUSEADDR, as servers do, gets it all the same.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


@dataclass(kw_only=True)
class ApiProcess:
    """One installation on one port, through any number of lives; a context manager."""

    folder: Path
    process: subprocess.Popen[str] | None = None
    _place: socket.socket = field(default_factory=reserved_port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._place.close()
        if self.process is not None and self.process.poll() is None:
            self.stop()

    @property
    def port(self) -> int:
        return self._place.getsockname()[1]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "tls" / "ca.crt"))

    def start(self) -> float:
        """Start it; the seconds until it serves."""
        started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.apiserver_process", str(self.folder), str(self.port)],
            env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=dying_with_us(signal.SIGTERM),
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline(), "the server ended at once"
        return time.perf_counter() - started

    def kill(self) -> None:
        """What a power cut does, but for the disk's own cache."""
        assert self.process is not None
        self.process.kill()
        self._gone()

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self._gone()

    def _gone(self) -> None:
        assert self.process is not None
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


async def main(folder: str, port: str) -> None:
    from isthmus.apiserver import ApiServer, ServerConfig

    server = await ApiServer.open(ServerConfig(Path(folder), port=int(port), admin_token=TOKEN))
    _ = server.url
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    await server.serve()
    await server.close()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*sys.argv[1:]))
