"""Nothing that tests have started outlives their pytest, whatever ends that."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus_lab_kubernetes.commands import detach
from isthmus_lab_kubernetes.processes import Process
from tests.e2e.waiting_for_its_end import READY

ROOT = Path(__file__).parents[2]
INNER = Path(__file__).with_name("waiting_for_its_end.py")
KEPT = """
import sys, time
from pathlib import Path
from tests.kubernetes_lab import kept
with kept(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(100)
"""


def users(folder: Path) -> list[int]:
    """Every process that names the folder, or has a file of it open."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _uses(path, folder)]


def _uses(process: Path, folder: Path) -> bool:
    try:
        if str(folder).encode() in (process / "cmdline").read_bytes():
            return True
        return any(folder in file.readlink().parents for file in (process / "fd").iterdir())
    except OSError:
        return False  # It has ended meanwhile, or is not ours to look at.


def await_(holds: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_lab_ends_with_its_pytest(tmp_path: Path, how: signal.Signals) -> None:
    pytest.importorskip("ministack", reason="the AWS lab is not installed")
    place, ready = tmp_path / "place", tmp_path / "ready"
    command = [sys.executable, "-m", "pytest", "-q", f"--basetemp={place}", str(INNER)]
    with (tmp_path / "log").open("w") as log:
        inner = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, READY: str(ready)}, stdout=log, stderr=log
        )
    try:
        await_(lambda: ready.exists() or inner.poll() is not None)
        assert ready.exists(), (tmp_path / "log").read_text()
        assert len(users(place)) >= 2, "pytest and the lab"
        inner.send_signal(how)
        assert inner.wait(120) == (pytest.ExitCode.INTERRUPTED if how == signal.SIGTERM else -how)
    finally:
        inner.kill()
    assert ready.with_name("ended").exists() == (how == signal.SIGTERM), "fixtures have ended"
    await_(lambda: not users(place))


def test_the_kubernetes_lab_ends_with_who_keeps_it(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    (lab / "plane").mkdir(parents=True)
    etcd = Process.of(detach(lab / "plane" / "etcd.log", "sleep", "1000"))
    (lab / "plane" / "etcd.pid").write_text(f"{etcd.pid} {etcd.started}")
    with subprocess.Popen(
        [sys.executable, "-c", KEPT, str(lab)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as keeping:
        assert keeping.stdout is not None
        assert keeping.stdout.readline() == b"ready\n"
        keeping.kill()
    await_(lambda: not etcd.alive)
    await_(lambda: not users(lab))
