"""The one next step of a node pool: grow, empty, remove, keep or wait.

A pool is brought to its size, healed and rolled to another revision by the same question, asked
again after every look: what is the one thing to do now? Nothing is remembered but what was noted on
the members that we chose to empty, so an interrupted rollout goes on from whatever is found.

The laws, held by properties: never more than ``maximum + max_surge`` members; our hand never takes
the usable ones below the wanted number less ``max_unavailable``; no healthy member goes before it
is empty or its time is up; the steps come to an end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class State(StrEnum):
    """What is known of one member."""

    JOINING = "Joining"
    """Its server is there, or on its way, and has not become a node."""
    READY = "Ready"
    NOT_READY = "NotReady"
    """The cluster has not heard from it, or it cannot run pods."""
    FAILED = "Failed"
    """The cloud says that its server is broken."""
    UNKNOWN = "Unknown"
    """The cluster does not answer: nothing is to be concluded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One server of a pool, and the node that it is."""

    group: str
    """The Stack that holds it."""
    index: int
    """Which of the group's servers; never used twice in a group."""
    current: bool = True
    """It is of the wanted revision."""
    state: State = State.READY
    since: datetime
    """When we saw that state first."""
    cordoned: bool = False
    draining_since: datetime | None = None
    """When we chose to empty it; None: we did not."""
    empty: bool = False
    """Nothing runs on it that would have to move."""
    pods: int = 0

    @property
    def key(self) -> tuple[str, int]:
        """What names it."""
        return self.group, self.index

    @property
    def usable(self) -> bool:
        """Whether it takes work, as far as it is known and up to us."""
        return self.state in (State.READY, State.UNKNOWN) and self.draining_since is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How many members, and how they may change."""

    replicas: int
    minimum: int = 0
    maximum: int | None = None
    max_surge: int = 1
    """How many more than wanted there may be while members are exchanged."""
    max_unavailable: int = 0
    """How many fewer than wanted may be usable while members are exchanged."""
    drain_timeout: timedelta = timedelta(minutes=10)
    """A member that is not empty by then goes as it is."""
    heal_after: timedelta | None = timedelta(minutes=5)
    """How long a member may be broken before it is replaced; None: for ever."""
    join_within: timedelta | None = timedelta(minutes=20)
    """How long a server may take to become a node before it is replaced; None: for ever."""
    heal_at_once: int = 1

    @property
    def target(self) -> int:
        """The number of members when nothing is in motion."""
        most = self.replicas if self.maximum is None else min(self.replicas, self.maximum)
        return max(most, self.minimum)

    @property
    def surge(self) -> int:
        """How many more there may be; something must give, or nothing could be exchanged."""
        return self.max_surge if self.max_surge or self.max_unavailable else 1

    def replaced_at(self, member: Member) -> datetime | None:
        """Return when a member that stays as it is gets replaced; None: never."""
        if self.heal_after is None or broken_since(member) is None:
            return None
        limit = self.join_within if member.state is State.JOINING else self.heal_after
        return None if limit is None else member.since + limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Let these take work again: we do not want them gone any more."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Take these out: they are empty, or broken, or their time is up."""

    members: tuple[Member, ...]
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Choose these to go: cordon them, and have their pods move."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grow:
    """Add so many of the wanted revision."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do until the world has moved on."""

    why: str
    until: datetime | None = None
    """When there is something to do even if nothing happens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The pool is as it should be."""


Step = Keep | Remove | Drain | Grow | Wait | Settled


def next_step(wanted: Wanted, members: Sequence[Member], now: datetime) -> Step:
    """Return the one next step for a pool whose servers are not being changed right now."""
    members = sorted(members, key=lambda m: m.key)
    broken = _to_heal(wanted, members, now)
    victims = _victims(wanted, [m for m in members if m not in broken])
    kept = [m for m in members if m.draining_since is not None and m not in (*victims, *broken)]
    if kept:
        return Keep(members=tuple(kept))
    if broken:
        return Remove(members=tuple(broken), why="They have been broken for too long.")
    gone = [m for m in victims if _may_go(m, wanted, now)]
    if gone:
        return Remove(members=tuple(gone), why="They are not wanted any more.")
    chosen = [m for m in victims if m.draining_since is None]
    if chosen:
        return Drain(members=tuple(chosen))
    if (room := _missing(wanted, members, victims)) > 0:
        return Grow(count=room)
    return _rest(wanted, members, victims, now)


