"""What deletion sets going: dependents, contents of namespaces, objects of vanished kinds.

One task works off a set of uids that may need attention. Every step looks at the present state only
and can be repeated, so a restart merely looks at everything once again.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

import asyncio
import logging
from collections.abc import Callable

import orjson

from isthmus.apiserver import crds
from isthmus.apiserver.deletion import FOREGROUND, ORPHAN
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.history import Event, Record
from isthmus.apiserver.jsonvalues import Json, as_list
from isthmus.apiserver.kinds import CRD_COLLECTION, NAMESPACE_COLLECTION
from isthmus.apiserver.namespaces import tell_what_is_left
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.store import Collection, StorageFailed, Store

_LOG = logging.getLogger(__name__)
_AT_ONCE = 200
"""Objects handled between two commits, so that a large cascade never holds the others up."""
_RETRY_SECONDS = 1.0


class Collector:
    """The background task. `start` it once the store is open.

    Args:
        store: The store.
        objects: The write side.
    """

    def __init__(self, store: Store, objects: Objects) -> None:
        self._store = store
        self._objects = objects
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look at everything once, then at what changes."""
        self._store.listen(self._notice)
        for uid in self._store.owner_uids():
            self._mark(uid)
        for collection in self._store.collections():
            for record in collection.records.values():
                if b'"deletionTimestamp":' in record.body:
                    self._mark(record.uid)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _mark(self, uid: str) -> None:
        self._dirty[uid] = None
        self._wake.set()

    def _notice(self, collection: Collection, event: Event) -> None:
        record = event.record
        if event.type == "DELETED" or b'"deletionTimestamp":' in record.body:
            self._mark(record.uid)
        for owner in record.owners:
            if event.type != "MODIFIED" or self._store.find(owner) is None:
                self._mark(owner)
        if event.type == "DELETED":
            self._recheck_home(collection, record)

    def _recheck_home(self, collection: Collection, gone: Record) -> None:
        """A namespace or a kind may have waited for this object to go."""
        home = self._store.collection(NAMESPACE_COLLECTION).records.get(("", gone.key[0]))
        if home is not None and b'"deletionTimestamp":' in home.body:
            self._mark(home.uid)
        group, _, plural = collection.name.partition("/")
        kind = self._store.collection(CRD_COLLECTION).records.get(("", f"{plural}.{group}"))
        if kind is not None and b'"deletionTimestamp":' in kind.body:
            self._mark(kind.uid)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty:
                uid = next(iter(self._dirty))
                del self._dirty[uid]
                try:
                    if self._attend(uid):
                        self._dirty[uid] = None
                    await self._store.commit()
                except (ApiError, StorageFailed) as error:
                    _LOG.warning("garbage collection will try again", extra={"error": str(error)})
                    self._dirty[uid] = None
                    await asyncio.sleep(_RETRY_SECONDS)

    def _attend(self, uid: str) -> bool:
        """Do what one object's state asks for; whether there is more to do at once."""
        found = self._store.find(uid)
        if found is None:
            return self._release_dependents(uid)
        collection, record = found
        obj: Json = orjson.loads(record.body)
        if "deletionTimestamp" not in obj["metadata"]:
            return False
        finalizers = as_list(obj["metadata"].get("finalizers"))
        if ORPHAN in finalizers:
            return self._orphan(collection, record)
        if FOREGROUND in finalizers:
            return self._foreground(collection, record)
        if collection.name == NAMESPACE_COLLECTION:
            return self._empty_namespace(collection, record)
        if collection.name == CRD_COLLECTION and crds.CLEANUP_FINALIZER in finalizers:
            return self._empty_kind(collection, record, obj)
        return False

    def _release_dependents(self, uid: str) -> bool:
        """The owner is gone: delete what it owned alone, take it off what others own too."""
        dependents = self._store.dependents(uid)
        for collection, record in dependents[:_AT_ONCE]:
            if any(self._store.find(owner) is not None for owner in record.owners):
                self._drop_owner(collection, record, uid)
            else:
                self._delete(collection, record, "Background")
        return len(dependents) > _AT_ONCE

    def _orphan(self, collection: Collection, record: Record) -> bool:
        dependents = self._store.dependents(record.uid)
        for home, dependent in dependents[:_AT_ONCE]:
            self._drop_owner(home, dependent, record.uid)
        if len(dependents) > _AT_ONCE:
            return True
        self._drop_finalizer(collection, record, ORPHAN)
        return False

    def _foreground(self, collection: Collection, record: Record) -> bool:
        """Delete the dependents; those that block keep the owner waiting for them."""
        blocking = False
        for home, dependent in self._store.dependents(record.uid):
            body: Json = orjson.loads(dependent.body)
            blocking = blocking or any(
                owner["uid"] == record.uid and owner.get("blockOwnerDeletion")
                for owner in as_list(body["metadata"].get("ownerReferences"))
            )
            if "deletionTimestamp" not in body["metadata"]:
                policy = "Foreground" if self._store.dependents(dependent.uid) else "Background"
                self._delete(home, dependent, policy)
                blocking = True
        if not blocking:
            self._drop_finalizer(collection, record, FOREGROUND)
        return False

    def _empty_namespace(self, collection: Collection, record: Record) -> bool:
        name, left = record.key[1], dict[str, list[Record]]()
        for home in self._store.collections():
            for key in list(home.within(name))[:_AT_ONCE]:
                found = home.records[key]
                left.setdefault(home.name, []).append(found)
                if b'"deletionTimestamp":' not in found.body:
                    self._delete(home, found, "Background")
        if not left:
            self._finish_namespace(collection, record)
        else:
            held = {
                home: [r for r in found if b'"finalizers":' in r.body]
                for home, found in left.items()
            }
            if any(held.values()):
                self._rewrite(collection, record, lambda ns: tell_what_is_left(ns, held))
        return False

    def _finish_namespace(self, collection: Collection, record: Record) -> None:
        def finish(namespace: Json) -> None:
            namespace["spec"] = {}

        self._rewrite(collection, record, finish)

    def _empty_kind(self, collection: Collection, record: Record, definition: Json) -> bool:
        spec = definition["spec"]
        home = self._store.collection(f"{spec['group']}/{spec['names']['plural']}")
        pending = [r for r in home.records.values() if b'"deletionTimestamp":' not in r.body]
        for instance in pending[:_AT_ONCE]:
            self._delete(home, instance, "Background")
        if not home.records:
            self._drop_finalizer(collection, record, crds.CLEANUP_FINALIZER)
        return len(pending) > _AT_ONCE

    def _delete(self, collection: Collection, record: Record, policy: str) -> None:
        resource = self._objects.registry.stored(collection.name)
        current = collection.current(record.key)
        if resource is not None and current is not None and current.uid == record.uid:
            self._objects.delete(resource, current, policy)

    def _drop_owner(self, collection: Collection, record: Record, uid: str) -> None:
        def drop(obj: Json) -> None:
            owners = as_list(obj["metadata"].get("ownerReferences"))
            obj["metadata"]["ownerReferences"] = [o for o in owners if o["uid"] != uid]

        self._rewrite(collection, record, drop)

    def _drop_finalizer(self, collection: Collection, record: Record, finalizer: str) -> None:
        def drop(obj: Json) -> None:
            kept = [
                name for name in as_list(obj["metadata"].get("finalizers")) if name != finalizer
            ]
            obj["metadata"]["finalizers"] = kept

        self._rewrite(collection, record, drop)

    def _rewrite(
        self, collection: Collection, record: Record, change: Callable[[Json], None]
    ) -> None:
        resource = self._objects.registry.stored(collection.name)
        if resource is not None:
            self._objects.rewrite(resource, record.key, change)
