"""A running ``isthmus up`` for tests: a child process on a free port with a folder of its own."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner

from isthmus.app.children import dying_with_us
from isthmus.app.commands import command
from tests.world import OFFERING

ROOT = Path(__file__).parents[1]
_COMMAND = command()
_READY_SECONDS = 240
_STOP_SECONDS = 60
_SOURCES = os.pathsep.join(str(ROOT / part) for part in ("src", "labs/aws/src"))


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A running installation, and the command line to use it with."""

    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    logged: int = 0
    """How long the log was before it started: a folder's lives share one."""

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "kubeconfig"

    def said(self) -> str:
        """Return what it has logged in this life."""
        return self.log.read_bytes()[self.logged :].decode(errors="replace")

    def run(
        self, *words: str, stdin: str = "", code: int | None = 0, kubeconfig: Path | None = None
    ) -> "Said":
        """Run the command line against it, in this process, and expect an exit code."""
        environment = {"KUBECONFIG": str(kubeconfig or self.kubeconfig), "COLUMNS": "100"}
        result = CliRunner().invoke(_COMMAND, list(words), input=stdin, env=environment)
        known = result.exception is None or isinstance(result.exception, SystemExit)
        assert known, f"{words}: {result.exception!r}\n{result.output}"
        return _expected(words, Said(result.exit_code, result.stdout, result.stderr), code)

    def json(self, *words: str, **options: Any) -> Any:
        """Run a verb with ``--output json``."""
        return json.loads(self.run(*words, "-o", "json", **options).stdout)

    def apply(self, *objects: dict[str, Any], wait: bool = True, seconds: int = 60) -> None:
        """Apply objects, and wait until they are ready."""
        text = yaml.safe_dump_all(objects)
        patience = ["--wait", "--timeout", str(seconds)] if wait else []
        self.run("apply", "-f", "-", *patience, stdin=text)

    def user(self, name: str, *groups: str) -> Path:
        """Add a user to the token file; return a kubeconfig for them."""
        token = f"token-of-{name}"
        file = self.data_dir / "tokens.json"
        entries = [e for e in json.loads(file.read_text()) if e["user"] != name]
        digest = hashlib.sha256(token.encode()).hexdigest()
        fresh = file.with_suffix(".new")
        entry = {"user": name, "groups": list(groups), "sha256": digest}
        fresh.write_text(json.dumps([*entries, entry]))
        fresh.chmod(0o600)
        fresh.replace(file)
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        own = self.data_dir / f"kubeconfig-{name}"
        own.write_text(yaml.safe_dump(config))
        return own

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(_STOP_SECONDS)


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def isthmus(
    *words: str, stdin: str = "", code: int | None = 0, seconds: float = 120, **environment: str
) -> Said:
    """Run the command line as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "isthmus", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env=_environment(environment),
    )
    return _expected(words, Said(done.returncode, done.stdout, done.stderr), code)


def _expected(words: tuple[str, ...], said: Said, code: int | None) -> Said:
    assert code is None or said.returncode == code, (
        f"isthmus {' '.join(words)} ended with {said.returncode}, not {code}:\n"
        f"{said.stdout}\n{said.stderr}"
    )
    return said


def _environment(more: dict[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("KUBECONFIG", "ISTHMUS_DATA_DIR")}
    return kept | {"PYTHONPATH": _SOURCES, "COLUMNS": "100", "NO_COLOR": "1"} | more


@contextmanager
def up(folder: Path, *options: str, ready: bool = True) -> Iterator[Installation]:
    """Run ``isthmus up``; leaving the block ends it."""
    data_dir, log = folder / "data", folder / "up.log"
    data_dir.mkdir(exist_ok=True, parents=True)
    (data_dir / "kubeconfig").unlink(missing_ok=True)
    with log.open("ab") as output:
        logged = output.tell()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "isthmus",
                "up",
                "--port",
                "0",
                "--data-dir",
                data_dir,
                *options,
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=_environment({}),
            preexec_fn=dying_with_us(signal.SIGTERM),
        )
    installation = Installation(data_dir=data_dir, process=process, log=log, logged=logged)
    try:
        if ready:
            wait_for(lambda: installation.kubeconfig.exists(), installation)
        yield installation
    finally:
        try:
            installation.stop()
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(holds: Any, installation: Installation, seconds: float = _READY_SECONDS) -> None:
    """Ask again until it holds; the server must stay alive meanwhile."""
    deadline = time.monotonic() + seconds
    while not holds():
        said = installation.said()[-4000:]
        assert installation.process.poll() is None, f"isthmus up ended:\n{said}"
        assert time.monotonic() < deadline, f"not within {seconds} s:\n{said}"
        time.sleep(0.05)


def a_provider(name: str = "cloud", **spec: Any) -> dict[str, Any]:
    settings = {"latencySeconds": "0.2"}
    return _object("Provider", name, "", {"driver": "fake", "settings": settings} | spec)


def an_offering(name: str = "database", **spec: Any) -> dict[str, Any]:
    return _object("Offering", name, "", OFFERING | spec)


def an_instance(name: str, namespace: str, **spec: Any) -> dict[str, Any]:
    wanted = {"offering": "database", "plan": "dev", "provider": "cloud"} | spec
    return _object("ServiceInstance", name, namespace, wanted)


def a_binding(name: str, namespace: str, instance: str) -> dict[str, Any]:
    return _object("ServiceBinding", name, namespace, {"instance": instance})


def a_namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _object(kind: str, name: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {
        "apiVersion": "isthmus.dev/v1alpha1",
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
    }
