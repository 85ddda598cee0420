"""Child processes that never outlive us."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def dying_with_us(how: signal.Signals) -> Callable[[], None]:
    """Return what a child calls between fork and exec, so that it ends when we are gone.

    The kernel then ends it in that way, even where we end by SIGKILL. Linux only; elsewhere
    nothing happens. https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    parent = os.getpid()

    def in_child() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, how)
            if os.getppid() != parent:
                os._exit(1)  # We died before the call.

    return in_child
