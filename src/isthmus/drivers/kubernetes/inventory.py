"""What belongs to a stack: a ConfigMap in the cluster, named like the stack.

It is written before the first object of a change is touched and lists what was there before and
what is wanted, so that nothing can be made that is not listed. It holds no secret: manifests are
kept as they were written, with secret parameters unresolved.
"""

import base64
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, cast

import orjson

from isthmus.api.meta import GROUP, Json
from isthmus.api.v1alpha1 import Drift, StackEvent
from isthmus.core.stacks import TAG_INSTALLATION, TAG_NAME, TAG_NAMESPACE, TAG_UID, NativeStack
from isthmus.drivers.kubernetes.fields import part
from isthmus.drivers.kubernetes.kube import Kube, Ref
from isthmus.drivers.kubernetes.manifests import Manifest
from isthmus.errors import AlreadyExists, Conflict, InvalidSpec, NotFound
from isthmus.ports import Api
from isthmus.runtime.kube import path_of

LABEL: Final = f"{GROUP}/inventory"
STACK_TYPE: Final = "Kubernetes::Stack"
_CONFIG_MAPS: Final = Api("v1", "configmaps")
_EVENTS_KEPT: Final = 20
_MOST_BYTES: Final = 700_000
"""Of packed manifests; a ConfigMap holds 1 MiB in all."""


class State(StrEnum):
    """How far the last change came."""

    APPLYING = "APPLYING"
    """It was begun; unless somebody is at it, it was interrupted."""
    APPLIED = "APPLIED"
    REFUSED = "REFUSED"
    """The cluster did not take an object."""
    ADOPTED = "ADOPTED"
    """Existing objects bear our tag now; nothing of them was changed yet."""
    DELETING = "DELETING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One object of a stack."""

    id: str
    ref: Ref
    stateful: bool = False
    transient: bool = False
    leaving: bool = False
    """It is wanted no more, and was still there when we looked last."""
    fields: tuple[str, ...] = ()
    """Of a Secret: the fields that we wrote; see ``drifting.owned_fields``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What we remember of a stack."""

    name: str
    namespace: str
    tags: dict[str, str]
    uid: str = ""
    state: State = State.APPLYING
    digest: str = ""
    """Of what was applied, or refused; empty: nothing was, to its end."""
    message: str = ""
    applied_at: datetime | None = None
    members: tuple[Member, ...] = ()
    outputs: Json = field(default_factory=dict[str, Any])
    manifests: tuple[Json, ...] = ()
    """As written, plain parameters filled in; to look for drift."""
    events: tuple[StackEvent, ...] = ()
    drift: Drift | None = None
    version: str = ""

    @property
    def ref(self) -> Ref:
        """The ConfigMap."""
        return Ref("v1", "ConfigMap", self.namespace, self.name)

    @property
    def owner_uid(self) -> str:
        """Whose it is."""
        return self.tags.get(TAG_UID, "")

    def told(self, now: datetime, status: str, reason: str = "", member: str = "") -> "Inventory":
        """Return it with one more event; times are whole seconds, as the cluster's are."""
        serial = int(self.events[-1].id.rpartition("-")[2]) + 1 if self.events else 1
        known = next((m for m in self.members if m.id == member), None)
        event = StackEvent(
            id=f"{self.name}-{serial}",
            time=now.replace(microsecond=0),
            logical_id=member or self.name,
            type=known.ref.type if known is not None else STACK_TYPE,
            status=status,
            reason=reason,
        )
        return replace(self, events=(*self.events, event)[-_EVENTS_KEPT:])


def fresh(stack: NativeStack, namespace: str) -> Inventory:
    """Return an inventory of nothing yet."""
    return Inventory(name=stack.name, namespace=namespace, tags=dict(stack.tags))


def members(manifests: Iterable[Manifest]) -> tuple[Member, ...]:
    """Return what manifests will be."""
    return tuple(
        Member(id=m.id, ref=m.ref, stateful=m.stateful, transient=m.transient) for m in manifests
    )


def united(former: Iterable[Member], wanted: Iterable[Member]) -> tuple[Member, ...]:
    """Return all of both, the wanted ones as they are wanted, in the order of the former."""
    found = {m.ref: m for m in former} | {m.ref: m for m in wanted}
    return tuple(found.values())


