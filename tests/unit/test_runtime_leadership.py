"""Who leads: one at a time, without a gap that is longer than the lease, and fenced in time."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.errors import Conflict, Unavailable
from isthmus.ports import Api
from isthmus.runtime.leadership import LEASES, FencedStore, Leadership, Terms
from isthmus.runtime.memory import MemoryStore
from tests.world import LoopClock

LEASE = timedelta(seconds=15)
THINGS = Api("v1", "configmaps")


def seconds() -> float:
    return asyncio.get_running_loop().time()


def candidate(store: MemoryStore, name: str, clock: Callable[[], float] = seconds) -> Leadership:
    terms = Terms(namespace="here", name="lease", identity=name, duration=LEASE)
    return Leadership(store, terms, clock=LoopClock(), seconds=clock)


async def within(awaited: Awaitable[None]) -> float:
    """Wait for it; return how long that took."""
    started = seconds()
    await awaited
    return seconds() - started


@pytest.mark.looptime
async def test_the_first_one_leads_and_the_second_stands_by():
    store = MemoryStore()
    one, two = candidate(store, "one"), candidate(store, "two")
    await one.win()
    assert one.leads
    keeping, winning = asyncio.create_task(one.keep()), asyncio.create_task(two.win())
    await asyncio.sleep(200)
    assert (one.leads, two.leads, two.leader) == (True, False, "one")
    assert not keeping.done()
    for task in (keeping, winning):
        task.cancel()


@pytest.mark.looptime
async def test_a_leader_that_was_killed_is_followed_when_its_lease_has_run_out():
    store = MemoryStore()
    one, two = candidate(store, "one"), candidate(store, "two")
    await one.win()
    took = await within(two.win())
    assert 15 <= took <= 17
    assert not one.leads, "it has stopped long before"
    lease = await store.get(LEASES, "here", "lease")
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] == 1


@pytest.mark.looptime
async def test_a_leader_that_stops_is_followed_at_once():
    store = MemoryStore()
    one, two = candidate(store, "one"), candidate(store, "two")
    await one.win()
    winning = asyncio.create_task(two.win())
    await asyncio.sleep(5)
    await one.release()
    assert not one.leads
    assert await within(winning) <= 1


@pytest.mark.looptime
async def test_who_cannot_renew_stops_before_the_lease_runs_out():
    store = MemoryStore()
    one = candidate(store, "one")
    await one.win()
    keeping = asyncio.create_task(one.keep())
    await asyncio.sleep(30)
    store.fail_next(*[Unavailable("down")] * 100)
    assert await within(keeping) <= 10
    assert not one.leads


@pytest.mark.looptime
async def test_one_failure_costs_nothing():
    store = MemoryStore()
    one = candidate(store, "one")
    await one.win()
    keeping = asyncio.create_task(one.keep())
    store.fail_next(Unavailable("busy"), Conflict("somebody"))
    await asyncio.sleep(60)
    assert one.leads
    keeping.cancel()


@pytest.mark.looptime
async def test_an_api_that_never_answers_does_not_hold_the_fence_up():
    class Silent(MemoryStore):
        silent = False

        async def get(self, api, namespace, name):
            if self.silent:
                await asyncio.sleep(3600)
            return await super().get(api, namespace, name)

    store = Silent()
    one = candidate(store, "one")
    await one.win()
    store.silent = True
    assert await within(one.keep()) <= 10


@pytest.mark.looptime
async def test_a_leader_that_was_frozen_may_not_write_when_it_wakes():
    store, asleep = MemoryStore(), 0.0
    one = candidate(store, "one", lambda: seconds() + asleep)
    fenced = FencedStore(store, one.check)
    await one.win()
    await fenced.create(THINGS, {"metadata": {"name": "a", "namespace": "here"}})
    asleep = 3600.0  # The loop's own clock has not moved, nor has any timer fired.
    with pytest.raises(Unavailable):
        await fenced.create(THINGS, {"metadata": {"name": "b", "namespace": "here"}})
    with pytest.raises(Unavailable):
        await fenced.patch(THINGS, "here", "a", {})
    with pytest.raises(Unavailable):
        await fenced.replace(THINGS, {"metadata": {"name": "a", "namespace": "here"}})
    with pytest.raises(Unavailable):
        await fenced.delete(THINGS, "here", "a")
    assert await fenced.get(THINGS, "here", "a"), "reading harms nobody"


@pytest.mark.looptime
async def test_a_lease_that_somebody_took_away_is_lost_at_once():
    store = MemoryStore()
    one = candidate(store, "one")
    await one.win()
    keeping = asyncio.create_task(one.keep())
    lease = await store.get(LEASES, "here", "lease")
    assert lease is not None
    await store.replace(LEASES, lease | {"spec": lease["spec"] | {"holderIdentity": "other"}})
    assert await within(keeping) <= 3
    assert (one.leads, one.leader) == (False, "other")
    await one.release()
    lease = await store.get(LEASES, "here", "lease")
    assert lease is not None
    assert lease["spec"]["holderIdentity"] == "other", "what is not ours is not given back"


@dataclass
class Run:
    """Candidates that come, freeze, wake and go, and who led when."""

    overlaps: list[str] = field(default_factory=list[str])


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["freeze", "kill", "stop"]),
                  st.floats(0, 40)),
        max_size=6,
    )
)  # fmt: skip
def test_never_two_at_a_time(happenings: list[tuple[str, str, float]]):
    assert not asyncio.run(_played(happenings)).overlaps


async def _played(happenings: list[tuple[str, str, float]]) -> Run:
    """Play it on a clock of its own: each candidate looks once a second, as its loop would."""
    now, run, store = 0.0, Run(), MemoryStore()
    frozen: dict[str, float] = {}
    all_of = {name: candidate(store, name, lambda: now) for name in "abc"}
    gone: set[str] = set()
    script = list(happenings)
    for tick in range(300):
        now = float(tick)
        while script and script[0][2] + 10 * (len(happenings) - len(script)) <= now:
            name, what, _ = script.pop(0)
            if what == "freeze":
                frozen[name] = now + 20
            elif what == "kill":
                gone.add(name)
            else:
                await all_of[name].release()
        for name, one in all_of.items():
            if name not in gone and frozen.get(name, 0) <= now:
                await one.attempt()
        leading = [name for name, one in all_of.items() if one.leads]
        if len(leading) > 1:
            run.overlaps.append(f"{now}: {leading}")
    return run
