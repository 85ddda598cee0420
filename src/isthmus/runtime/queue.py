"""A queue of names: each waits once, and is never worked on twice at the same time.

As in controller-runtime: a name that changes while it is in work is queued again when that work
ends; failures back off by name, and all retries together pass one token bucket.
"""

import asyncio
import random
from collections import deque
from datetime import timedelta

from isthmus.runtime.kinds import Key

FIRST_RETRY = timedelta(seconds=2)
LAST_RETRY = timedelta(minutes=10)
_RETRIES_PER_SECOND = 50.0
_BURST = 200.0
_JITTER = 0.1


def backoff(failures: int) -> timedelta:
    """Return how long to wait after so many failures in a row: two seconds to ten minutes."""
    return min(FIRST_RETRY * 2 ** min(max(failures - 1, 0), 16), LAST_RETRY)


class Queue:
    """Names to be reconciled. Used from one event loop."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._busy: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._waiter = asyncio.Semaphore(0)
        self._ended = asyncio.Event()
        self._closed = False
        self._bucket = _TokenBucket(_RETRIES_PER_SECOND, _BURST)

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in work; timers may still be set."""
        return not self._ready and not self._busy

    def add(self, key: Key) -> None:
        """Queue it now, unless it waits already."""
        self._cancel_timer(key)
        if key in self._dirty or self._closed:
            return
        self._dirty.add(key)
        if key not in self._busy:
            self._put(key)

    def add_after(self, key: Key, delay: timedelta) -> None:
        """Queue it later, unless it is due earlier already."""
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + delay.total_seconds()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= due:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_at(due, self._expire, key)

    def retry(self, key: Key, *, after: timedelta | None = None) -> None:
        """Queue it after a failure: when the other side asked for, else by its backoff."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = after or backoff(failures) * (1 + random.random() * _JITTER)
        self.add_after(key, delay + self._bucket.take())

    def succeeded(self, key: Key) -> None:
        """Forget the failures."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Wait for a name and take it into work."""
        await self._waiter.acquire()
        while not self._ready:  # Closed meanwhile.
            await self._waiter.acquire()
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._busy.add(key)
        return key

    def done(self, key: Key) -> None:
        """End the work on a name."""
        self._busy.discard(key)
        self._ended.set()
        if key in self._dirty:
            self._put(key)

    def close(self) -> None:
        """Take nothing new, and forget all that waits."""
        self._closed = True
        self._ready.clear()
        self._dirty.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def drain(self) -> None:
        """Wait until nothing is in work; after ``close``."""
        while self._busy:
            self._ended.clear()
            await self._ended.wait()

    def _put(self, key: Key) -> None:
        self._ready.append(key)
        self._waiter.release()

    def _expire(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()


class _TokenBucket:
    """Says how long to wait so that a rate is kept."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._at = 0.0

    def take(self) -> timedelta:
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        self._tokens -= 1
        return timedelta(seconds=max(0.0, -self._tokens / self._per_second))
