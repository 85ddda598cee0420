"""Processes that the lab starts end with it, even when it is killed."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
"""Linux's prctl(2): the signal that a process gets when its parent dies."""


def die_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent, of that pid, ends.

    The kernel means the thread that started the child: start it from one that lives on.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # The parent died before the call.
