"""Child processes that never outlive us."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is gone, even by SIGKILL.

    To be called in the child, between fork and exec. Linux only; elsewhere nothing happens.
    https://man7.org/linux/man-pages/man2/pr_set_pdeathsig.2const.html
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
