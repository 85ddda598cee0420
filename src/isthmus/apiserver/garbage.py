"""What deletion sets going: dependents, contents of namespaces, objects of vanished kinds.

One task works off a set of uids that may need attention. Every step looks at the present state only
and can be repeated, so a restart merely looks at everything once again.

Source: https://kubernetes.io/docs/concepts/architecture/garbage-collection/
"""

import asyncio
import logging
import secrets
from collections.abc import Callable
from itertools import islice

import orjson

from isthmus.apiserver import crds
from isthmus.apiserver.admission import Options
from isthmus.apiserver.authn import User
from isthmus.apiserver.deletion import FOREGROUND, ORPHAN, is_leaving
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.history import Event, Record
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.kinds import CRD_COLLECTION, NAMESPACE_COLLECTION
from isthmus.apiserver.metadata import timestamp
from isthmus.apiserver.namespaces import OWN_FINALIZER, release, tell_what_is_left
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.owners import complaint, misplaced, standing, waits
from isthmus.apiserver.store import Collection, StorageFailed, Store

_LOG = logging.getLogger(__name__)
_AT_ONCE = 200
"""Objects handled between two commits, so that a large cascade never holds the others up."""
_RETRY_SECONDS = 1.0
_SELF = User("system:serviceaccount:kube-system:generic-garbage-collector", frozenset())


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
        self._undecided: dict[str, None] = {}
        self._swept = set[str]()
        """Namespaces of which everything was asked to go."""
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
        record, previous = event.record, event.previous
        before = previous.owners if previous is not None else ()
        if event.type == "DELETED" or b'"deletionTimestamp":' in record.body:
            self._mark(record.uid)
        if event.type != "DELETED" and record.owners != before and self._is_doubtful(record):
            self._mark(record.uid)
        for owner in {*record.owners, *before}:
            if event.type != "MODIFIED" or self._awaits(owner):
                self._mark(owner)
        if event.type == "DELETED":
            self._undecided.pop(record.uid, None)
            self._swept.discard(record.uid)
            self._recheck_home(collection, record)
        elif collection.name == CRD_COLLECTION:
            self._reconsider()

    def _is_doubtful(self, record: Record) -> bool:
        """Whether some owner that an object has named anew is not where it should be."""
        obj: Json = orjson.loads(record.body)
        found = standing(self._store, self._objects.registry, record.key[0], obj)
        return found is None or bool(found.absent)

    def _awaits(self, owner: str) -> bool:
        """Whether a change of a dependent may matter to this owner: it goes, or is gone."""
        found = self._store.find(owner)
        return found is None or b'"deletionTimestamp":' in found[1].body

    def _reconsider(self) -> None:
        """A kind may be served now that was not when somebody named it as their owner's."""
        self._swept.clear()
        undecided, self._undecided = self._undecided, {}
        for uid in undecided:
            self._mark(uid)

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
                    await asyncio.sleep(0)  # others have their turn where nothing was written
                except (ApiError, StorageFailed) as error:
                    _LOG.warning("garbage collection will try again", extra={"error": str(error)})
                    self._dirty[uid] = None
                    await asyncio.sleep(_RETRY_SECONDS)
                except Exception:  # noqa: BLE001 - one object must not keep all others from it
                    _LOG.exception("left as it is until it changes", extra={"uid": uid})

    def _attend(self, uid: str) -> bool:
        """Do what one object's state asks for; whether there is more to do at once."""
        found = self._store.find(uid)
        if found is None:
            return self._release_dependents(uid)
        collection, record = found
        obj: Json = orjson.loads(record.body)
        if "deletionTimestamp" not in obj["metadata"]:
            if wrong := misplaced(self._store, record):
                self._complain(record, wrong)
            self._judge(collection, record, obj)
            return False
        finalizers = as_list(obj["metadata"].get("finalizers"))
        if ORPHAN in finalizers:
            return self._orphan(collection, record)
        if FOREGROUND in finalizers:
            return self._foreground(collection, record)
        if collection.name == NAMESPACE_COLLECTION:
            return self._empty_namespace(collection, record, obj)
        if collection.name == CRD_COLLECTION and crds.CLEANUP_FINALIZER in finalizers:
            return self._empty_kind(collection, record, obj)
        return False

    def _release_dependents(self, uid: str) -> bool:
        """The owner is gone: look at each of those that named it."""
        dependents = islice(
            (
                (collection, record)
                for collection, record in self._store.dependents(uid)
                if record.uid not in self._undecided and not is_leaving(record)
            ),
            _AT_ONCE,
        )
        judged = 0
        for collection, record in dependents:
            self._judge(collection, record, orjson.loads(record.body))
            judged += 1
        return judged == _AT_ONCE

    def _judge(self, collection: Collection, record: Record, obj: Json) -> None:
        """Delete what nobody owns any more; take absent owners off what others own too."""
        self._undecided.pop(record.uid, None)
        if not record.owners or "deletionTimestamp" in obj["metadata"]:
            return
        found = standing(self._store, self._objects.registry, record.key[0], obj)
        if found is None:
            self._undecided[record.uid] = None
        elif found.solid:
            for uid in (*found.absent, *found.waiting):
                self._drop_owner(collection, record, uid)
        else:
            finalizers = as_list(obj["metadata"].get("finalizers"))
            policy = "Orphan" if ORPHAN in finalizers else "Background"
            if FOREGROUND in finalizers or (found.waiting and self._store.dependents(record.uid)):
                policy = "Foreground"
            if found.waiting and any(waits(r) for _, r in self._store.dependents(record.uid)):
                self._rewrite(collection, record, _unblock)  # they wait for each other in a circle
            self._delete(collection, record, policy)

    def _complain(self, record: Record, uid: str) -> None:
        """Tell of an owner in another namespace; who does not read it is not held up."""
        namespace = record.key[0] or "default"
        name = f"{record.key[1][:200]}.{secrets.token_hex(8)}"
        event = {"metadata": {"name": name, "namespace": namespace}, **complaint(record, uid)}
        event["firstTimestamp"] = event["lastTimestamp"] = timestamp()
        options = Options(_SELF, _SELF.name)
        try:
            resource = self._objects.registry.get("", "v1", "events")
            self._objects.create(resource, namespace, event, options)
        except ApiError as error:
            _LOG.warning("an event was refused", extra={"error": str(error)})

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
            self._judge(home, dependent, body)
        if not blocking:
            self._drop_finalizer(collection, record, FOREGROUND)
        return False

    def _sweep(self, namespace: Record) -> tuple[dict[str, list[Record]], bool]:
        """Delete what is in a namespace.

        Returns:
            Some objects of each kind that are still there, and whether there is more to do at once.
            What was asked to go is not looked at again: it may be much, and held for long.
        """
        left, more, staying = dict[str, list[Record]](), False, False
        for home in self._store.collections():
            if self._objects.registry.stored(home.name) is None:
                continue  # What its definition left behind cannot go, and must hold nobody.
            keys = home.within(namespace.key[1])
            if keys:
                left[home.name] = [home.records[key] for key in keys[:_AT_ONCE]]
            if namespace.uid not in self._swept:
                found = [home.records[key] for key in keys]
                found = [r for r in found if b'"deletionTimestamp":' not in r.body]
                for record in found[:_AT_ONCE]:
                    self._delete(home, record, "Background")
                staying = staying or bool(found)
                more = more or len(found) > _AT_ONCE
        if not staying:
            self._swept.add(namespace.uid)
        return left, more

    def _empty_namespace(self, collection: Collection, record: Record, obj: Json) -> bool:
        left, more = self._sweep(record)
        finalizers = as_list(as_map(obj.get("spec")).get("finalizers"))
        if left:
            held = {
                home: [r for r in found if b'"finalizers":' in r.body]
                for home, found in left.items()
            }
            if any(held.values()):
                self._rewrite(collection, record, lambda ns: tell_what_is_left(ns, held), "status")
            return more
        if obj["metadata"].get("finalizers") or any(n != OWN_FINALIZER for n in finalizers):
            self._rewrite(collection, record, lambda ns: tell_what_is_left(ns, {}), "status")
        if OWN_FINALIZER in finalizers:
            self._rewrite(collection, record, release, "finalize")
        return False

    def _empty_kind(self, collection: Collection, record: Record, definition: Json) -> bool:
        spec = definition["spec"]
        home = self._store.collection(f"{spec['group']}/{spec['names']['plural']}")
        pending = [r for r in home.records.values() if b'"deletionTimestamp":' not in r.body]
        for instance in pending[:_AT_ONCE]:
            self._delete(home, instance, "")
        if any(self._store.find(uid) is None for uid in self._dirty):
            return True  # dependents of what went are judged while the kind is still known
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
        self,
        collection: Collection,
        record: Record,
        change: Callable[[Json], None],
        part: str = "",
    ) -> None:
        resource = self._objects.registry.stored(collection.name)
        if resource is not None:
            self._objects.rewrite(resource, record.key, change, part)


def _unblock(obj: Json) -> None:
    for owner in as_list(obj["metadata"].get("ownerReferences")):
        if owner.get("blockOwnerDeletion"):
            owner["blockOwnerDeletion"] = False
