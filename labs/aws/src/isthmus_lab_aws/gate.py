"""The gate between resource steps and snapshots: many steps at once, or one snapshot alone.

A step (make a resource, note it in the journal) passes with `shared`; a snapshot of all state
passes with `alone`, so that what is saved never holds a resource without its note, or the reverse.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager


class Gate:
    """A readers-writer lock that lets a waiting snapshot go first. A thread may nest `shared`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting = 0
        self._mine = threading.local()

    @contextmanager
    def shared(self) -> Generator[None]:
        """Be one of many steps."""
        depth: int = getattr(self._mine, "depth", 0)
        with self._changed:
            while self._waiting and not depth:
                self._changed.wait()
            self._inside += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Generator[None]:
        """Be the only one, once the steps inside are through; never call it inside `shared`."""
        with self._changed:
            self._waiting += 1
            while self._inside:
                self._changed.wait()
            try:
                yield
            finally:
                self._waiting -= 1
                self._changed.notify_all()
