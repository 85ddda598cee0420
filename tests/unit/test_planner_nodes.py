"""The laws of a node pool's next step, held against pools in every state and a world that moves."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.planner.nodes import (
    Drain,
    Grow,
    Keep,
    Member,
    Remove,
    Settled,
    State,
    Wait,
    Wanted,
    broken_since,
    next_step,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def a_member(index: int = 0, **overrides: object) -> Member:
    given = {"group": "blue", "index": index, "since": NOW} | overrides
    return Member(**given)  # pyright: ignore[reportArgumentType]


def ready(count: int, **overrides: object) -> list[Member]:
    return [a_member(index, **overrides) for index in range(count)]


CASES = {
    "an empty pool grows at once": (Wanted(replicas=3), [], Grow(count=3)),
    "a full pool is settled": (Wanted(replicas=2), ready(2), Settled()),
    "the least loaded goes": (
        Wanted(replicas=1),
        [a_member(0, pods=4), a_member(1, pods=1)],
        Drain(members=(a_member(1, pods=1),)),
    ),
    "a cordoned one goes before an empty one": (
        Wanted(replicas=1),
        [a_member(0, pods=4, cordoned=True), a_member(1)],
        Drain(members=(a_member(0, pods=4, cordoned=True),)),
    ),
    "of equals the newest goes": (Wanted(replicas=1), ready(2), Drain(members=(a_member(1),))),
    "what never joined goes first, and undrained": (
        Wanted(replicas=1),
        [a_member(0, state=State.JOINING), a_member(1)],
        Remove(members=(a_member(0, state=State.JOINING),), why="They are not wanted any more."),
    ),
    "maximum holds replicas down": (Wanted(replicas=9, maximum=2), ready(2), Settled()),
    "minimum holds replicas up": (Wanted(replicas=0, minimum=2), ready(1), Grow(count=1)),
    "who changes his mind keeps what is being emptied": (
        Wanted(replicas=2),
        [a_member(0), a_member(1, draining_since=NOW)],
        Keep(members=(a_member(1, draining_since=NOW),)),
    ),
    "an empty victim goes": (
        Wanted(replicas=1),
        [a_member(0), a_member(1, draining_since=NOW, empty=True)],
        Remove(
            members=(a_member(1, draining_since=NOW, empty=True),),
            why="They are not wanted any more.",
        ),
    ),
    "a victim that is not empty is waited for": (
        Wanted(replicas=1),
        [a_member(0), a_member(1, draining_since=NOW)],
        Wait(why="1 node is being emptied.", until=NOW + 10 * MINUTE),
    ),
    "a victim whose time is up goes as it is": (
        Wanted(replicas=1),
        [a_member(0), a_member(1, draining_since=NOW - 10 * MINUTE)],
        Remove(
            members=(a_member(1, draining_since=NOW - 10 * MINUTE),),
            why="They are not wanted any more.",
        ),
    ),
    "a silent node is given time": (
        Wanted(replicas=1),
        [a_member(state=State.NOT_READY)],
        Wait(why="1 node is not ready yet.", until=NOW + 5 * MINUTE),
    ),
    "one that stays silent is replaced": (
        Wanted(replicas=1),
        [a_member(state=State.NOT_READY, since=NOW - 5 * MINUTE)],
        Remove(
            members=(a_member(state=State.NOT_READY, since=NOW - 5 * MINUTE),),
            why="They have been broken for too long.",
        ),
    ),
    "one at a time is healed": (
        Wanted(replicas=2),
        [
            a_member(0, state=State.JOINING),
            a_member(1, state=State.NOT_READY, since=NOW - 5 * MINUTE),
        ],
        Wait(why="2 nodes are not ready yet.", until=NOW + 20 * MINUTE),
    ),
    "a server has longer to join than a node has to come back": (
        Wanted(replicas=2, join_within=30 * MINUTE),
        [
            a_member(0, state=State.JOINING, since=NOW - 29 * MINUTE),
            a_member(1, state=State.NOT_READY, since=NOW - 4 * MINUTE),
        ],
        Wait(why="2 nodes are not ready yet.", until=NOW + 1 * MINUTE),
    ),
    "a server that does not join is replaced": (
        Wanted(replicas=1),
        [a_member(state=State.JOINING, since=NOW - 20 * MINUTE)],
        Remove(
            members=(a_member(state=State.JOINING, since=NOW - 20 * MINUTE),),
            why="They have been broken for too long.",
        ),
    ),
    "a server may join for ever": (
        Wanted(replicas=1, join_within=None),
        [a_member(state=State.JOINING, since=NOW - 99 * MINUTE)],
        Wait(why="1 node is not ready yet."),
    ),
    "nobody is healed who must not be": (
        Wanted(replicas=1, heal_after=None),
        [a_member(state=State.FAILED, since=NOW - 99 * MINUTE)],
        Wait(why="1 node is not ready yet."),
    ),
    "of a cluster that does not answer nothing is concluded": (
        Wanted(replicas=1),
        [a_member(state=State.UNKNOWN, since=NOW - 99 * MINUTE)],
        Wait(why="The cluster does not answer, so nothing is known of its nodes."),
    ),
    "an exchange begins with one more": (
        Wanted(replicas=2),
        ready(2, current=False),
        Grow(count=1),
    ),
    "without surge it begins with one fewer": (
        Wanted(replicas=2, max_surge=0, max_unavailable=1),
        ready(2, current=False),
        Drain(members=(a_member(1, current=False),)),
    ),
    "no exchange while the cluster does not answer": (
        Wanted(replicas=1, max_surge=0, max_unavailable=1),
        [a_member(current=False, state=State.UNKNOWN)],
        Wait(why="The cluster does not answer, so nothing is known of its nodes."),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_next_step(case: str) -> None:
    wanted, members, expected = CASES[case]
    assert next_step(wanted, members, NOW) == expected


class World:
    """A pool that does as it is told, while its servers join, empty and break as drawn."""

    def __init__(self, wanted: Wanted, members: list[Member], luck: Random) -> None:
        self.wanted = wanted
        self.members = members
        self.now = NOW
        self._luck = luck
        self._made = max((m.index for m in members), default=-1) + 1

    def take(self) -> object:
        step = next_step(self.wanted, self.members, self.now)
        assert step == next_step(self.wanted, self.members[::-1], self.now), "order must not matter"
        if not isinstance(step, Wait | Settled):
            self._judge(step)
        match step:
            case Grow(count=count):
                for _ in range(count):
                    self.members.append(
                        a_member(self._made, group="green", state=State.JOINING, since=self.now)
                    )
                    self._made += 1
            case Remove(members=gone):
                self.members = [m for m in self.members if m not in gone]
            case Drain(members=chosen):
                self._change(chosen, draining_since=self.now, cordoned=True, empty=False)
            case Keep(members=kept):
                self._change(kept, draining_since=None, cordoned=False)
            case Wait():
                self._pass()
            case _:
                pass
        return step

    def _change(self, which: tuple[Member, ...], **update: object) -> None:
        self.members = [
            replace(m, **update) if m in which else m  # pyright: ignore[reportArgumentType]
            for m in self.members
        ]

    def _pass(self) -> None:
        """A minute passes: who joins is ready, who is being emptied may be empty."""
        self.now += MINUTE
        for member in self.members:
            if member.state is State.JOINING:
                works = self._luck.random() < 0.8
                state = State.READY if works else State.JOINING
                self._change((member,), state=state, since=self.now if works else member.since)
            elif member.state is State.UNKNOWN:
                self._change((member,), state=State.READY, since=self.now)
            elif member.draining_since is not None and self._luck.random() < 0.5:
                self._change((member,), empty=True, pods=0)

    def _judge(self, step: object) -> None:
        wanted, before = self.wanted, self.members
        if isinstance(step, Grow):
            limit = wanted.maximum if wanted.maximum is not None else wanted.target
            assert len(before) + step.count <= max(limit, wanted.minimum) + wanted.surge
            return
        assert isinstance(step, Remove | Drain | Keep)
        assert step.members
        left = sum(1 for m in before if m.usable and m not in step.members)
        floor = wanted.target - wanted.max_unavailable
        if isinstance(step, Drain):
            taken = any(m.usable for m in step.members)
            assert not taken or left >= floor
        if isinstance(step, Remove):
            for member in step.members:
                if broken_since(member) is None:
                    since = member.draining_since
                    assert since is not None
                    assert member.empty or self.now - since >= wanted.drain_timeout


@st.composite
def pools(draw: st.DrawFn) -> World:
    states = st.sampled_from(State)
    ages = st.integers(0, 12).map(lambda minutes: NOW - minutes * MINUTE)
    wanted = Wanted(
        replicas=draw(st.integers(0, 5)),
        minimum=draw(st.integers(0, 2)),
        maximum=draw(st.none() | st.integers(2, 5)),
        max_surge=draw(st.integers(0, 2)),
        max_unavailable=draw(st.integers(0, 2)),
        heal_at_once=draw(st.integers(1, 2)),
    )
    members = [
        Member(
            group="blue",
            index=index,
            current=draw(st.booleans()),
            state=draw(states),
            since=draw(ages),
            cordoned=draw(st.booleans()),
            draining_since=draw(st.none() | ages),
            empty=draw(st.booleans()),
            pods=draw(st.integers(0, 3)),
        )
        for index in range(draw(st.integers(0, 5)))
    ]
    return World(wanted, members, Random(draw(st.integers())))


@given(pools())
def test_every_pool_converges_and_every_step_keeps_the_laws(world: World) -> None:
    for _ in range(400):
        if isinstance(world.take(), Settled):
            break
    else:
        raise AssertionError(f"It does not come to rest: {world.members}")
    assert len(world.members) == world.wanted.target
    assert all(m.current and m.state is State.READY for m in world.members)
    assert not any(m.draining_since for m in world.members)
