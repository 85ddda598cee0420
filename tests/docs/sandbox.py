"""The Isthmus that examples run against: one ``isthmus up --sandbox`` a session, on a free port."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_READY_SECONDS = 90
_STOP_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A running installation."""

    data_dir: Path

    def environment(self, folder: Path) -> Mapping[str, str]:
        """What the shell of one page needs: a kubeconfig of its own and plain output."""
        kubeconfig = folder / ".kubeconfig"
        shutil.copyfile(self.data_dir / "kubeconfig", kubeconfig)
        kubeconfig.chmod(0o600)
        return {
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(folder),
            "ISTHMUS_DATA_DIR": str(self.data_dir),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "TERM": "dumb",
        }


@contextmanager
def running(folder: Path) -> Iterator[Sandbox]:
    """Start it, wait until its Provider is ready, and end it with all that it started."""
    data_dir, log = folder / "data", folder / "up.log"
    command = [Path(sys.executable).parent / "isthmus", "up", "--sandbox", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--data-dir", data_dir],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        sandbox = Sandbox(data_dir=data_dir)
        _await_ready(sandbox, process, log)
        yield sandbox
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(sandbox: Sandbox, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"isthmus up ended:\n{log.read_text()}"
        if (sandbox.data_dir / "kubeconfig").exists() and _provider_is_ready(sandbox):
            return
        time.sleep(0.2)
    raise AssertionError(f"isthmus up --sandbox is not ready:\n{log.read_text()[-4000:]}")


def _provider_is_ready(sandbox: Sandbox) -> bool:
    done = subprocess.run(
        [Path(sys.executable).parent / "isthmus", "get", "providers", "-o", "json"],
        env={**os.environ, "KUBECONFIG": str(sandbox.data_dir / "kubeconfig")},
        capture_output=True,
        text=True,
        check=False,
    )
    return '"type":"Ready"' in done.stdout.replace(" ", "")
