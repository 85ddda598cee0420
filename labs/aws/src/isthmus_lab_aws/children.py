"""Processes that the lab starts end with it, even when it is killed."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
"""Linux's prctl(2): the signal that a process gets when its parent dies."""


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends; for `preexec_fn` or a first line."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:
        os._exit(1)  # The parent died before the call.