class Inventories:
    """The inventories of one namespace.

    Args:
        kube: The cluster.
        namespace: Where they are.
    """

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self.namespace = namespace

    async def find(self, name: str) -> Inventory | None:
        """Return the inventory of a stack, or None."""
        found = await self._kube.get(Ref("v1", "ConfigMap", self.namespace, name))
        return from_config_map(found) if found is not None else None

    async def all(self) -> tuple[Inventory, ...]:
        """Return all inventories, whosever they are."""
        query = (("labelSelector", LABEL),)
        listed = await self._kube.list(_CONFIG_MAPS, self.namespace, query)
        read = (from_config_map(obj) for obj in listed)
        return tuple(inventory for inventory in read if inventory is not None)

    async def write(self, inventory: Inventory) -> Inventory:
        """Keep an inventory, if nobody else has written it since it was read.

        Raises:
            Conflict: Somebody has.
            InvalidSpec: The namespace does not exist.
        """
        method, name = ("PUT", inventory.name) if inventory.version else ("POST", "")
        path = path_of(_CONFIG_MAPS, self.namespace, name)
        try:
            stored = await self._kube.send(method, path, body=to_config_map(inventory))
        except NotFound as exc:
            raise InvalidSpec(
                f"spec.settings.namespace: namespace {self.namespace!r} does not exist in the "
                "cluster; create it, or name another one."
            ) from exc
        except AlreadyExists as exc:
            raise Conflict("Somebody else made the inventory just now.") from exc
        return from_config_map(stored) or inventory

    async def remove(self, inventory: Inventory) -> None:
        """Forget a stack of which nothing is left."""
        await self._kube.delete(inventory.ref, inventory.uid, policy="Background")


def to_config_map(inventory: Inventory) -> Json:
    """Return the ConfigMap of an inventory."""
    tags = inventory.tags
    packed = _packed(inventory.manifests)
    annotations = {k: tags[k] for k in (TAG_INSTALLATION, TAG_NAMESPACE, TAG_NAME) if tags.get(k)}
    data = {
        "state": inventory.state.value,
        "digest": inventory.digest,
        "message": inventory.message,
        "appliedAt": inventory.applied_at.isoformat() if inventory.applied_at else "",
        "members": _text([_member(m) for m in inventory.members]),
        "outputs": _text(inventory.outputs),
        "events": _text([e.model_dump(mode="json") for e in inventory.events]),
        "drift": inventory.drift.model_dump_json() if inventory.drift else "",
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": inventory.name,
            "namespace": inventory.namespace,
            "labels": {LABEL: "true", TAG_UID: inventory.owner_uid},
            "annotations": annotations,
            **({"resourceVersion": inventory.version} if inventory.version else {}),
        },
        "data": data,
        "binaryData": {"manifests": packed} if len(packed) <= _MOST_BYTES else {},
    }


def from_config_map(obj: Json) -> Inventory | None:
    """Read an inventory; None: this ConfigMap is none of ours."""
    meta, data = part(obj, "metadata"), cast("dict[str, str]", obj.get("data") or {})
    labels = cast("dict[str, str]", meta.get("labels") or {})
    if LABEL not in labels or "members" not in data:
        return None
    annotations = cast("dict[str, str]", meta.get("annotations") or {})
    tags = {
        k: annotations[k] for k in (TAG_INSTALLATION, TAG_NAMESPACE, TAG_NAME) if k in annotations
    }
    applied = data.get("appliedAt", "")
    return Inventory(
        name=str(meta["name"]),
        namespace=str(meta["namespace"]),
        tags={TAG_UID: labels.get(TAG_UID, "")} | tags,
        uid=str(meta["uid"]),
        state=State(data["state"]),
        digest=data.get("digest", ""),
        message=data.get("message", ""),
        applied_at=datetime.fromisoformat(applied) if applied else None,
        members=tuple(_read_member(m) for m in orjson.loads(data["members"])),
        outputs=orjson.loads(data.get("outputs") or "{}"),
        manifests=_unpacked(part(obj, "binaryData").get("manifests", "")),
        events=tuple(
            StackEvent.model_validate(e) for e in orjson.loads(data.get("events") or "[]")
        ),
        drift=Drift.model_validate_json(data["drift"]) if data.get("drift") else None,
        version=str(meta["resourceVersion"]),
    )


def _member(member: Member) -> Json:
    flags = {k: True for k in ("stateful", "transient", "leaving") if getattr(member, k)}
    fields = {"fields": list(member.fields)} if member.fields else {}
    return {"id": member.id, "ref": list(member.ref), **flags, **fields}


def _read_member(raw: Json) -> Member:
    return Member(
        id=raw["id"],
        ref=Ref(*raw["ref"]),
        stateful=bool(raw.get("stateful")),
        transient=bool(raw.get("transient")),
        leaving=bool(raw.get("leaving")),
        fields=tuple(raw.get("fields") or ()),
    )


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _packed(manifests: tuple[Json, ...]) -> str:
    return base64.b64encode(zlib.compress(orjson.dumps(manifests))).decode()


def _unpacked(text: str) -> tuple[Json, ...]:
    return tuple(orjson.loads(zlib.decompress(base64.b64decode(text)))) if text else ()
