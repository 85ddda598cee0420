"""A store that grants the controllers what they say they need, and nothing else."""

from collections.abc import AsyncIterator

from isthmus.api.meta import Json
from isthmus.controllers.rights import Right
from isthmus.errors import Forbidden
from isthmus.ports import Api, Listing, Store, WatchEvent


class Entitled:
    """Implements ``isthmus.ports.Store``; a call beyond the rights is refused, and noted.

    Args:
        store: Where objects live.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.rights: frozenset[Right] = frozenset()
        self.lacking: set[str] = set()

    async def get(self, api: Api, namespace: str, name: str) -> Json | None:
        self._require("get", api)
        return await self._store.get(api, namespace, name)

    async def list(self, api: Api, namespace: str = "", selector: str = "") -> Listing:
        self._require("list", api)
        return await self._store.list(api, namespace, selector)

    def watch(self, api: Api, since: str) -> AsyncIterator[WatchEvent]:
        self._require("watch", api)
        return self._store.watch(api, since)

    async def create(self, api: Api, obj: Json) -> Json:
        self._require("create", api)
        return await self._store.create(api, obj)

    async def replace(self, api: Api, obj: Json, subresource: str = "") -> Json:
        self._require("update", api, subresource)
        return await self._store.replace(api, obj, subresource)

    async def patch(self, api: Api, namespace: str, name: str, patch: Json) -> Json:
        self._require("patch", api)
        return await self._store.patch(api, namespace, name, patch)

    async def delete(self, api: Api, namespace: str, name: str, uid: str = "") -> None:
        self._require("delete", api)
        await self._store.delete(api, namespace, name, uid)

    def _require(self, verb: str, api: Api, subresource: str = "") -> None:
        group = api.group_version.rpartition("/")[0]
        resource = f"{api.plural}/{subresource}" if subresource else api.plural
        if Right(verb, group, resource) not in self.rights:
            self.lacking.add(f"{verb} {resource} {group}")
            raise Forbidden(f"may not {verb} {resource}")
