"""Objects as the present definition of their kind shows them, whenever they were stored.

A definition that gains a default or loses a field changes how all its objects look, and nothing of
what is stored: that happens when an object is next written. So whatever was written before is read
anew once, when somebody first asks for it or for all of its kind. Where it looks otherwise now, it
takes the place of what was stored in the image that everybody reads. What was written since is as
the definition wants it, and costs nothing.
"""

from collections.abc import Callable, Iterable

from isthmus.apiserver.history import Event, Key, Record

Read = Callable[[bytes], bytes]
"""A stored body as the definition shows it in the same version: the same object if it is alike."""


class Rereading:
    """What of a collection is still to be read anew.

    Args:
        read: How the present definition shows a body.
        since: Versions up to this one may have been written under another definition.
        keys: All that was written up to then.
    """

    def __init__(self, read: Read, since: int, keys: Iterable[Key]) -> None:
        self._read = read
        self.since = since
        self.pending = set(keys)
        self.stored: dict[Key, bytes] = {}
        """Bodies as they are on the disk, of those objects that are shown otherwise."""

    def renewed(self, record: Record) -> Record:
        """The object as it is shown now; what was written since is as it is."""
        if record.version > self.since:
            return record
        body = self._read(record.body)
        return record if body is record.body else record._replace(body=body)

    def look(self, records: dict[Key, Record], key: Key) -> None:
        """Read one object anew and keep it in `records` as it is shown."""
        self.pending.discard(key)
        record = records.get(key)
        if record is not None:
            records[key] = fresh = self.renewed(record)
            if fresh is not record:
                self.stored[key] = record.body

    def published(self, event: Event) -> Event:
        """A committed change as it is shown; nearly every one was made under this definition."""
        record, previous = event.record, event.previous
        self.pending.discard(record.key)
        self.stored.pop(record.key, None)
        if record.version > self.since:
            return event
        fresh = self.renewed(record)
        if fresh is not record and event.type != "DELETED":
            self.stored[record.key] = record.body
        return Event(event.type, fresh, previous and self.renewed(previous))
