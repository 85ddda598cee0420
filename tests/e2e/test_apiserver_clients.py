"""Clients that other people wrote, unchanged, against a listening server."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.app.children import dying_with_us
from tests.apiserver_client import widget_definition
from tests.apiserver_listening import Listening

CLIENTS = Path(__file__).parents[1] / "clients"
KUBECTL = shutil.which("kubectl")
pytestmark = [pytest.mark.labs, pytest.mark.slow, pytest.mark.timeout(600)]
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on PATH")


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that has the clients; made once and kept outside the checkout."""
    wanted = CLIENTS / "requirements.txt"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / f"isthmus-clients-{digest}"
    if not (home / "complete").exists():
        making = home.with_suffix(f".{os.getpid()}")
        uv = [str(Path(sys.executable).parent / "uv")]
        interpreter = str(making / "bin" / "python")
        install = ["pip", "install", "-q", "--require-hashes", "-r", str(wanted)]
        try:
            subprocess.run([*uv, "venv", "-q", "--relocatable", str(making)], check=True)
            subprocess.run([*uv, *install, "--python", interpreter], check=True, timeout=300)
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(making, ignore_errors=True)
            pytest.skip(f"the clients cannot be installed here: {error}")
        (making / "complete").touch()
        if home.exists():
            shutil.rmtree(making)
        else:
            making.rename(home)
    return str(home / "bin" / "python")


@pytest.fixture(scope="module")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server's that knows Widgets."""
    folder = tmp_path_factory.mktemp("clients")
    with Listening(folder / "data") as server:
        path = folder / "kubeconfig"
        path.write_text(server.kubeconfig())
        kubectl(path, "create", "-f", "-", given=json.dumps(widget_definition()))
        yield path


def kubectl(kubeconfig: Path, *arguments: str, given: str = "") -> str:
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(kubeconfig.parent)}
    command = [KUBECTL or "kubectl", *arguments]
    done = subprocess.run(
        command, input=given, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_kubectl
@pytest.mark.parametrize("script", ["official.py", "kr8s_client.py", "lightkube_client.py"])
def test_client(script: str, python: str, kubeconfig: Path) -> None:
    done = subprocess.run(
        [python, str(CLIENTS / script), str(kubeconfig)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


@needs_kubectl
def test_operator_of_kopf(python: str, kubeconfig: Path, tmp_path: Path) -> None:
    command = ("-m", "kopf", "run", "--standalone", "-n", "default", str(CLIENTS / "painter.py"))
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}
    log = (tmp_path / "log").open("w+")
    ends = dying_with_us(signal.SIGTERM)
    operator = subprocess.Popen([python, *command], env=environment, stderr=log, preexec_fn=ends)
    kind = {"apiVersion": "example.com/v1", "kind": "Widget"}
    body = {**kind, "metadata": {"name": "p"}, "spec": {"size": 1, "color": "green"}}
    try:
        kubectl(kubeconfig, "create", "-f", "-", given=json.dumps(body))
        deadline = time.monotonic() + 120
        while (
            kubectl(kubeconfig, "get", "widget", "p", "-o", "jsonpath={.status.painted}") != "green"
        ):
            assert operator.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.3)
        assert "kopf" in kubectl(
            kubeconfig, "get", "widget", "p", "-o", "jsonpath={.metadata.finalizers}"
        )
        kubectl(kubeconfig, "delete", "widget", "p", "--timeout=60s")
    finally:
        operator.send_signal(signal.SIGTERM)
        operator.wait(60)
        log.close()
