"""The Isthmus that examples run against: one ``isthmus up --sandbox`` a session, on a free port."""

import json
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

from isthmus.app.children import dying_with_us
from tests.docs.blocks import ROOT
from tests.sandboxed import ready

_READY_SECONDS = 240
_STOP_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A running installation."""

    data_dir: Path
    commands: Path
    """Folder with the command ``isthmus`` of this checkout."""

    def environment(self, folder: Path) -> Mapping[str, str]:
        """What the shell of one page needs: a kubeconfig of its own and plain output."""
        kubeconfig = folder / ".kubeconfig"
        shutil.copyfile(self.data_dir / "kubeconfig", kubeconfig)
        kubeconfig.chmod(0o600)
        return {
            "KUBECONFIG": str(kubeconfig),
            "HOME": str(folder),
            "ISTHMUS_DATA_DIR": str(self.data_dir),
            "PATH": os.pathsep.join(
                [str(self.commands), str(Path(sys.executable).parent), os.environ["PATH"]]
            ),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "TERM": "dumb",
            "PYTHONUNBUFFERED": "",  # Nobody who reads the page has it.
        }


@contextmanager
def running(folder: Path) -> Iterator[Sandbox]:
    """Start it, wait until its Provider is ready, and end it with all that it started."""
    sandbox, log = Sandbox(data_dir=folder / "data", commands=commands(folder)), folder / "up.log"
    command = [sandbox.commands / "isthmus", "up", "--sandbox", "--port", "0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--data-dir", sandbox.data_dir],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dying_with_us(signal.SIGTERM),
        )
    try:
        _await_ready(sandbox, process, log)
        yield sandbox
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def commands(folder: Path) -> Path:
    """Write the command ``isthmus``, so that it need not be installed."""
    commands = folder / "bin"
    commands.mkdir()
    script = commands / "isthmus"
    paths = os.pathsep.join(str(ROOT / part) for part in ("src", "labs/aws/src"))
    script.write_text(f'#!/bin/sh\nPYTHONPATH={paths} exec {sys.executable} -m isthmus "$@"\n')
    script.chmod(0o755)
    return commands


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
        [sandbox.commands / "isthmus", "get", "provider/aws-sandbox", "-o", "json"],
        env={**os.environ, "KUBECONFIG": str(sandbox.data_dir / "kubeconfig")},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0 and ready(json.loads(done.stdout))
