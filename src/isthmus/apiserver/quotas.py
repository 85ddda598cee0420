"""ResourceQuotas, as far as they count objects: `count/<plural>.<group>` and the short core names.

Quotas of CPU, memory or storage have nothing to limit here, and quotas with a scope are about pods:
both are refused.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/#quota-on-object-count
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import orjson

from isthmus.apiserver.admission import Admission
from isthmus.apiserver.chores import Chore
from isthmus.apiserver.errors import Cause, forbidden
from isthmus.apiserver.history import Event
from isthmus.apiserver.jsonvalues import Json, as_map
from isthmus.apiserver.kinds import EVENT_COLLECTION, QUOTA_COLLECTION
from isthmus.apiserver.metadata import check_key
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.quantities import SHAPE, canonical, number_of
from isthmus.apiserver.resources import Registry, Resource
from isthmus.apiserver.store import Collection, Store
from isthmus.apiserver.unserved import CORE, GROUPS

_SHORT = frozenset((
    "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas",
    "secrets", "services", "services.loadbalancers", "services.nodeports",
))  # fmt: skip
_PREFIX = "count/"


class Quotas:
    """Refuses what is too much, and keeps `status` of the quotas true. `start` it with the server.

    Args:
        store: The store.
        objects: The write side.
    """

    def __init__(self, store: Store, objects: Objects) -> None:
        self._store = store
        self._objects = objects
        self._limits: dict[str, dict[str, Json]] = {}
        self._chore = Chore(store, self._account)

    def start(self) -> None:
        """Take stock of the quotas there are, then follow every change."""
        for record in self._store.collection(QUOTA_COLLECTION).records.values():
            self._learn(record.key, record.body)
        self._store.listen(self._notice)
        self._chore.start()

    async def stop(self) -> None:
        """End the task."""
        await self._chore.stop()

    def _learn(self, key: tuple[str, str], body: bytes) -> None:
        hard = as_map(as_map(orjson.loads(body).get("spec")).get("hard"))
        self._limits.setdefault(key[0], {})[key[1]] = hard
        self._chore.mark(key[0])

    def _notice(self, collection: Collection, event: Event) -> None:
        namespace, name = event.record.key
        if collection.name == QUOTA_COLLECTION:
            if event.type != "DELETED":
                self._learn(event.record.key, event.record.body)
            elif self._limits.get(namespace, {}).pop(name, None) is not None:
                self._limits = {place: quotas for place, quotas in self._limits.items() if quotas}
        elif event.type != "MODIFIED" and namespace in self._limits:
            self._chore.mark(namespace)

    def admit(self, resource: Resource, namespace: str, name: str) -> None:
        """Refuse a new object for which a quota leaves no room.

        Raises:
            ApiError: 403, naming the quota.
        """
        limits = self._limits.get(namespace)
        if limits is None or resource.collection == EVENT_COLLECTION:
            return
        used = self._store.collection(resource.collection).count(namespace)
        for quota, hard in limits.items():
            full = [what for what in _names(resource) if what in hard and used >= _most(hard[what])]
            if full:
                limited = ",".join(f"{what}={hard[what]}" for what in full)
                raise forbidden(
                    resource,
                    name,
                    f"exceeded quota: {quota}, requested: {_each(full, 1)}, used:"
                    f" {_each(full, used)}, limited: {limited}",
                )

    def _account(self, namespace: str) -> None:
        """Write what is used into every quota of a namespace."""
        resource = self._objects.registry.get("", "v1", "resourcequotas")
        for name, hard in tuple(self._limits.get(namespace, {}).items()):
            counted = {what: self._used(namespace, what) for what in hard}
            used = {what: str(count) for what, count in counted.items() if count is not None}

            def write(quota: Json, status: Json = {"hard": hard, "used": used}) -> None:  # noqa: B006
                quota["status"] = status

            self._objects.rewrite(resource, (namespace, name), write, "status")

    def _used(self, namespace: str, what: str) -> int | None:
        """How many there are; None of what is not counted, of which a quota then says nothing."""
        if not what.startswith(_PREFIX):
            return self._store.collection(f"/{what}").count(namespace) if what in _SHORT else None
        plural, _, group = what.removeprefix(_PREFIX).partition(".")
        collection = f"{group}/{plural}"
        if _is_counted(self._objects.registry, collection):
            return self._store.collection(collection).count(namespace)
        return 0 if group in GROUPS or (not group and plural in CORE) else None


def _is_counted(registry: Registry, collection: str) -> bool:
    """Whether quotas count a kind: all in namespaces but Events, as in Kubernetes."""
    kind = registry.stored(collection)
    return kind is not None and kind.namespaced and collection != EVENT_COLLECTION


def _names(resource: Resource) -> tuple[str, ...]:
    """Under which names a quota may count objects of this kind, in order."""
    counted = _PREFIX + resource.qualified
    short = not resource.group and resource.plural in _SHORT
    return (counted, resource.plural) if short else (counted,)


def _each(names: list[str], number: int) -> str:
    return ",".join(f"{name}={number}" for name in names)


def _most(limit: Any) -> Decimal:
    """A limit as a number of objects."""
    return number_of(str(limit)) or Decimal()


def check(admission: Admission) -> list[Cause]:
    """What is wrong with a ResourceQuota; its status is the server's own business."""
    obj, old = admission.obj, admission.old
    if admission.options.subresource != "status":
        obj["status"] = as_map(old.get("status")) if old else {}
    spec, before = as_map(obj.get("spec")), as_map(as_map(old).get("spec"))
    hard, known = as_map(spec.get("hard")), as_map(before.get("hard"))
    hard.update({what: canonical(str(limit)) for what, limit in hard.items()})
    if not hard:
        spec.pop("hard", None)
    causes: list[Cause] = []
    for what, limit in hard.items():
        if known.get(what) != limit:
            causes += _check_limit(what, limit)
    for field in ("scopes", "scopeSelector"):
        if spec.get(field) and spec[field] != before.get(field):
            why = "scoped quotas are not served; remove it to limit all objects of the namespace"
            causes.append(Cause(f"spec.{field}", why, "FieldValueForbidden"))
    return causes


def _check_limit(what: str, limit: str) -> Iterator[Cause]:
    field = f"spec.hard[{what}]"
    yield from check_key(field, what)
    if not what.startswith(_PREFIX) and what not in _SHORT:
        why = (
            f'"{what}": only numbers of objects are limited; say count/<plural>.<group>'
            f" or one of {', '.join(sorted(_SHORT))}"
        )
        yield Cause(field, why)
        return
    number = number_of(limit)
    if number is None:
        yield Cause(field, f"\"{limit}\": quantities must match the regular expression '{SHAPE}'")
    elif number < 0:
        yield Cause(field, f'"{limit}": must be greater than or equal to 0')
    elif number % 1:
        yield Cause(field, f'"{limit}": must be an integer')
