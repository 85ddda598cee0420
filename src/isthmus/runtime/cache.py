"""What the API holds, kept near: a list, then a watch, then lookups without a round trip.

Objects are kept as bytes and parsed on demand: 10,000 parsed objects would cost ten times the
memory. Kinds with secrets are trimmed before they are kept.
"""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
import structlog

from isthmus.api.meta import Json, Resource
from isthmus.errors import IsthmusError
from isthmus.ports import Api, Expired, Listing, Store
from isthmus.runtime.kinds import Key, key_of

log = structlog.get_logger(__name__)

Index = Callable[[Json], Iterable[str]]
"""Says under which values an object is found."""

_PAUSES = (0.2, 1.0, 5.0, 15.0)
"""Seconds before a broken watch is tried again; the last one repeats."""
_PARSED = 256


@dataclass(frozen=True, slots=True)
class Change:
    """One object changed. ``new`` is None once it is gone; ``old`` is None when it is new."""

    key: Key
    old: Json | None
    new: Json | None

    @property
    def object(self) -> Json:
        """The object as it is, or was last."""
        found = self.new if self.new is not None else self.old
        assert found is not None
        return found


class Cache:
    """The objects of one API resource.

    Args:
        store: Where they live.
        api: Which resource.
        trim: Reduces an object to what may be kept, for example a Secret to its metadata.
    """

    def __init__(
        self, store: Store, api: Api, *, trim: Callable[[Json], Json] | None = None
    ) -> None:
        self.api = api
        self._store = store
        self._trim = trim or _without_managed_fields
        self._objects: dict[Key, tuple[str, bytes]] = {}
        self._indexers: dict[str, Index] = {}
        self._indexed: dict[tuple[str, str], set[Key]] = {}
        self._subscribers: list[Callable[[Change], None]] = []
        self.synced = asyncio.Event()

    def __len__(self) -> int:
        return len(self._objects)

    def subscribe(self, callback: Callable[[Change], None]) -> None:
        """Have every change told, in order; the callback must not wait."""
        self._subscribers.append(callback)

    def index(self, name: str, index: Index) -> None:
        """Add an index; before ``run``."""
        self._indexers[name] = index

    def get(self, namespace: str, name: str) -> Json | None:
        """Return an object, or None where there is none."""
        entry = self._objects.get((namespace, name))
        return orjson.loads(entry[1]) if entry is not None else None

    def version(self, namespace: str, name: str) -> str:
        """Return the resourceVersion of an object; empty where there is none."""
        entry = self._objects.get((namespace, name))
        return entry[0] if entry is not None else ""

    def keys(self) -> list[Key]:
        """Return the keys of all objects."""
        return list(self._objects)

    def keys_by(self, index: str, value: str) -> list[Key]:
        """Return the keys of the objects that an index has under a value, sorted."""
        return sorted(self._indexed.get((index, value), ()))

    def put(self, obj: Json) -> None:
        """Take in an object that was read or written elsewhere, unless it is known or older."""
        meta = obj["metadata"]
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            self.forget(key_of(obj))
            return
        namespace, name = key_of(obj)
        key = sys.intern(namespace), name
        before = self._objects.get(key)
        if before is not None and not _newer(meta["resourceVersion"], before[0]):
            return
        kept = self._trim(obj)
        old = orjson.loads(before[1]) if before is not None else None
        # A copy: orjson cuts a larger buffer, which leaves a hole behind each object.
        body = bytes(memoryview(orjson.dumps(kept)))
        self._objects[key] = (meta["resourceVersion"], body)
        self._changed(Change(key, old, kept))

    def forget(self, key: Key) -> None:
        """Take out an object that is gone."""
        entry = self._objects.pop(key, None)
        if entry is not None:
            self._changed(Change(key, orjson.loads(entry[1]), None))

    async def run(self) -> None:
        """List, watch, and do so again whenever the watch breaks; for ever."""
        broken = 0
        while True:
            try:
                listing = await self._store.list(self.api)
                self._replace(listing)
                self.synced.set()
                broken = 0
                await self._watch(listing.version)
            except Expired:
                continue
            except IsthmusError as err:
                log.warning(
                    "watch broken",
                    resource=self.api.plural,
                    reason=err.reason,
                    why=err.message,
                    detail=err.detail,
                )
            except Exception:
                log.exception("watch broken", resource=self.api.plural)  # Never go blind for good.
            await asyncio.sleep(_PAUSES[min(broken, len(_PAUSES) - 1)])
            broken += 1

    async def _watch(self, since: str) -> None:
        async for event in self._store.watch(self.api, since):
            if event.type == "DELETED":
                self._deleted(event.object)
            elif event.type != "BOOKMARK":
                self.put(event.object)

    def _deleted(self, obj: Json) -> None:
        """A deletion that is older than what we hold speaks of a former object of that name."""
        key = key_of(obj)
        entry = self._objects.get(key)
        if entry is None or _newer(entry[0], obj["metadata"]["resourceVersion"]):
            return
        self.forget(key)

    def _replace(self, listing: Listing) -> None:
        seen = {key_of(obj) for obj in listing.items}
        for obj in listing.items:
            self.put(obj)
        for key in self._objects.keys() - seen:
            self.forget(key)

    def _changed(self, change: Change) -> None:
        for name, indexer in self._indexers.items():
            before = set(indexer(change.old)) if change.old is not None else set[str]()
            after = set(indexer(change.new)) if change.new is not None else set[str]()
            for value in before - after:
                self._unindex(name, value, change.key)
            for value in after - before:
                self._indexed.setdefault((name, value), set()).add(change.key)
        for callback in self._subscribers:
            callback(change)

    def _unindex(self, name: str, value: str, key: Key) -> None:
        keys = self._indexed.get((name, value), set())
        keys.discard(key)
        if not keys:
            self._indexed.pop((name, value), None)


