"""Aggregated ClusterRoles: their rules are those of the roles that their selectors choose.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from collections.abc import Iterator

import orjson

from isthmus.apiserver import selectors
from isthmus.apiserver.chores import Chore
from isthmus.apiserver.history import Event
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.kinds import RBAC
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.store import Collection, Store

_ROLES = f"{RBAC}/clusterroles"
_ALL = "all"


class Aggregation:
    """Writes the rules of aggregated roles whenever a ClusterRole changes.

    Args:
        store: The store.
        objects: The write side.
    """

    def __init__(self, store: Store, objects: Objects) -> None:
        self._roles = store.collection(_ROLES)
        self._store = store
        self._objects = objects
        self._chore = Chore(store, self._aggregate)

    def start(self) -> None:
        """Put all right once, then after every change."""
        self._store.listen(self._notice)
        self._chore.mark(_ALL)
        self._chore.start()

    async def stop(self) -> None:
        """End the task."""
        await self._chore.stop()

    def _notice(self, collection: Collection, event: Event) -> None:
        if collection.name == _ROLES and (
            event.record.labels or b"aggregationRule" in event.record.body
        ):
            self._chore.mark(_ALL)

    def _aggregate(self, name: str) -> None:
        del name
        resource = self._objects.registry.get(RBAC, "v1", "clusterroles")
        for key in tuple(self._roles.keys):
            if b'"aggregationRule":' not in self._roles.records[key].body:
                continue

            def write(role: Json) -> None:
                if as_map(role.get("aggregationRule")):
                    role["rules"] = list(self._rules(role))

            self._objects.rewrite(resource, key, write)

    def _rules(self, whole: Json) -> Iterator[Json]:
        """The rules of every role that one of the selectors chooses, each once."""
        seen: list[Json] = []
        for selector in as_list(as_map(whole.get("aggregationRule")).get("clusterRoleSelectors")):
            fits = selectors.test_of(as_map(selector))
            for key in self._roles.keys:
                record = self._roles.records[key]
                if key[1] == whole["metadata"]["name"] or not fits(record.labels):
                    continue
                for rule in as_list(orjson.loads(record.body).get("rules")):
                    if rule not in seen:
                        seen.append(rule)
                        yield rule
