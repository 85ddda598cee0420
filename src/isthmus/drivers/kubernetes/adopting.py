"""Take over what is in the cluster already.

Three things can be adopted: a stack that an object of ours left behind; an application, that is
all objects in the namespace with one value of the label ``app.kubernetes.io/instance``, as Helm and
most manifests write it; and single objects, named by their logical ids in the template. Adopting
puts our tag on them and changes nothing else.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from isthmus.api.meta import GROUP, Adopt, Json
from isthmus.api.v1alpha1 import Phase, StackResource
from isthmus.core.stacks import ABSENT, TAG_UID, NativeStack, Observed, Owned, StackName
from isthmus.drivers.kubernetes import guards
from isthmus.drivers.kubernetes.comparing import Comparer
from isthmus.drivers.kubernetes.fields import part
from isthmus.drivers.kubernetes.inventory import (
    STACK_TYPE,
    Inventories,
    Inventory,
    State,
    fresh,
    members,
    united,
)
from isthmus.drivers.kubernetes.kube import Kube, Ref
from isthmus.drivers.kubernetes.manifests import Manifest
from isthmus.drivers.kubernetes.readiness import readiness
from isthmus.errors import AlreadyExists, NotFound
from isthmus.ports import Clock

INSTANCE: Final = "app.kubernetes.io/instance"
_OURS: Final = "isthmus-"
"""How names that we derive begin: no application is looked for under one."""
_SHOWN: Final = frozenset(
    {
        "Deployment",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
        "Service",
        "ConfigMap",
        "Secret",
        "PersistentVolumeClaim",
        "Ingress",
    }
)
"""The kinds by which an application is recognised."""


class Adopter:
    """Finds and takes over what we did not make.

    Args:
        kube: The cluster.
        inventories: What is remembered of stacks.
        clock: The time.
    """

    def __init__(self, kube: Kube, inventories: Inventories, clock: Clock) -> None:
        self._kube = kube
        self._inventories = inventories
        self._clock = clock
        self._comparer = Comparer(kube, inventories.namespace)

    async def observe(self, name: StackName) -> Observed:
        """Look at an application that is nobody's stack."""
        if name.startswith(_OURS):
            return ABSENT
        found = await self._application(name)
        if not found:
            return ABSENT
        worst = [r for r in (readiness(live) for _, live in found) if r.phase is not Phase.READY]
        return Observed(
            phase=worst[0].phase if worst else Phase.READY,
            native_status="FOREIGN",
            native_id=f"{self._inventories.namespace}/{name}",
            message=worst[0].message if worst else "",
            resources=tuple(
                StackResource(
                    logical_id=f"{ref.kind}/{ref.name}",
                    type=ref.type,
                    physical_id=str(live["metadata"]["uid"]),
                    status=readiness(live).phase.upper(),
                )
                for ref, live in found
            ),
        )

    async def adopt(self, stack: NativeStack, adopt: Adopt) -> None:
        """Put our tag on what is to be ours, the inventory first."""
        inventory = await self._inventories.find(stack.name)
        if inventory is not None and inventory.owner_uid != guards.uid_of(stack):
            await self._take_over(inventory, stack)
            return
        wanted = await self._comparer.manifests(stack)
        if adopt.resources:
            chosen = [m for m in wanted if m.id in adopt.resources]
            if unknown := set(adopt.resources) - {m.id for m in chosen}:
                raise NotFound(
                    f"spec.adopt.resources: the template has no object {min(unknown)!r}."
                )
        else:
            chosen = await self._of_application(adopt.external_name, wanted)
        lives = [(m, await self._kube.get(m.ref)) for m in chosen]
        _check(lives, stack)
        begun = inventory or fresh(stack, self._inventories.namespace)
        begun = await self._inventories.write(
            replace(
                begun,
                state=State.ADOPTED,
                tags=dict(stack.tags),
                members=united(begun.members, members(chosen)),
            ).told(self._clock.now(), "ADOPT_COMPLETE")
        )
        for manifest in chosen:
            await self._tag(manifest.ref, manifest.body)

    async def adoptable(self) -> tuple[Owned, ...]:
        """List the applications of the namespace on which nobody's tag is."""
        groups: defaultdict[str, list[Json]] = defaultdict(list)
        for _, live in await self._labelled(INSTANCE, _SHOWN, self._inventories.namespace):
            groups[str(live["metadata"]["labels"][INSTANCE])].append(live)
        return tuple(
            Owned(
                name=name,
                native_id=f"{self._inventories.namespace}/{name}",
                type=STACK_TYPE,
                uid="",
            )
            for name, lives in sorted(groups.items())
            if not any(guards.owner_of(live) for live in lives)
        )

    async def tagged(self) -> list[tuple[Ref, Json]]:
        """Return every object in the cluster that bears anybody's tag of ours."""
        return await self._labelled(TAG_UID, None, "")

    async def _take_over(self, inventory: Inventory, stack: NativeStack) -> None:
        """Make ours what an object that is gone left behind; the inventory goes last."""
        guards.claim(inventory, stack)
        for member in inventory.members:
            live = await self._kube.get(member.ref)
            if live is not None and guards.owner_of(live) == inventory.owner_uid:
                labels = {TAG_UID: guards.uid_of(stack)}
                await self._kube.merge(member.ref, {"metadata": {"labels": labels}})
        await self._inventories.write(
            replace(inventory, tags=dict(stack.tags), state=State.ADOPTED, digest="")
        )

    async def _of_application(self, name: str, wanted: Sequence[Manifest]) -> list[Manifest]:
        there = {ref for ref, _ in await self._application(name)}
        if not there:
            raise NotFound(
                f"spec.adopt.externalName: in namespace {self._inventories.namespace!r} nothing "
                f"bears the label {INSTANCE}={name}."
            )
        return [m for m in wanted if m.ref in there]

    async def _application(self, name: str) -> list[tuple[Ref, Json]]:
        return await self._labelled(f"{INSTANCE}={name}", None, self._inventories.namespace)

    async def _labelled(
        self, selector: str, shown: frozenset[str] | None, namespace: str
    ) -> list[tuple[Ref, Json]]:
        """Return the objects that somebody made, not those that they own in turn."""
        kinds = [k for k in await self._kube.kinds() if k.api.namespaced or not namespace]
        kinds = [k for k in kinds if shown is None or k.kind in shown]
        query = (("labelSelector", selector),)
        listed = await asyncio.gather(
            *(self._kube.list_if_served(k.api, namespace, query) for k in kinds)
        )
        return [
            (
                Ref(
                    kind.api.group_version,
                    kind.kind,
                    str(live["metadata"].get("namespace") or ""),
                    str(live["metadata"]["name"]),
                ),
                live,
            )
            for kind, lives in zip(kinds, listed, strict=True)
            for live in lives
            if not live["metadata"].get("ownerReferences") and kind.kind != "Endpoints"
        ]

    async def _tag(self, ref: Ref, body: Json) -> None:
        meta = part(body, "metadata")
        labels = {TAG_UID: meta["labels"][TAG_UID]}
        ours = f"{GROUP}/"
        annotations = {k: v for k, v in meta["annotations"].items() if k.startswith(ours)}
        await self._kube.merge(ref, {"metadata": {"labels": labels, "annotations": annotations}})


def _check(lives: Iterable[tuple[Manifest, Json | None]], stack: NativeStack) -> None:
    for manifest, live in lives:
        if live is None:
            raise NotFound(f"spec.adopt: there is no {manifest.ref} to adopt.")
        if not guards.may_take(live, stack):
            raise AlreadyExists(f"{manifest.id} ({manifest.ref}) belongs to another object.")
