"""Running programs and waiting for what they do."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from isthmus_lab_kubernetes.settings import LabError


def run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a program to its end and return its output.

    Raises:
        LabError: It failed; the message holds the end of what it complained about.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        words = " ".join(str(part) for part in command)[:200]
        raise LabError(f"{words}: exit {done.returncode}: {done.stderr.strip()[-1500:]}")
    return done.stdout


def feed(text: str, *command: str | Path) -> None:
    """Run a program that reads `text`; raises LabError if it fails."""
    done = subprocess.run(
        [str(part) for part in command], input=text, text=True, capture_output=True, check=False
    )
    if done.returncode:
        raise LabError(f"{command[0]}: exit {done.returncode}: {done.stderr.strip()[-1500:]}")


def detach(log: Path, *command: str | Path) -> int:
    """Start a program that outlives this process; returns its number. It writes to `log`."""
    # Its parent, a shell, ends at once: whoever reaps orphans reaps it, and nobody waits for it.
    script = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'
    words = ["sh", "-c", script, "lab", *(str(part) for part in (log, *command))]
    started = subprocess.run(
        words, capture_output=True, text=True, check=True, start_new_session=True
    )
    return int(started.stdout)


def wait(condition: Callable[[], bool], seconds: float, complaint: str, every: float = 0.2) -> None:
    """Wait until something holds; raises LabError with the complaint when `seconds` have passed."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(complaint)
        time.sleep(every)


def put(path: Path, text: str) -> None:
    """Write a file, and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def say(text: str) -> None:
    """Tell the person at the terminal what takes so long; standard output is for results."""
    sys.stderr.write(f"lab: {text}\n")
    sys.stderr.flush()
