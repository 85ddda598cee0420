"""Who is in a pool, and how each one is: from the groups' Stacks, the nodes and the last status."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from isthmus.api.v1alpha1 import MemberPhase, PoolMember
from isthmus.core.nodes import ClusterNode
from isthmus.core.planner.nodes import Member, State

_CHOSEN = (MemberPhase.DRAINING, MemberPhase.REMOVING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The servers of one Stack, as far as they are known."""

    stack: str
    name: str
    """Of the group; its nodes are called ``<name>-<index>`` unless they say otherwise."""
    indexes: tuple[int, ...]
    servers: Mapping[int, str] = field(default_factory=dict[int, str])
    """The cloud's ids by index."""
    current: bool = True
    broken: frozenset[int] = frozenset()
    """The numbers of the servers that the engine could not make."""
    failed: bool = False
    """Its engine gave up: a server that is not there is not to be waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One member: what the status says of it, what is known, and its node."""

    shown: PoolMember
    current: bool
    state: State
    node: ClusterNode | None = None
    awaited: bool = True
    """Its server is there, on its way, or known to be broken."""


def see(
    groups: Iterable[Group],
    nodes: Sequence[ClusterNode] | None,
    former: Sequence[PoolMember],
    now: datetime,
) -> tuple[Seen, ...]:
    """Return the members of all groups, in order.

    Args:
        groups: The pool's groups.
        nodes: The cluster's nodes; None where the cluster does not answer.
        former: What the status said.
        now: The time.
    """
    known = {(member.stack, member.index): member for member in former}
    return tuple(
        _see(group, index, nodes, known.get((group.stack, index)), now)
        for group in groups
        for index in group.indexes
    )


def gone(groups: Iterable[Group], former: Iterable[PoolMember]) -> tuple[PoolMember, ...]:
    """Return the former members that no group has any more."""
    there = {(group.stack, index) for group in groups for index in group.indexes}
    return tuple(member for member in former if (member.stack, member.index) not in there)


def for_planner(seen: Seen, now: datetime, *, empty: bool, pods: int) -> Member:
    """Return the member as the planner wants it."""
    shown = seen.shown
    draining = shown.phase is MemberPhase.DRAINING
    return Member(
        group=shown.stack,
        index=shown.index,
        current=seen.current,
        state=seen.state,
        since=shown.since if seen.awaited else now,
        cordoned=seen.node is not None and seen.node.unschedulable,
        draining_since=shown.since if draining else None,
        empty=empty,
        pods=pods,
    )


def node_of(nodes: Iterable[ClusterNode], server: str, names: frozenset[str]) -> ClusterNode | None:
    """Find the node that a server became: by the cloud's id, else by name."""
    found = list(nodes)
    by_id = (n for n in found if server and n.provider_id.rpartition("/")[2] == server)
    by_name = (n for n in found if n.name in names)
    return next(by_id, None) or next(by_name, None)


def _see(
    group: Group,
    index: int,
    nodes: Sequence[ClusterNode] | None,
    former: PoolMember | None,
    now: datetime,
) -> Seen:
    server = group.servers.get(index, "")
    place = f"{group.name}-{index}"
    names = frozenset({place} | ({former.name} if former is not None else set[str]()))
    node = node_of(nodes or (), server, names)
    broken = index in group.broken
    state = _state(node, known=nodes is not None, joined=_joined(former), broken=broken)
    phase = MemberPhase(state.value)
    if former is not None and former.phase in _CHOSEN:
        phase = former.phase
    same = former is not None and former.phase is phase and not _is_new(former, server)
    shown = PoolMember(
        name=node.name if node is not None else former.name if former is not None else place,
        stack=group.stack,
        index=index,
        server_id=server or (former.server_id if former is not None else ""),
        phase=phase,
        since=former.since if former is not None and same else now,
        message=node.message if node is not None and not node.ready else "",
    )
    awaited = bool(server) or broken or not group.failed
    return Seen(shown=shown, current=group.current, state=state, node=node, awaited=awaited)


def _is_new(former: PoolMember, server: str) -> bool:
    """Tell whether its server has only now come: from then on it may take its time to join."""
    joining = former.phase is MemberPhase.JOINING
    return joining and bool(server) and former.server_id != server


def _joined(former: PoolMember | None) -> bool:
    return former is not None and former.phase is not MemberPhase.JOINING


def _state(node: ClusterNode | None, *, known: bool, joined: bool, broken: bool) -> State:
    if not known:
        return State.UNKNOWN
    if node is not None and node.ready:
        return State.READY
    if broken:
        return State.FAILED
    # A new node is not ready before its network is: it has as long as its server has to join.
    return State.NOT_READY if joined else State.JOINING
