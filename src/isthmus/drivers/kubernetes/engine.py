"""The StackEngine of a Kubernetes API: server-side apply, an inventory, readiness by kind.

What belongs to a stack is remembered in ``inventory``; what is refused is known by dry runs
(``comparing``) before anything is touched; only what bears our tag is ever deleted (``removing``).
"""

from dataclasses import replace
from datetime import timedelta

from isthmus.api.meta import Adopt, Json
from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    Changes,
    NativeStack,
    Observed,
    Owned,
    StackName,
)
from isthmus.drivers.kubernetes import guards
from isthmus.drivers.kubernetes.adopting import Adopter
from isthmus.drivers.kubernetes.changing import Changer
from isthmus.drivers.kubernetes.drifting import drift_of
from isthmus.drivers.kubernetes.fields import part
from isthmus.drivers.kubernetes.inventory import STACK_TYPE, Inventories, State
from isthmus.drivers.kubernetes.kube import Kube, Ref
from isthmus.drivers.kubernetes.observing import Observer
from isthmus.drivers.kubernetes.removing import Remover
from isthmus.ports import Clock


class Cluster:
    """Implements ``isthmus.ports.StackEngine``.

    Args:
        kube: The cluster's API.
        namespace: Where inventories are, and objects that name no namespace.
        installation: Which Isthmus this is.
        clock: The time.
        patience: After a change, objects may take so long to become ready.
    """

    def __init__(
        self, kube: Kube, namespace: str, installation: str, clock: Clock, patience: timedelta
    ) -> None:
        self._installation = installation
        self._clock = clock
        self._kube = kube
        self._inventories = Inventories(kube, namespace)
        self._changer = Changer(kube, self._inventories, clock)
        self._observer = Observer(kube, clock, patience)
        self._remover = Remover(kube)
        self._adopter = Adopter(kube, self._inventories, clock)

    async def preview(self, stack: NativeStack) -> Changes:
        """See ``StackEngine``."""
        with guards.unsaid(stack):
            return await self._changer.preview(stack)

    async def observe(self, name: StackName) -> Observed:
        """See ``StackEngine``."""
        inventory = await self._inventories.find(name)
        if inventory is None:
            return await self._adopter.observe(name)
        return await self._observer.observe(inventory)

    async def apply(self, stack: NativeStack) -> None:
        """See ``StackEngine``."""
        with guards.unsaid(stack):
            await self._changer.apply(stack)

    async def delete(self, stack: NativeStack) -> None:
        """See ``StackEngine``."""
        inventory = await self._inventories.find(stack.name)
        if inventory is None:
            return
        guards.require_ours(inventory, stack)
        if inventory.state is not State.DELETING:
            inventory = await self._inventories.write(
                replace(inventory, state=State.DELETING, message="")
            )
        if await self._remover.remove(inventory.members, guards.uid_of(stack)):
            await self._inventories.remove(inventory)

    async def adopt(self, stack: NativeStack, adopt: Adopt) -> None:
        """See ``StackEngine``."""
        with guards.unsaid(stack):
            await self._adopter.adopt(stack, adopt)

    async def check_drift(self, name: StackName) -> None:
        """See ``StackEngine``; the answer is there when this returns."""
        inventory = await self._inventories.find(name)
        if inventory is None or inventory.state is not State.APPLIED:
            return
        drift = await drift_of(self._kube, inventory, self._clock.now())
        await self._inventories.write(replace(inventory, drift=drift))

    async def owned(self) -> tuple[Owned, ...]:
        """List our stacks, and objects with our tag that no stack knows any more."""
        inventories = await self._inventories.all()
        stacks = tuple(
            Owned(
                name=i.name,
                native_id=f"{i.namespace}/{i.name}",
                type=STACK_TYPE,
                uid=i.owner_uid,
                namespace=i.tags.get(TAG_NAMESPACE, ""),
                object_name=i.tags.get(TAG_NAME, ""),
            )
            for i in inventories
            if i.owner_uid and i.tags.get(TAG_INSTALLATION, "") == self._installation
        )
        known = {m.ref for i in inventories for m in i.members} | {i.ref for i in inventories}
        lost = await self._adopter.tagged()
        return stacks + tuple(
            _owned(ref, live)
            for ref, live in lost
            if ref not in known and _annotation(live, TAG_INSTALLATION) == self._installation
        )

    async def adoptable(self) -> tuple[Owned, ...]:
        """See ``StackEngine``: applications by their label ``app.kubernetes.io/instance``."""
        return await self._adopter.adoptable()


def _owned(ref: Ref, live: Json) -> Owned:
    return Owned(
        name=str(ref),
        native_id=str(live["metadata"]["uid"]),
        type=ref.type,
        uid=guards.owner_of(live),
        namespace=_annotation(live, TAG_NAMESPACE),
        object_name=_annotation(live, TAG_NAME),
    )


def _annotation(live: Json, key: str) -> str:
    return str(part(part(live, "metadata"), "annotations").get(key, ""))
