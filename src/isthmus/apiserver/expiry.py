"""Events are kept for a while and then forgotten, or they would outgrow everything else.

Kubernetes keeps them for an hour as well: `--event-ttl` of its API server.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from datetime import datetime

import orjson

from isthmus.apiserver.history import Event, Key
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.kinds import EVENT_COLLECTION
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.store import Collection, StorageFailed, Store

_LOG = logging.getLogger(__name__)
_AT_ONCE = 500


class Expiry:
    """Deletes Events that nobody has touched for a while. `start` it once the store is open.

    Args:
        store: The store.
        objects: The write side.
        seconds: How long an Event is kept after its last change.
    """

    def __init__(self, store: Store, objects: Objects, seconds: float) -> None:
        self._store = store
        self._objects = objects
        self._seconds = seconds
        self._touched: OrderedDict[Key, float] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take stock of the Events there are, then follow their changes."""
        events = self._store.collection(EVENT_COLLECTION)
        found = [(_last_change(r.body), r.key) for r in events.records.values()]
        self._touched.update((key, moment) for moment, key in sorted(found))
        self._store.listen(self._notice)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _notice(self, collection: Collection, event: Event) -> None:
        if collection.name != EVENT_COLLECTION:
            return
        key = event.record.key
        if event.type == "DELETED":
            self._touched.pop(key, None)
        else:
            self._touched[key] = time.time()
            self._touched.move_to_end(key)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(min(60.0, self._seconds / 4))
            try:
                while self._expire(time.time() - self._seconds):
                    await self._store.commit()
            except StorageFailed as error:
                _LOG.warning("events stay for now", extra={"error": str(error)})
            except Exception:  # noqa: BLE001 - one Event must not keep all others for ever
                _LOG.exception("an event could not be deleted")

    def _expire(self, before: float) -> int:
        """Delete some of the Events untouched since `before`; how many."""
        events, count = self._store.collection(EVENT_COLLECTION), 0
        resource = self._objects.registry.get("", "v1", "events")
        while self._touched and count < _AT_ONCE:
            key, moment = next(iter(self._touched.items()))
            if moment > before:
                break
            del self._touched[key]
            record = events.current(key)
            if record is not None:
                self._objects.delete(resource, record)
                count += 1
        return count


def _last_change(body: bytes) -> float:
    """When an Event last happened, in seconds since 1970; now if it does not say."""
    event: Json = orjson.loads(body)
    text = event.get("lastTimestamp") or event["metadata"].get("creationTimestamp")
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return time.time()
