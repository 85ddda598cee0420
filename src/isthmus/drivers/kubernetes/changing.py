"""Apply a template: remember, make, prune, remember. Interrupted anywhere, it goes on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic
from typing import Final

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import Changes, NativeStack, Verb
from isthmus.drivers.kubernetes import guards, manifests
from isthmus.drivers.kubernetes.comparing import (
    Compared,
    Comparer,
    Refused,
    absent,
    is_right,
    refused,
)
from isthmus.drivers.kubernetes.drifting import owned_fields
from isthmus.drivers.kubernetes.inventory import (
    Inventories,
    Inventory,
    Member,
    State,
    fresh,
    members,
    united,
)
from isthmus.drivers.kubernetes.kube import Kube, Ref, UnknownKind
from isthmus.drivers.kubernetes.manifests import Manifest
from isthmus.drivers.kubernetes.readiness import readiness
from isthmus.drivers.kubernetes.removing import Remover
from isthmus.errors import Forbidden, InvalidSpec, NotFound, NotYet
from isthmus.ports import Clock

_WAIT_SECONDS: Final = 8.0
"""How long one call waits for what others need, before it lets the caller come back."""
_LOOK_SECONDS: Final = 0.1


class Changer:
    """Creates and changes stacks.

    Args:
        kube: The cluster.
        inventories: What is remembered of them.
        clock: The time.
    """

    def __init__(self, kube: Kube, inventories: Inventories, clock: Clock) -> None:
        self._kube = kube
        self._inventories = inventories
        self._clock = clock
        self._comparer = Comparer(kube, inventories.namespace)
        self._remover = Remover(kube)

    async def preview(self, stack: NativeStack) -> Changes:
        """Say what ``apply`` would do."""
        inventory = await self._inventories.find(stack.name)
        guards.claim(inventory, stack)
        wanted = await self._comparer.manifests(stack)
        manifests.check_outputs(stack.template, stack, {m.id: m.ref.kind for m in wanted})
        try:
            comparison = await self._comparer.compare(stack, wanted, inventory)
        except Refused as exc:
            raise InvalidSpec(str(exc)) from exc
        notes: tuple[str, ...] = ()
        if comparison.untried:
            notes = (
                "Could not be tried before their namespace or definition is there: "
                + ", ".join(comparison.untried),
            )
        return Changes(changes=comparison.changes, digest=stack.digest, notes=notes)

    async def apply(self, stack: NativeStack) -> None:
        """Bring the cluster to what the template says."""
        inventory = await self._inventories.find(stack.name)
        guards.claim(inventory, stack)
        if inventory is not None and await self._is_done(inventory, stack):
            return
        if inventory is not None and inventory.state is State.DELETING:
            raise NotYet("The stack is being deleted; it can be made again once it is gone.")
        former = inventory or fresh(stack, self._inventories.namespace)
        wanted = await self._comparer.manifests(stack)
        outputs = manifests.check_outputs(stack.template, stack, {m.id: m.ref.kind for m in wanted})
        begun = replace(former, tags=dict(stack.tags), outputs=outputs)
        try:
            comparison = await self._comparer.compare(stack, wanted, inventory)
        except Refused as exc:
            await self._refuse(begun, stack, exc)
            return
        guards.require_approval(Changes(changes=comparison.changes).losing_data, stack)
        begun = await self._inventories.write(
            replace(
                begun,
                state=State.APPLYING,
                digest="",
                members=united(former.members, members(wanted)),
            )
        )
        try:
            made = await self._make(comparison.compared)
        except Refused as exc:
            await self._refuse(begun, stack, exc)
            return
        await self._finish(begun, stack, wanted, made)

    async def _is_done(self, inventory: Inventory, stack: NativeStack) -> bool:
        if not stack.digest or inventory.digest != stack.digest:
            return False
        if inventory.state is State.REFUSED:
            return True
        if inventory.state is not State.APPLIED:
            return False
        lives = [await self._kube.get(m.ref) for m in inventory.members if needed(m)]
        return all(live is not None for live in lives)

    async def _make(self, compared: Sequence[Compared]) -> tuple[Member, ...]:
        """Send every object, the unchanged too: that makes us the manager of its fields."""
        made: list[Member] = []
        for one, member in zip(compared, members(c.manifest for c in compared), strict=True):
            if one.verb is Verb.REPLACE and one.live is not None:
                await self._clear(one.manifest.ref, one.live)
            stored = await self._send(one.manifest)
            secret = member.ref.kind == "Secret"
            made.append(
                replace(member, fields=tuple(sorted(owned_fields(stored))) if secret else ())
            )
        return tuple(made)

    async def _send(self, manifest: Manifest) -> Json:
        try:
            stored = await self._kube.apply(manifest.ref, manifest.body)
        except (NotFound, UnknownKind) as exc:
            raise absent(manifest, exc) from exc
        except InvalidSpec as exc:
            raise refused(manifest, exc) from exc
        except Forbidden as exc:
            if is_right(exc):
                raise
            raise refused(manifest, exc) from exc
        if manifests.founding(manifest.ref.kind):
            await self._until(
                manifest.ref,
                lambda live: live is not None and readiness(live).phase is Phase.READY,
                f"{manifest.id} ({manifest.ref}) is not established yet.",
            )
        return stored

    async def _clear(self, ref: Ref, live: Json) -> None:
        """Remove what cannot be changed in place."""
        await self._kube.delete(ref, str(live["metadata"]["uid"]))
        await self._until(ref, lambda there: there is None, f"{ref} must be gone to be made anew.")

    async def _until(self, ref: Ref, holds: Callable[[Json | None], bool], words: str) -> None:
        deadline = monotonic() + _WAIT_SECONDS
        while not holds(await self._kube.get(ref)):
            if monotonic() > deadline:
                raise NotYet(words)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _refuse(self, inventory: Inventory, stack: NativeStack, exc: Refused) -> None:
        """Remember that the cluster did not take it, until something else is asked for."""
        words = guards.hidden(str(exc), stack)
        told = inventory.told(
            self._clock.now(), "APPLY_FAILED", words.partition(": ")[2], words.partition(" (")[0]
        )
        await self._inventories.write(
            replace(told, state=State.REFUSED, digest=stack.digest, message=words)
        )

    async def _finish(
        self,
        begun: Inventory,
        stack: NativeStack,
        wanted: Sequence[Manifest],
        made: tuple[Member, ...],
    ) -> None:
        refs = {m.ref for m in made}
        extra = [m for m in begun.members if m.ref not in refs]
        leaving = await self._remover.prune(extra, guards.uid_of(stack))
        told = begun.told(self._clock.now(), "APPLY_COMPLETE")
        await self._inventories.write(
            replace(
                told,
                state=State.APPLIED,
                digest=stack.digest,
                message="",
                applied_at=self._clock.now(),
                members=(*made, *leaving),
                manifests=_plain(wanted),
                drift=None,
            )
        )


def needed(member: Member) -> bool:
    """Tell whether an object must be there."""
    return not (member.transient or member.leaving)


def _plain(wanted: Sequence[Manifest]) -> tuple[Json, ...]:
    """Return what may be remembered of the manifests: those in which no secret stands."""
    return tuple(m.body for m in wanted if not m.secret and m.ref.kind != "Secret")
