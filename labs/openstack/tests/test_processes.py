"""Processes of a lab end with it: asked, or killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus_lab_openstack.processes import Processes, marked, reap
from isthmus_lab_openstack.programs import Program
from isthmus_lab_openstack.settings import LabError, Settings

_SLEEP = ("sleep", "600")
_SUPERVISOR = """
import sys, time
from pathlib import Path
from isthmus_lab_openstack import keeper
from isthmus_lab_openstack.processes import Processes
from isthmus_lab_openstack.programs import Program
from isthmus_lab_openstack.settings import Settings
lab = Settings(state=Path(sys.argv[1]))
watch = keeper.start(lab.state)
forks = "setsid sleep 600 & exec sleep 600"
Processes(lab, Path("/bin")).start(Program(name="forker", command=("sh", "-c", forks)))
print("started", flush=True)
time.sleep(600)
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Settings]:
    found = Settings(state=tmp_path)
    for folder in (found.var, found.run, found.log):
        folder.mkdir()
    yield found
    reap(tmp_path)


def _wait(lab: Settings, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(marked(lab.state)) != count:
        assert time.monotonic() < deadline, marked(lab.state)
        time.sleep(0.05)


def test_what_was_started_runs_until_it_is_stopped(lab: Settings) -> None:
    processes = Processes(lab, Path("/bin"))
    processes.start(Program(name="one", command=_SLEEP), Program(name="two", command=_SLEEP))
    assert processes.running() == ["one", "two"]
    processes.stop(["one"])
    assert processes.running() == ["two"]
    processes.stop(["two"], kill=True)
    _wait(lab, 0)


def test_a_process_that_ends_is_named_with_the_end_of_its_log(lab: Settings) -> None:
    processes = Processes(lab, Path("/bin"))
    program = Program(name="bad", command=("sh", "-c", "echo no disk; exit 1"), port=1)
    processes.start(program)
    with pytest.raises(LabError, match=r"bad ended:\nno disk"):
        processes.wait([program], 60)


def test_a_killed_supervisor_leaves_nothing_not_even_what_forked_away(lab: Settings) -> None:
    sources = str(Path(__file__).parents[1] / "src")
    with subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, str(lab.state)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": sources},
    ) as supervisor:
        assert supervisor.stdout is not None
        assert supervisor.stdout.readline() == b"started\n"
        _wait(lab, 2)
        supervisor.send_signal(signal.SIGKILL)
        supervisor.wait(60)
        _wait(lab, 0)
