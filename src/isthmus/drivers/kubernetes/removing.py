"""Delete what is ours, in reverse order, and say what is in the way."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from time import monotonic
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.drivers.kubernetes import guards, manifests
from isthmus.drivers.kubernetes.fields import part
from isthmus.drivers.kubernetes.inventory import Member
from isthmus.drivers.kubernetes.kube import Kube
from isthmus.drivers.kubernetes.manifests import CRD
from isthmus.drivers.kubernetes.readiness import condition
from isthmus.ports import Api

_WAIT_SECONDS: Final = 8.0
_LOOK_SECONDS: Final = 0.1
_PATIENCE: Final = timedelta(seconds=20)
"""A finalizer may take so long before we call it a blocker."""
_COLLECTORS_PATIENCE: Final = timedelta(seconds=90)
"""The cluster's garbage collector looks for new kinds every 30 s; until then it knows none."""
_NAMED: Final = 5
_VOLUMES: Final = Api("v1", "persistentvolumes", namespaced=False)
_FOREGROUND: Final = "foregroundDeletion"
_COMES_BY_ITSELF: Final = frozenset(
    {
        "Event",
        "Endpoints",
        "EndpointSlice",
        "Lease",
        "ControllerRevision",
        "PodMetrics",
        "ServiceAccount/default",
        "ConfigMap/kube-root-ca.crt",
        "ConfigMap/openshift-service-ca.crt",
    }
)


@dataclass(frozen=True, slots=True)
class Present:
    """An object of a stack that is still there."""

    member: Member
    live: Json


class Remover:
    """Deletes objects.

    Args:
        kube: The cluster.
    """

    def __init__(self, kube: Kube) -> None:
        self._kube = kube

    async def prune(self, extra: Sequence[Member], uid: str) -> tuple[Member, ...]:
        """Ask for the deletion of what is wanted no more; return what is still there.

        What is not ours any more is left alone and forgotten. A namespace or a definition in which
        something foreign lives stays, as does a CSI driver with volumes in use, and is tried again
        at the next change.
        """
        left: list[Member] = []
        for member in _backwards(extra):
            live = await self._kube.get(member.ref)
            if live is None or not guards.is_ours(live, uid):
                continue
            if not await self.foreign_inside(member, uid):
                await self._kube.delete(member.ref, str(live["metadata"]["uid"]))
            if await self._kube.get(member.ref) is not None:
                left.append(replace(member, leaving=True))
        return tuple(left)

    async def remove(self, members: Sequence[Member], uid: str) -> bool:
        """Delete the members, the last made first; True: nothing of ours is left.

        Each rank must be gone before the next is asked to go: an operator outlives what it cares
        for. Returns False where that takes longer than a call may last, or is blocked.
        """
        deadline = monotonic() + _WAIT_SECONDS
        ordered = _backwards(members)
        for _, group in groupby(ordered, key=lambda m: manifests.rank(m.ref.kind)):
            wave = list(group)
            for present in await self.present(wave, uid):
                if present.live["metadata"].get("deletionTimestamp"):
                    continue
                if await self.foreign_inside(present.member, uid):
                    return False
                await self._kube.delete(present.member.ref, str(present.live["metadata"]["uid"]))
            while await self.present(wave, uid):
                if monotonic() > deadline:
                    return False
                await asyncio.sleep(_LOOK_SECONDS)
        return True

    async def present(self, members: Sequence[Member], uid: str) -> tuple[Present, ...]:
        """Return what is still there and bears our tag."""
        lives = await asyncio.gather(*(self._kube.get(m.ref) for m in members))
        return tuple(
            Present(member, live)
            for member, live in zip(members, lives, strict=True)
            if live is not None and guards.is_ours(live, uid)
        )

    async def blockers(self, left: Sequence[Present], uid: str, now: datetime) -> tuple[str, ...]:
        """Say what keeps objects from going."""
        found: list[str] = []
        for present in left:
            words = held(present.live, now)
            if not words and not present.live["metadata"].get("deletionTimestamp"):
                inside = await self.foreign_inside(present.member, uid)
                words = f"holds what is not ours: {', '.join(inside)}" if inside else ""
            if words:
                found.append(f"{present.member.id} ({present.member.ref}): {words}")
        return tuple(found)

    async def foreign_inside(self, member: Member, uid: str) -> tuple[str, ...]:
        """Name what others would lose if a namespace, a definition or a CSI driver went."""
        if member.ref.kind == CRD:
            crd = await self._kube.get(member.ref)
            return await self._instances(crd, uid) if crd is not None else ()
        if member.ref.kind == "Namespace" and member.ref.api_version == "v1":
            return await self._inhabitants(member.ref.name, uid)
        if member.ref.kind == "CSIDriver":
            return await self._volumes_in_use(member.ref.name)
        return ()

    async def _instances(self, crd: Json, uid: str) -> tuple[str, ...]:
        spec = cast("Json", crd["spec"])
        served = next((v for v in spec["versions"] if v.get("served")), None)
        if served is None:
            return ()
        api = Api(f"{spec['group']}/{served['name']}", str(spec["names"]["plural"]))
        found = await self._kube.list_if_served(api)
        return _foreign(found, str(spec["names"]["kind"]), uid)

    async def _inhabitants(self, namespace: str, uid: str) -> tuple[str, ...]:
        kinds = [k for k in await self._kube.kinds() if k.api.namespaced]
        kinds = [k for k in kinds if k.kind not in _COMES_BY_ITSELF]
        listed = await asyncio.gather(*(self._kube.list_if_served(k.api, namespace) for k in kinds))
        named: list[str] = []
        for kind, objects in zip(kinds, listed, strict=True):
            named += _foreign(objects, kind.kind, uid)
        return tuple(named[:_NAMED])

    async def _volumes_in_use(self, driver: str) -> tuple[str, ...]:
        """Name the volumes that pods could neither mount nor leave without their driver."""
        found = [v for v in await self._kube.list(_VOLUMES) if _is_in_use(v, driver)]
        claims = [(part(part(v, "spec"), "claimRef"), v["metadata"]["name"]) for v in found]
        return tuple(
            f"PersistentVolume {name} (of PersistentVolumeClaim "
            f"{claim.get('namespace')}/{claim.get('name')})"
            for claim, name in claims[:_NAMED]
        )


