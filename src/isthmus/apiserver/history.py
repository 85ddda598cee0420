"""The recent changes of one resource: the only path by which a watch learns of anything."""

import asyncio
from bisect import bisect_right
from typing import NamedTuple

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""


class Record(NamedTuple):
    """One version of one object, with what must be known without parsing its body.

    Attributes:
        key: Namespace and name.
        version: The resourceVersion.
        body: Canonical JSON; it begins with `{"apiVersion":...,"kind":...,"metadata":`.
        uid: The object's uid.
        labels: Its labels.
        owners: uids of its owners.
    """

    key: Key
    version: int
    body: bytes
    uid: str
    labels: dict[str, str]
    owners: tuple[str, ...]


def as_of(last: Record, version: int) -> Record:
    """An object as it was last, at the version of the change that took it away."""
    before, after = (f'"resourceVersion":"{v}"'.encode() for v in (last.version, version))
    return last._replace(body=last.body.replace(before, after, 1), version=version)


class Event(NamedTuple):
    """A committed change.

    Attributes:
        type: `ADDED`, `MODIFIED` or `DELETED`.
        record: The object after the change; for `DELETED` its last state with the new version.
        previous: The object before the change.
    """

    type: str
    record: Record
    previous: Record | None


def _version(event: Event) -> int:
    return event.record.version


class History:
    """A ring of events that watchers read at their own pace.

    A watcher holds a version, never a queue: a slow one costs no memory and finds itself expired
    once the ring has moved on.

    Args:
        start: Version before which nothing is known.
        most_events: Events kept.
        most_bytes: Bytes of bodies kept.
    """

    def __init__(self, start: int, most_events: int, most_bytes: int) -> None:
        self.trimmed = start
        self._events: list[Event] = []
        self._bytes = 0
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._watchers: set[asyncio.Event] = set()

    def append(self, event: Event) -> None:
        """Remember a committed change; `wake` tells the watchers."""
        self._events.append(event)
        self._bytes += len(event.record.body)
        if len(self._events) > self._most_events or self._bytes > self._most_bytes:
            self._trim()

    def _trim(self) -> None:
        """Forget the older quarter at once, which keeps the cost per event constant."""
        count = max(1, len(self._events) // 4)
        self.trimmed = self._events[count - 1].record.version
        self._bytes -= sum(len(event.record.body) for event in self._events[:count])
        del self._events[:count]

    def wake(self) -> None:
        """Tell every watcher that there may be something new."""
        for watcher in self._watchers:
            watcher.set()

    def subscribe(self) -> asyncio.Event:
        """A flag that is set whenever something was appended."""
        flag = asyncio.Event()
        self._watchers.add(flag)
        return flag

    @property
    def watchers(self) -> int:
        """How many are watching."""
        return len(self._watchers)

    def unsubscribe(self, flag: asyncio.Event) -> None:
        """Forget the flag."""
        self._watchers.discard(flag)

    def since(self, version: int, most: int | None = None) -> list[Event] | None:
        """The first events after `version`, or None when some of them are forgotten.

        Args:
            version: The last version that the watcher knows.
            most: How many events at most; None: all.
        """
        if version < self.trimmed:
            return None
        events = self._events
        if not events or events[-1].record.version <= version:
            return []
        first = bisect_right(events, version, key=_version)
        return events[first : None if most is None else first + most]
