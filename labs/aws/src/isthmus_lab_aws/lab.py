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
from time import monotonic
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
    _rescaled: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """The one endpoint of all services."""
        return f"http://127.0.0.1:{self.port}"

    def seconds(self, real: timedelta) -> float:
        """How long the lab takes, in seconds, for what takes AWS `real`."""
        return real.total_seconds() * self.scale

    def rescale(self, scale: float) -> None:
        """Take `scale` from now on, also for what is left of what `later` waits for."""
        with self._rescaled:
            self.scale = scale
            self._rescaled.notify_all()

    def later(self, real: timedelta, work: Callable[[], Any]) -> None:
        """Do `work` after `real`, scaled, with the account and region of this moment.

        Not kept over a restart: what `work` would settle is to be settled by the `started` hook.
        """
        context = contextvars.copy_context()

        def run() -> None:
            self._elapse(real)
            context.run(work)

        threading.Thread(target=run, daemon=True).start()

    def _elapse(self, real: timedelta) -> None:
        """Return once `real` has gone by, each part of it at the scale of its time."""
        left = real.total_seconds()
        with self._rescaled:
            while left > 0 and (scale := self.scale) > 0:
                began = monotonic()
                if not self._rescaled.wait(left * scale):
                    return
                left -= (monotonic() - began) / scale


_current: list[Lab] = []


def start(lab: Lab) -> None:
    """Make `lab` the one of this process."""
    _current[:] = [lab]


def current() -> Lab:
    """The lab of this process."""
    if not _current:
        raise RuntimeError("no lab was started in this process; call lab.start(Lab(...)) first")
    return _current[0]