def _is_in_use(volume: Json, driver: str) -> bool:
    served = part(part(volume, "spec"), "csi").get("driver") == driver
    return served and part(volume, "status").get("phase") == "Bound"


def held(live: Json, now: datetime) -> str:
    """Say which finalizers hold an object that should have gone some time ago."""
    meta = part(live, "metadata")
    asked = meta.get("deletionTimestamp")
    waited = now - datetime.fromisoformat(str(asked)) if asked else timedelta()
    if waited < _PATIENCE:
        return ""
    for kind in ("NamespaceContentRemaining", "NamespaceFinalizersRemaining"):
        found = condition(live, kind)
        if found.get("status") == "True":
            return str(found.get("message") or kind)
    finalizers = cast("list[str]", meta.get("finalizers") or [])
    if waiting := [name for name in finalizers if name != _FOREGROUND]:
        return f"waits for its finalizers: {', '.join(waiting)}"
    if waited < _COLLECTORS_PATIENCE:
        return ""
    return "waits for what it owns to be deleted" if finalizers else "waits to be stopped"


def _backwards(members: Sequence[Member]) -> list[Member]:
    ordered = sorted(members, key=lambda m: manifests.rank(m.ref.kind))
    return ordered[::-1]


def _foreign(objects: Sequence[Json], kind: str, uid: str) -> tuple[str, ...]:
    """Name the objects that nobody makes by himself and that are not of our stack."""
    return tuple(
        f"{kind} {obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}".replace(
            " /", " "
        )
        for obj in objects
        if not guards.is_ours(obj, uid) and not _by_itself(obj, kind)
    )[:_NAMED]


def _by_itself(obj: Json, kind: str) -> bool:
    meta = cast("dict[str, Any]", obj["metadata"])
    return bool(meta.get("ownerReferences")) or f"{kind}/{meta['name']}" in _COMES_BY_ITSELF
