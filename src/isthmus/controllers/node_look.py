"""A NodePool as it is found at one look, and what its status shows of that."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from isthmus.api.v1alpha1 import MemberPhase, NodePool, NodePoolStatus, PoolMember, Stack
from isthmus.controllers.node_drain import Drained
from isthmus.controllers.node_groups import Target
from isthmus.core.planner.members import Seen
from isthmus.core.planner.nodes import Member
from isthmus.ports import ClusterNodes
from isthmus.runtime.outcome import Happening, Outcome, Progress, waiting

NOW = timedelta(milliseconds=1)
"""The pause before a step that waits for nothing but the status that was just written."""
Key = tuple[str, int]
"""A member's stack, and its index there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A pool as it is found."""

    pool: NodePool
    target: Target | None
    """None: the pool is going."""
    stacks: tuple[Stack, ...]
    seen: tuple[Seen, ...]
    left: tuple[PoolMember, ...]
    """No group has them any more; their nodes are to be forgotten."""
    nodes: ClusterNodes | None
    """None: the cluster does not answer."""
    drained: Mapping[Key, Drained]

    @property
    def remembered(self) -> tuple[PoolMember, ...]:
        """Those that the cluster has not forgotten yet."""
        return self.left if self.nodes is None else ()

    @property
    def leaving(self) -> tuple[Seen, ...]:
        """Those whose servers are to be taken away."""
        return tuple(s for s in self.seen if s.shown.phase is MemberPhase.REMOVING)


def key(seen: Seen) -> Key:
    """What tells a member from all others of its pool."""
    return seen.shown.stack, seen.shown.index


def with_message(seen: Seen, drained: Drained | None) -> Seen:
    """Let a member say what is in the way of its being emptied."""
    if drained is None or not drained.message:
        return seen
    return replace(seen, shown=seen.shown.model_copy(update={"message": drained.message}))


def show(
    members: Collection[PoolMember],
    left: Collection[PoolMember],
    progress: Progress[NodePoolStatus],
) -> None:
    """Write into the status who is in the pool; who is not any more stays until forgotten."""
    current = progress.status.stack
    ready = [m for m in members if m.phase in (MemberPhase.READY, MemberPhase.DRAINING)]
    gone_ones = [
        m.model_copy(update={"phase": MemberPhase.REMOVING})
        if m.phase is not MemberPhase.REMOVING
        else m
        for m in left
    ]
    progress.status = progress.status.model_copy(
        update={
            "members": (*members, *gone_ones),
            "replicas": len(members),
            "ready": len(ready),
            "updated": sum(1 for m in members if m.stack == current),
        }
    )


def mark(
    look: Look,
    members: tuple[Member, ...],
    phase: MemberPhase,
    why: str,
    progress: Progress[NodePoolStatus],
) -> Outcome:
    """Note what is to be done with some members; it is done at the next look."""
    chosen = {member.key for member in members}
    update = {"phase": phase, "since": progress.now, "message": why}
    shown = [s.shown.model_copy(update=update) if key(s) in chosen else s.shown for s in look.seen]
    show(shown, look.remembered, progress)
    names = ", ".join(s.shown.name for s in look.seen if key(s) in chosen)
    progress.tell(Happening(reason=phase.value, message=f"{names}: {why}"))
    return waiting(f"{names}: {why}", after=NOW)
