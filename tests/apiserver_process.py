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

from isthmus.app.children import dying_with_us

ROOT = Path(__file__).parents[1]
TOKEN = "admin"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@dataclass(kw_only=True)
class ApiProcess:
    """One installation on one port, through any number of lives."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

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
