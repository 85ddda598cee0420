"""``isthmus lab``: the simulated AWS alone, its pages and its faults."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from isthmus.app.children import dying_with_us
from isthmus.app.commands import command
from tests.sandboxed import _SOURCES

pytest.importorskip("ministack", reason="the AWS lab is not installed")


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    process = subprocess.Popen(
        [sys.executable, "-m", "isthmus", "lab", "up", "--state", folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": _SOURCES},
        preexec_fn=dying_with_us(signal.SIGTERM),
    )
    try:
        deadline = time.monotonic() + 100
        while not (folder / "ready.json").exists():
            assert process.poll() is None, "the lab ended"
            assert time.monotonic() < deadline, "the lab did not start"
            time.sleep(0.05)
        yield folder
    finally:
        process.terminate()
        process.wait(60)


def lab(state, *words: str, code: int = 0):
    done = CliRunner().invoke(command(), ["lab", *words, "--state", str(state)])
    assert done.exit_code == code, done.output
    return done


def test_status_says_how_it_is_and_what_exists(state):
    found = json.loads(lab(state, "status", "-o", "json").stdout)
    assert found["health"]["status"] == "ok"
    assert found["state"]["resources"] == []
    assert "status: ok" in lab(state, "status").stdout


def test_faults_are_added_listed_and_cleared(state):
    throttle = ("--service", "cloudformation", "--action", "Create*", "--effect", "throttle")
    lab(state, "fault", *throttle, "--times", "3")
    lab(state, "fault", "--type", "AWS::SQS::*", "--operation", "create", "--effect", "error")
    rules = json.loads(lab(state, "fault", "-o", "json").stdout)
    assert [(r["effect"], r["times"]) for r in rules] == [("throttle", 3), ("error", 1)]
    assert "no faults" in lab(state, "fault", "--clear").stderr


def test_a_fault_that_makes_no_sense_is_refused(state):
    assert "--effect" in lab(state, "fault", "--service", "rds", code=2).stderr
    done = lab(state, "fault", "--service", "rds", "--effect", "explode", code=3)
    assert "the lab refuses" in done.stderr


def test_no_lab_says_how_to_start_one(tmp_path):
    assert "isthmus lab up" in lab(tmp_path, "status", code=7).stderr
