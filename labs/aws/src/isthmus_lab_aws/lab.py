"""What the running lab offers to the types in it: scaled time, later work, its own address.

One object per process (`current`), set up by the entry point before the first request.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

DEFAULT_SCALE = 1 / 500
"""Eight minutes of AWS become about one second of the lab."""


@dataclass(slots=True)
class Lab:
    """The lab's settings. `state` is the folder that keeps everything over a restart."""

    state: Path
    port: int = 0
    scale: float = DEFAULT_SCALE
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """The one endpoint of all services."""
        return f"http://127.0.0.1:{self.port}"

    def seconds(self, real: timedelta) -> float:
        """How long the lab takes, in seconds, for what takes AWS `real`."""
        return real.total_seconds() * self.scale

    def wait(self, real: timedelta) -> None:
        """Sleep on a worker thread as long as the lab takes for `real`; closing ends it early."""
        self.closing.wait(self.seconds(real))

    def later(self, real: timedelta, work: Callable[[], Any]) -> None:
        """Do `work` after `real`, scaled, with the account and region of this moment.

        Not kept over a restart: what `work` would settle is to be settled by the `started` hook.
        """
        context = contextvars.copy_context()
        timer = threading.Timer(self.seconds(real), lambda: context.run(work))
        timer.daemon = True
        timer.start()


_current: list[Lab] = []


def start(lab: Lab) -> None:
    """Make `lab` the one of this process."""
    _current[:] = [lab]


def current() -> Lab:
    """The lab of this process."""
    if not _current:
        raise RuntimeError("no lab was started in this process; call lab.start(Lab(...)) first")
    return _current[0]
