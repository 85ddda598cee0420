"""Look at a stack and say what it means: readiness of its objects, outputs, events, cause."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Phase, StackEvent, StackResource
from isthmus.core.stacks import TAG_INSTALLATION, TAG_NAMESPACE, Observed
from isthmus.drivers.kubernetes import manifests
from isthmus.drivers.kubernetes.causes import cause
from isthmus.drivers.kubernetes.changing import needed
from isthmus.drivers.kubernetes.fields import part, text
from isthmus.drivers.kubernetes.inventory import STACK_TYPE, Inventory, Member, State
from isthmus.drivers.kubernetes.kube import Kube
from isthmus.drivers.kubernetes.readiness import READY, Readiness, readiness
from isthmus.drivers.kubernetes.removing import Remover
from isthmus.ports import Clock


@dataclass(frozen=True, slots=True)
class Seen:
    """One object as it is now."""

    member: Member
    live: Json | None
    readiness: Readiness
    events: tuple[StackEvent, ...] = ()

    @property
    def missing(self) -> bool:
        """Whether it should be there and is not."""
        return self.live is None and needed(self.member)

    @property
    def words(self) -> str:
        """Who it is and what it lacks."""
        return f"{self.member.id} ({self.member.ref}): {self.readiness.message}"


class Observer:
    """Reads stacks.

    Args:
        kube: The cluster.
        clock: The time.
        patience: After a change, objects may take so long to become ready.
    """

    def __init__(self, kube: Kube, clock: Clock, patience: timedelta) -> None:
        self._kube = kube
        self._clock = clock
        self._patience = patience
        self._remover = Remover(kube)

    async def observe(self, inventory: Inventory) -> Observed:
        """Say what a stack is like."""
        if inventory.state is State.DELETING:
            return await self._deleting(inventory)
        seen = await asyncio.gather(*(self._look(m) for m in inventory.members))
        there = [s for s in seen if s.live is not None or s.missing]
        phase, message = self._verdict(inventory, there)
        lives = {s.member.id: s.live for s in there if s.live is not None and not s.member.leaving}
        return replace(
            self._observed(inventory, phase, message),
            digest="" if _lacks(inventory, there) else inventory.digest,
            resources=tuple(_resource(s, inventory) for s in there),
            events=_merged(inventory.events, there),
            outputs=manifests.outputs(inventory.outputs, lives),
        )

    def _observed(self, inventory: Inventory, phase: Phase, message: str) -> Observed:
        unready = inventory.state is State.APPLIED and phase is not Phase.READY
        return Observed(
            phase=phase,
            message=message,
            digest=inventory.digest,
            events=inventory.events,
            native_status="NOT_READY" if unready else inventory.state.value,
            native_id=f"{inventory.namespace}/{inventory.name}",
            owner_uid=inventory.owner_uid,
            owner_namespace=inventory.tags.get(TAG_NAMESPACE, ""),
            owner_installation=inventory.tags.get(TAG_INSTALLATION, ""),
            drift=inventory.drift,
            changeable=inventory.state is not State.DELETING,
        )

    def _verdict(self, inventory: Inventory, seen: Sequence[Seen]) -> tuple[Phase, str]:
        if inventory.state is State.REFUSED:
            return Phase.FAILED, inventory.message
        if inventory.state is State.APPLYING:
            return Phase.WORKING, "The last change was interrupted; it goes on."
        if inventory.state is State.ADOPTED:
            return Phase.READY, ""
        failed = [s for s in seen if s.readiness.phase is Phase.FAILED]
        if failed:
            return Phase.FAILED, failed[0].words
        unready = [s for s in seen if s.readiness.phase is not Phase.READY]
        if not unready:
            return Phase.READY, ""
        applied = inventory.applied_at
        late = applied is not None and self._clock.now() - applied > self._patience
        return Phase.FAILED if late else Phase.WORKING, unready[0].words

    async def _look(self, member: Member) -> Seen:
        live = await self._kube.get(member.ref)
        if live is None:
            return Seen(member, None, Readiness(Phase.WORKING, "somebody deleted it"))
        found = readiness(live)
        if found is READY:
            return Seen(member, live, READY)
        known = await cause(self._kube, member, live, found)
        return Seen(member, live, known.readiness, known.events)

    async def _deleting(self, inventory: Inventory) -> Observed:
        uid = inventory.owner_uid
        left = await self._remover.present(inventory.members, uid)
        blockers = await self._remover.blockers(left, uid, self._clock.now())
        names = ", ".join(p.member.id for p in left)
        message = f"Still there: {names}." if left else "The objects are gone."
        # Nobody is at work any more where something blocks, or where only our notes are left.
        phase = Phase.FAILED if blockers or not left else Phase.WORKING
        return replace(
            self._observed(inventory, phase, "; ".join(blockers) or message),
            blockers=blockers,
            resources=tuple(
                _resource(Seen(p.member, p.live, readiness(p.live)), inventory) for p in left
            ),
        )


def _lacks(inventory: Inventory, seen: Sequence[Seen]) -> bool:
    """An engine that lost an object does not have what it was given: it is given it again."""
    return inventory.state is State.APPLIED and any(s.missing for s in seen)


def _resource(seen: Seen, inventory: Inventory) -> StackResource:
    status = "Missing" if seen.missing else _STATUS[seen.readiness.phase]
    drifted = inventory.drift.resources if inventory.drift is not None else ()
    meta = part(seen.live, "metadata") if seen.live is not None else Json()
    return StackResource(
        logical_id=seen.member.id,
        type=seen.member.ref.type,
        physical_id=text(meta, "uid"),
        status=status,
        reason=seen.readiness.message,
        drifted=any(line.startswith(f"{seen.member.id}.") for line in drifted),
    )


_STATUS = {
    Phase.READY: "READY",
    Phase.WORKING: "IN_PROGRESS",
    Phase.FAILED: "FAILED",
    Phase.ABSENT: "MISSING",
}


def _merged(own: Sequence[StackEvent], seen: Sequence[Seen]) -> tuple[StackEvent, ...]:
    """Return our events and the cluster's by time, ours first where times are equal."""
    native = {event.id: event for s in seen for event in s.events}
    everything = [*own, *native.values()]
    return tuple(sorted(everything, key=lambda e: (e.time, e.type != STACK_TYPE)))
