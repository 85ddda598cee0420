"""Processes end with the one that started them, even when that is killed."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
"""Linux's prctl(2): the signal that a process gets when its parent dies."""


def die_with_parent(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel end this process, in that way, when its parent, of that pid, ends.

    The kernel means the thread that started the child: start it from one that lives on.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os._exit(1)  # The parent died before the call.