ResourceT = TypeVar("ResourceT", bound=Resource[Any, Any])


class Lister(Generic[ResourceT]):
    """A cache, read as objects of one kind."""

    def __init__(self, cache: Cache, kind: type[ResourceT]) -> None:
        self.cache = cache
        self.kind = kind
        self._parsed: dict[Key, tuple[str, ResourceT]] = {}

    def get(self, namespace: str, name: str) -> ResourceT | None:
        """Return an object, or None where there is none."""
        key = namespace, name
        version = self.cache.version(*key)
        known = self._parsed.get(key)
        if known is not None and known[0] == version:
            return known[1]
        self._parsed.pop(key, None)
        raw = self.cache.get(*key)
        if raw is None:
            return None
        obj = self.kind.parse(raw)
        self._remember(key, version, obj)
        return obj

    def all(self) -> Iterator[ResourceT]:
        """Yield every object."""
        return self._each(self.cache.keys())

    def by(self, index: str, value: str) -> Iterator[ResourceT]:
        """Yield the objects that an index has under a value, in the order of their keys."""
        return self._each(self.cache.keys_by(index, value))

    def _each(self, keys: Iterable[Key]) -> Iterator[ResourceT]:
        for key in keys:
            obj = self.get(*key)
            if obj is not None:
                yield obj

    def _remember(self, key: Key, version: str, obj: ResourceT) -> None:
        while len(self._parsed) >= _PARSED:
            del self._parsed[next(iter(self._parsed))]
        self._parsed[key] = version, obj


def metadata_only(obj: Json) -> Json:
    """Keep nothing but names, labels and versions: for kinds that hold secrets."""
    return {"metadata": _lean(obj["metadata"])}


def owner_uids(obj: Json) -> Iterable[str]:
    """Index an object by the uids of its owners."""
    return [owner["uid"] for owner in obj["metadata"].get("ownerReferences", ())]


def _without_managed_fields(obj: Json) -> Json:
    return obj | {"metadata": _lean(obj["metadata"])}


def _lean(meta: Mapping[str, Any]) -> Json:
    return {key: value for key, value in meta.items() if key != "managedFields"}


def _newer(one: str, other: str) -> bool:
    """Compare resourceVersions, which are numbers; where they are not, what came last is newer.

    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
    """
    if one.isdigit() and other.isdigit():
        return int(one) > int(other)
    return one != other
