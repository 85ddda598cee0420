"""All objects of one resource, in memory."""

import asyncio
from bisect import bisect_left, insort
from collections.abc import Sequence

from isthmus.apiserver.history import Event, History, Key, Record
from isthmus.apiserver.rereading import Read, Rereading

_AT_ONCE = 100
"""Objects read anew between two turns of others."""


class Collection:
    """All objects of one resource: what is committed, what is staged, what changed lately.

    Args:
        name: `group/plural`.
        history: The ring that watchers read.
    """

    def __init__(self, name: str, history: History) -> None:
        self.name = name
        self.history = history
        self.records: dict[Key, Record] = {}
        self.keys: list[Key] = []
        self.staged: dict[Key, Record | None] = {}
        self.rereading: Rereading | None = None
        """Of a custom kind: by which definition its objects are shown."""
        self.defined = 0
        """Version of that definition; what was watched before must be listed again."""

    def define(self, read: Read, version: int, since: int) -> None:
        """Show all objects by another definition, and end the watches of what they were before.

        Args:
            read: How it shows a body.
            version: The definition's own version.
            since: The last version that may have been written under another one.
        """
        before = self.rereading.stored if self.rereading else {}
        for key, body in before.items():
            self.records[key] = self.records[key]._replace(body=body)
        self.rereading = Rereading(read, since, (*self.records, *self.staged))
        self.defined = version
        self.history.wake()

    def forget(self) -> None:
        """The definition is gone, and with it all objects; what watches them ends."""
        self.rereading = None
        self.history.wake()

    async def reread(self) -> None:
        """Return once every object is as its definition shows it; others have turns meanwhile."""
        while self.rereading is not None and self.rereading.pending:
            for _ in range(min(_AT_ONCE, len(self.rereading.pending))):
                self.rereading.look(self.records, self.rereading.pending.pop())
            await asyncio.sleep(0)

    def committed(self, key: Key) -> Record | None:
        """The object as a reader must see it."""
        if self.rereading is not None and key in self.rereading.pending:
            self.rereading.look(self.records, key)
        return self.records.get(key)

    def current(self, key: Key) -> Record | None:
        """The object as a writer must see it, staged changes included."""
        if key in self.staged:
            staged = self.staged[key]
            return self.rereading.renewed(staged) if staged and self.rereading else staged
        return self.committed(key)

    def before(self, event: Event) -> Record | None:
        """What an object was before a change, as it is shown now."""
        if self.rereading is None or event.previous is None:
            return event.previous
        old = event.record.version <= self.rereading.since
        return self.rereading.renewed(event.previous) if old else event.previous

    def stored_body(self, record: Record) -> bytes:
        """The bytes that an object is stored as; they may show more or less than the object."""
        return self.rereading.stored.get(record.key, record.body) if self.rereading else record.body

    def within(self, namespace: str | None) -> Sequence[Key]:
        """Keys of committed objects in order, of one namespace or (None) of all."""
        if namespace is None:
            return self.keys
        span = self.span(namespace)
        return self.keys[span.start : span.stop]

    def span(self, namespace: str | None) -> range:
        """Where in `keys` those of one namespace, or (None) of all, are."""
        if namespace is None:
            return range(len(self.keys))
        low = bisect_left(self.keys, (namespace, ""))
        return range(low, bisect_left(self.keys, (namespace + "\0", ""), low))

    def count(self, namespace: str) -> int:
        """How many objects a namespace has as a writer must see it, staged changes included."""
        count = len(self.span(namespace))
        for key, record in self.staged.items():
            if key[0] == namespace:
                count += (record is not None) - (key in self.records)
        return count

    def publish(self, event: Event) -> None:
        """Make a committed change visible."""
        key, written = event.record.key, event.record
        if self.rereading is not None:
            event = self.rereading.published(event)
        if event.type == "DELETED":
            del self.records[key]
            del self.keys[bisect_left(self.keys, key)]
        else:
            if event.type == "ADDED":
                insort(self.keys, key)
            self.records[key] = event.record
        staged = self.staged.get(key, written)
        if staged is written or (staged is None and event.type == "DELETED"):
            self.staged.pop(key, None)
        self.history.append(event)