def broken_since(member: Member) -> datetime | None:
    """Return since when a member has not been what it should be; None: it is."""
    bad = (State.FAILED, State.NOT_READY, State.JOINING)
    return member.since if member.state in bad else None


def _to_heal(wanted: Wanted, members: Sequence[Member], now: datetime) -> list[Member]:
    """Return the broken members to replace now: those broken longest, a few at once."""
    late = [m for m in members if (end := wanted.replaced_at(m)) and end <= now]
    coming = sum(1 for m in members if m.state is State.JOINING and m not in late)
    free = max(wanted.heal_at_once - coming, 0)
    return sorted(late, key=lambda m: (m.since, m.key))[:free]


def _victims(wanted: Wanted, members: Sequence[Member]) -> list[Member]:
    """Return the members that are to go, those already chosen first."""
    old = [m for m in members if not m.current]
    if not old:
        return _pick(members, len(members) - wanted.target)
    current = [m for m in members if m.current]
    excess = _pick(current, len(current) - wanted.target)
    leaving = [m for m in old if m.draining_since is not None]
    idle = [m for m in old if m.draining_since is None and not m.usable]
    left = sum(1 for m in members if m.usable and m not in excess)
    spare = left - max(wanted.target - wanted.max_unavailable, 0)
    usable = [m for m in old if m.usable and m.state is State.READY]
    return [*excess, *leaving, *idle, *_pick(usable, min(spare, len(usable)))]


def _pick(members: Iterable[Member], count: int) -> list[Member]:
    """Return those that would be missed least."""
    return sorted(members, key=_worth)[: max(count, 0)]


def _worth(member: Member) -> tuple[int, int, int, int, int, str]:
    """Order by what is lost: chosen, broken, cordoned, with few pods, new ones first."""
    ranks = (State.FAILED, State.JOINING, State.NOT_READY)
    rank = ranks.index(member.state) if member.state in ranks else len(ranks)
    chosen = 0 if member.draining_since is not None else 1
    cordoned = 0 if member.cordoned else 1
    return chosen, rank, cordoned, member.pods, -member.index, member.group


def _may_go(member: Member, wanted: Wanted, now: datetime) -> bool:
    """Tell whether a victim may go now: a broken one at once, others empty or out of time."""
    if broken_since(member) is not None:
        return True
    since = member.draining_since
    return since is not None and (member.empty or now - since >= wanted.drain_timeout)


def _missing(wanted: Wanted, members: Sequence[Member], victims: Sequence[Member]) -> int:
    """Return how many to add now."""
    staying = [m for m in members if m.current and m not in victims]
    exchanged = any(not m.current for m in members)
    room = wanted.target + (wanted.surge if exchanged else 0) - len(members)
    return min(wanted.target - len(staying), room)


def _rest(
    wanted: Wanted, members: Sequence[Member], victims: Sequence[Member], now: datetime
) -> Step:
    if victims:
        ends = [m.draining_since + wanted.drain_timeout for m in victims if m.draining_since]
        return Wait(why=f"{_count(len(victims), 'node')} being emptied.", until=min(ends))
    unready = [m for m in members if m.state is not State.READY]
    if not unready:
        return Settled()
    ends = [end for m in unready if (end := wanted.replaced_at(m)) and end > now]
    until = min(ends, default=None)
    if all(m.state is State.UNKNOWN for m in unready):
        return Wait(why="The cluster does not answer, so nothing is known of its nodes.")
    return Wait(why=f"{_count(len(unready), 'node')} not ready yet.", until=until)


def _count(number: int, what: str) -> str:
    return f"1 {what} is" if number == 1 else f"{number} {what}s are"
