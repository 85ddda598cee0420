"""The names of all definitions: whose they are, and who gets those that become free.

A definition is judged when it is written. When another one gives names up, those of its group that
did not get all of theirs are judged again.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import orjson

from isthmus.apiserver.chores import Chore
from isthmus.apiserver.crdnames import Claims, is_settled, judge
from isthmus.apiserver.history import Event, Record
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.kinds import CRD_COLLECTION, EXTENSIONS
from isthmus.apiserver.metadata import timestamp
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.store import Collection, Store


class _Names(NamedTuple):
    """What of a definition matters to the others of its group."""

    group: str
    accepted: Json
    settled: bool


@lru_cache(256)
def _names(body: bytes) -> _Names:
    """Remembered, since each definition that is written asks for those of all others."""
    crd: Json = orjson.loads(body)
    accepted = as_map(as_map(crd.get("status")).get("acceptedNames"))
    return _Names(crd["spec"]["group"], accepted, is_settled(crd))


def _of_group(definitions: Collection, group: str) -> Iterator[tuple[Record, _Names]]:
    """The definitions of a group as a writer must see them."""
    for key in {**definitions.records, **definitions.staged}:
        record = definitions.current(key) if key[1].endswith(f".{group}") else None
        if record is not None and (names := _names(record.body)).group == group:
            yield record, names


def claimed(definitions: Collection, group: str) -> Claims:
    """The names that definitions of a group have."""
    resources, kinds = set[str](), set[str]()
    for _, (_, accepted, _) in _of_group(definitions, group):
        resources |= {accepted.get("plural", ""), accepted.get("singular", "")}
        resources.update(as_list(accepted.get("shortNames")))
        kinds |= {accepted.get("kind", ""), accepted.get("listKind", "")}
    return Claims(frozenset(resources), frozenset(kinds))


class Naming:
    """Judges definitions again when names of their group have become free.

    Args:
        store: The store.
        objects: The write side.
    """

    def __init__(self, store: Store, objects: Objects) -> None:
        self._definitions = store.collection(CRD_COLLECTION)
        self._store = store
        self._objects = objects
        self._chore = Chore(store, self._judge)

    def start(self) -> None:
        """Judge all once, then after every change."""
        self._store.listen(self._notice)
        for record in self._definitions.records.values():
            if not _names(record.body).settled:
                self._chore.mark(_names(record.body).group)
        self._chore.start()

    async def stop(self) -> None:
        """End the task."""
        await self._chore.stop()

    def _notice(self, collection: Collection, event: Event) -> None:
        if collection.name != CRD_COLLECTION or event.previous is None:
            return
        before, now = _names(event.previous.body), _names(event.record.body)
        if event.type == "DELETED" or before.accepted != now.accepted or not now.settled:
            self._chore.mark(now.group)

    def _judge(self, group: str) -> None:
        resource = self._objects.registry.get(EXTENSIONS, "v1", "customresourcedefinitions")
        for record, names in list(_of_group(self._definitions, group)):
            if not names.settled:

                def judge_again(crd: Json) -> None:
                    judge(crd, claimed(self._definitions, group), timestamp())

                self._objects.rewrite(resource, record.key, judge_again)
