"""Chooses a range of ports that nobody uses, and holds it while the lab runs.

A lab's ports are the standard ones plus a shift. The shift is kept in the state folder; a lock
beside the cache keeps two labs that start at the same time from choosing the same one.
"""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from typing import IO

from isthmus_lab_openstack.settings import HOST, STANDARD_PORTS, LabError, cache

STEPS = (0, 9000, 18000, 27000, 32000, -5000, 4500, 13500, 22500)
"""Tried one after the other; no two make one lab's ports meet another's."""
_HIGHEST = 65535


def reserve(wished: int) -> tuple[int, IO[str]]:
    """Return a free shift near `wished`, and the lock that holds it until it is closed.

    Raises:
        LabError: All the ranges that were tried are taken.
    """
    for shift in _candidates(wished):
        lock = _lock(shift)
        if lock is None:
            continue
        if all(_free(port + shift) for port in STANDARD_PORTS.values()):
            return shift, lock
        lock.close()
    raise LabError(f"no free range of ports near shift {wished}; wish for another --port-shift")


def _candidates(wished: int) -> Iterator[int]:
    lowest, highest = min(STANDARD_PORTS.values()), max(STANDARD_PORTS.values())
    for step in STEPS:
        shift = wished + step
        if lowest + shift > 1023 and highest + shift <= _HIGHEST:
            yield shift


def _lock(shift: int) -> IO[str] | None:
    folder = cache() / "ports"
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / str(shift)).open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
