"""A server that a killed lab left over a folder is ended before the next one starts there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from isthmus_lab_aws.databases.children import end_predecessor

POLITE = "import signal, sys; print(flush=True); signal.pause()"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {POLITE}"


def server(program: str, named: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(named)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    return child


@pytest.mark.parametrize(
    ("program", "patience", "ended_by"),
    [(POLITE, 60, signal.SIGTERM), (DEAF, 0.2, signal.SIGKILL)],
)
def test_what_was_left_ends(tmp_path, program, patience, ended_by):
    lock = tmp_path / "pid"
    with server(program, tmp_path) as left:
        lock.write_text(f"{left.pid}\nmore\n")
        end_predecessor(lock, tmp_path, signal.SIGTERM, patience)
        assert left.wait(60) == -ended_by


@pytest.mark.parametrize("content", ["", "no number\n", None])
def test_a_lock_of_nobody_is_no_reason_to_wait(tmp_path, content):
    lock = tmp_path / "pid"
    if content is not None:
        lock.write_text(content)
    end_predecessor(lock, tmp_path, signal.SIGTERM, 60)
    assert lock.exists() == (content is not None)


def test_somebody_else_under_this_number_goes_on(tmp_path):
    lock = tmp_path / "pid"
    with server(POLITE, tmp_path / "other") as other:
        lock.write_text(f"{other.pid}\n")
        end_predecessor(lock, tmp_path / "ours", signal.SIGTERM, 60)
        assert other.poll() is None
        other.kill()
