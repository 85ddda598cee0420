"""Outlives a killed lab for a moment and takes its processes along.

Started by the supervisor with the read end of a pipe as standard input. The pipe closes when the
supervisor ends, in whatever way; then every process that bears the lab's mark is killed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from isthmus_lab_openstack.processes import reap


def start(state: Path) -> subprocess.Popen[bytes]:
    """Start the keeper of this process; it ends by itself, after us."""
    return subprocess.Popen(
        [sys.executable, "-m", "isthmus_lab_openstack.keeper", str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def main() -> None:
    """Wait for the end of our parent, then clean up."""
    # Only the supervisor's end ends us: a terminal's Ctrl-C is meant for the supervisor.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    reap(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
