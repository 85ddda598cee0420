"""A store in memory that behaves as a Kubernetes API does: for tests and for trying things out."""

import asyncio
import copy
import itertools
import uuid
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, cast

from isthmus.api.meta import Json
from isthmus.errors import AlreadyExists, Conflict, InvalidSpec, IsthmusError, NotFound
from isthmus.ports import Api, Clock, Expired, Listing, WatchEvent
from isthmus.runtime.kinds import Key, key_of

_HISTORY = 10_000
_OPAQUE = ("metadata", "status")
"""Parts whose change does not move the generation."""


class MemoryStore:
    """Implements ``isthmus.ports.Store``.

    Args:
        clock: For timestamps; the real one where it is None.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._objects: dict[Api, dict[Key, Json]] = {}
        self._history: dict[Api, deque[tuple[int, WatchEvent]]] = {}
        self._versions = itertools.count(1)
        self._version = 0
        self._oldest = 0
        self._changed = asyncio.Condition()
        self._next_failures: deque[IsthmusError] = deque()
        self.writes = 0

    def fail_next(self, *errors: IsthmusError) -> None:
        """Have the next calls fail, one with each error."""
        self._next_failures.extend(errors)

    async def expire(self) -> None:
        """Forget all history, as a real API does in time; watches in progress expire."""
        self._version = self._oldest = next(self._versions)
        self._history.clear()
        async with self._changed:
            self._changed.notify_all()

    async def get(self, api: Api, namespace: str, name: str) -> Json | None:
        """See ``Store``."""
        self._maybe_fail()
        found = self._objects.get(api, {}).get((namespace, name))
        return copy.deepcopy(found)

    async def list(self, api: Api, namespace: str = "", selector: str = "") -> Listing:
        """See ``Store``; selectors are of the form ``a=b,c=d``."""
        self._maybe_fail()
        wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
        items = tuple(
            copy.deepcopy(obj)
            for key, obj in sorted(self._objects.get(api, {}).items())
            if namespace in ("", key[0])
            and wanted.items() <= obj["metadata"].get("labels", {}).items()
        )
        return Listing(items, str(self._version))

    async def watch(self, api: Api, since: str) -> AsyncIterator[WatchEvent]:
        """See ``Store``."""
        self._maybe_fail()
        seen = int(since)
        while True:
            if seen < self._oldest:
                raise Expired
            history = tuple(self._history.get(api, ()))
            for version, event in history:
                if version > seen:
                    seen = version
                    yield WatchEvent(event.type, copy.deepcopy(event.object))
            async with self._changed:
                while self._latest(api) <= seen and seen >= self._oldest:
                    await self._changed.wait()

    async def create(self, api: Api, obj: Json) -> Json:
        """See ``Store``."""
        self._maybe_fail()
        obj = copy.deepcopy(obj)
        meta = obj.setdefault("metadata", {})
        if not meta.get("name"):
            raise InvalidSpec("metadata.name: is required.")
        objects = self._objects.setdefault(api, {})
        if key_of(obj) in objects:
            raise AlreadyExists(f"{api.plural} {meta['name']!r} already exists.")
        meta["uid"] = str(uuid.uuid4())
        meta["generation"] = 1
        meta["creationTimestamp"] = self._now()
        if "status" in obj and _has_status(api):
            del obj["status"]
        return await self._store("ADDED", api, obj)

    async def replace(self, api: Api, obj: Json, subresource: str = "") -> Json:
        """See ``Store``."""
        self._maybe_fail()
        old = self._existing(api, key_of(obj))
        self._check(old, obj["metadata"])
        if subresource == "status":
            new = {k: v for k, v in old.items() if k != "status"}
            if "status" in obj:
                new["status"] = copy.deepcopy(obj["status"])
            return await self._update(api, old, new)
        new = copy.deepcopy(obj)
        new.pop("status", None) if _has_status(api) else None
        if _has_status(api) and "status" in old:
            new["status"] = old["status"]
        return await self._update(api, old, new)

    async def patch(self, api: Api, namespace: str, name: str, patch: Json) -> Json:
        """See ``Store``."""
        self._maybe_fail()
        old = self._existing(api, (namespace, name))
        self._check(old, patch.get("metadata", {}))
        new = merge(old, {k: v for k, v in patch.items() if k != "status" or not _has_status(api)})
        return await self._update(api, old, new)

    async def delete(self, api: Api, namespace: str, name: str, uid: str = "") -> None:
        """See ``Store``."""
        self._maybe_fail()
        old = self._objects.get(api, {}).get((namespace, name))
        if old is None:
            return
        meta = old["metadata"]
        if uid and meta["uid"] != uid:
            raise Conflict(f"{api.plural} {name!r} is another object of the same name.")
        if not meta.get("finalizers"):
            await self._remove(api, old)
        elif not meta.get("deletionTimestamp"):
            new = copy.deepcopy(old)
            new["metadata"]["deletionTimestamp"] = self._now()
            new["metadata"]["generation"] += 1
            await self._store("MODIFIED", api, new)

    async def _update(self, api: Api, old: Json, new: Json) -> Json:
        kept = ("uid", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion")
        meta = new["metadata"] = dict(new["metadata"])
        for field in kept:
            meta.pop(field, None)
            if field in old["metadata"]:
                meta[field] = old["metadata"][field]
        if new == old:
            return copy.deepcopy(old)
        if _has_status(api) and _without(new) != _without(old):
            meta["generation"] += 1
        if meta.get("deletionTimestamp") and not meta.get("finalizers"):
            await self._remove(api, new)
            return copy.deepcopy(new)
        return await self._store("MODIFIED", api, new)

    async def _remove(self, api: Api, obj: Json) -> None:
        obj = copy.deepcopy(obj)
        self._objects[api].pop(key_of(obj), None)
        obj["metadata"]["resourceVersion"] = str(self._next())
        await self._publish("DELETED", api, obj)
        await self._collect(obj["metadata"]["uid"])

    async def _collect(self, owner: str) -> None:
        """Delete what belonged to a deleted object, as the garbage collector does."""
        for api, objects in list(self._objects.items()):
            for (namespace, name), obj in list(objects.items()):
                owners = obj["metadata"].get("ownerReferences", [])
                if any(ref["uid"] == owner for ref in owners):
                    await self.delete(api, namespace, name)

    async def _store(self, kind: str, api: Api, obj: Json) -> Json:
        obj["metadata"]["resourceVersion"] = str(self._next())
        self._objects.setdefault(api, {})[key_of(obj)] = obj
        await self._publish(kind, api, obj)
        return copy.deepcopy(obj)

    async def _publish(self, kind: str, api: Api, obj: Json) -> None:
        self.writes += 1
        history = self._history.setdefault(api, deque(maxlen=_HISTORY))
        event = WatchEvent(cast("Any", kind), obj)
        history.append((self._version, event))
        async with self._changed:
            self._changed.notify_all()

    def _next(self) -> int:
        self._version = next(self._versions)
        return self._version

    def _latest(self, api: Api) -> int:
        history = self._history.get(api)
        return history[-1][0] if history else 0

    def _existing(self, api: Api, key: Key) -> Json:
        old = self._objects.get(api, {}).get(key)
        if old is None:
            raise NotFound(f"{api.plural} {key[1]!r} is not there.")
        return old

    def _check(self, old: Json, meta: Json) -> None:
        version = meta.get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise Conflict(f"{old['metadata']['name']!r} was written by somebody else.")
        if meta.get("uid") and meta["uid"] != old["metadata"]["uid"]:
            raise Conflict(f"{old['metadata']['name']!r} is another object of the same name.")

    def _now(self) -> str:
        now = self._clock.now() if self._clock else datetime.now(UTC)
        return now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _maybe_fail(self) -> None:
        if self._next_failures:
            raise self._next_failures.popleft()


def merge(old: Json, patch: Json) -> Json:
    """Apply a JSON merge patch (RFC 7386) to an object; the old one is left as it was."""
    new = copy.deepcopy(old)
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        elif isinstance(value, dict):
            before = new.get(key)
            base = cast("Json", before) if isinstance(before, dict) else {}
            new[key] = merge(base, cast("Json", value))
        else:
            new[key] = copy.deepcopy(value)
    return new


def _has_status(api: Api) -> bool:
    """Our kinds have a status subresource and a generation; the built-in ones need neither."""
    return "." in api.group_version.partition("/")[0] and not api.group_version.startswith(
        ("coordination.k8s.io", "rbac.authorization.k8s.io", "apiextensions.k8s.io")
    )


def _without(obj: Json) -> Json:
    return {key: value for key, value in obj.items() if key not in _OPAQUE}
