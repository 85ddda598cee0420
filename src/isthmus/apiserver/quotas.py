"""ResourceQuotas, as far as they count objects: `count/<plural>.<group>` and the short core names.

Quotas of CPU, memory or storage have nothing to limit here, and quotas with a scope are about pods:
both are refused.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/#quota-on-object-count
"""

import re
from collections.abc import Iterator

import orjson

from isthmus.apiserver.admission import Admission
from isthmus.apiserver.chores import Chore
from isthmus.apiserver.errors import Cause, forbidden
from isthmus.apiserver.history import Event
from isthmus.apiserver.jsonvalues import Json, as_map
from isthmus.apiserver.kinds import QUOTA_COLLECTION
from isthmus.apiserver.objects import Objects
from isthmus.apiserver.resources import Resource
from isthmus.apiserver.store import Collection, Store

_SHORT = frozenset(("configmaps", "secrets", "resourcequotas", "services", "pods"))
_PREFIX = "count/"
_QUANTITY = re.compile(
    r"([+-]?(?:\d+(?:\.\d*)?|\.\d+))((?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?)", re.ASCII
)
_SHAPE = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"


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
        for quota, hard in self._limits.get(namespace, {}).items():
            for what in _names(resource):
                if what not in hard:
                    continue
                used = self._store.collection(resource.collection).count(namespace)
                if used + 1 > _whole(str(hard[what])):
                    raise forbidden(
                        resource,
                        name,
                        f"exceeded quota: {quota}, requested: {what}=1, used: {what}={used},"
                        f" limited: {what}={hard[what]}",
                    )

    def _account(self, namespace: str) -> None:
        """Write what is used into every quota of a namespace."""
        resource = self._objects.registry.get("", "v1", "resourcequotas")
        for name, hard in tuple(self._limits.get(namespace, {}).items()):
            used = {what: str(self._used(namespace, what)) for what in hard}

            def write(quota: Json, status: Json = {"hard": hard, "used": used}) -> None:  # noqa: B006
                quota["status"] = status

            self._objects.rewrite(resource, (namespace, name), write, "status")

    def _used(self, namespace: str, what: str) -> int:
        plural, _, group = what.removeprefix(_PREFIX).partition(".")
        if not what.startswith(_PREFIX) and what not in _SHORT:
            return 0
        return self._store.collection(f"{group}/{plural}").count(namespace)


def _names(resource: Resource) -> tuple[str, ...]:
    """Under which names a quota may count objects of this kind."""
    counted = _PREFIX + resource.qualified
    return (counted, resource.plural) if resource.plural in _SHORT else (counted,)


def _whole(text: str) -> int:
    """A quantity as a number of objects."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return 0
    number, suffix = match.groups()
    if suffix[:1] in ("e", "E") and len(suffix) > 1 and suffix[1:] != "i":
        return int(float(number + suffix))
    powers = {
        "n": -3,
        "u": -2,
        "m": -1,
        "": 0,
        "k": 1,
        "K": 1,
        "M": 2,
        "G": 3,
        "T": 4,
        "P": 5,
        "E": 6,
    }
    base = 1024 if suffix.endswith("i") else 1000
    return int(float(number) * base ** powers[suffix[:1]])


def check(admission: Admission) -> list[Cause]:
    """What is wrong with a ResourceQuota; its status is the server's own business."""
    obj, old = admission.obj, admission.old
    if admission.options.subresource != "status":
        obj["status"] = as_map(old.get("status")) if old else {}
    spec, before = as_map(obj.get("spec")), as_map(as_map(old).get("spec"))
    hard, known = as_map(spec.get("hard")), as_map(before.get("hard"))
    hard.update({what: str(limit) for what, limit in hard.items()})  # YAML may say numbers
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
    if not what.startswith(_PREFIX) and what not in _SHORT:
        why = (
            f'"{what}": only numbers of objects are limited; say count/<plural>.<group>'
            f" or one of {', '.join(sorted(_SHORT))}"
        )
        yield Cause(field, why)
    elif _QUANTITY.fullmatch(limit) is None:
        yield Cause(field, f"\"{limit}\": quantities must match the regular expression '{_SHAPE}'")
    elif limit.startswith("-") and limit.strip("-0."):
        yield Cause(field, f'"{limit}": must be greater than or equal to 0')
    elif "." in limit:
        yield Cause(field, f'"{limit}": must be an integer')
