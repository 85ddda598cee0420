"""Commands from a service of a cloud to its guests: where they are, and the lab's command line.

The services' threads are not ours to block or to patch, so every command is a process of its own.
The guests' state is in the folder `guests` of the OpenStack lab's own. The environment may say
otherwise: ISTHMUS_LAB_GUESTS.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isthmus_lab_kubernetes.settings import PACKAGE, LabError

_MARK = "ISTHMUS_OPENSTACK_LAB"
STATE = Path(os.environ.get("ISTHMUS_LAB_GUESTS") or Path(os.environ.get(_MARK, "/tmp"), "guests"))
VOLUMES = STATE.parent / "var" / "volumes"
"""A folder for each volume of the cloud that has content; Cinder's driver removes it."""


def command(*words: str) -> list[str]:
    """The lab's command line for the cloud's guests."""
    return [sys.executable, "-m", "isthmus_lab_kubernetes", "--state", str(STATE), *words]


def environment() -> dict[str, str]:
    """What the command sees.

    The OpenStack lab kills what bears its mark; guests survive it, and the agent removes them
    properly.
    """
    ours = {name: value for name, value in os.environ.items() if name != _MARK}
    return {**ours, "PYTHONPATH": str(PACKAGE.parent)}


def log_in(section: Any) -> dict[str, str]:
    """How a service of the cloud logs in at others, by a section of its configuration."""
    return {
        "auth_url": section.auth_url.rstrip("/"),
        "username": section.username,
        "password": section.password,
        "project": section.project_name,
    }


def order(words: Sequence[str], request: object = None) -> None:
    """Give one command, with a request as JSON on its standard input.

    Raises:
        LabError: It failed.
    """
    done = subprocess.run(
        command(*words),
        input=json.dumps(request),
        text=True,
        capture_output=True,
        env=environment(),
        check=False,
    )
    if done.returncode:
        raise LabError(f"{words[0]}: {done.stderr[-700:]}")
