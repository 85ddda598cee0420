"""The worker: errors become conditions, one write a change, finalizer first, nothing leaks."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from isthmus.api.meta import FINALIZER, PAUSED, Condition, Json
from isthmus.api.v1alpha1 import Stack
from isthmus.errors import (
    CapacityExhausted,
    Conflict,
    DeletionBlocked,
    Forbidden,
    InvalidSpec,
    NotYet,
    StackFailed,
    Throttled,
    Unavailable,
)
from isthmus.runtime.cache import Cache
from isthmus.runtime.events import Events
from isthmus.runtime.kinds import api_of
from isthmus.runtime.memory import MemoryStore
from isthmus.runtime.outcome import Outcome, Progress, done, waiting
from isthmus.runtime.worker import BLOCKED_RETRY, GONE, RESYNC, Next, Reconciler, Worker

STACKS = api_of(Stack)
KEY = ("team-a", "db")
BODY: Json = {
    "apiVersion": "isthmus.dev/v1alpha1",
    "kind": "Stack",
    "metadata": {"name": "db", "namespace": "team-a"},
    "spec": {"provider": "here", "template": {}},
}


class Clock:
    time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Scripted(Reconciler[Stack]):
    """Does what the test says."""

    kind = Stack
    steps = ("Accepted", "Synced")

    def __init__(self) -> None:
        self.act: Callable[[Stack, Progress[Any]], Outcome] = lambda _, __: done()
        self.seen: list[Stack] = []
        self.released = 0
        self.takes_seconds = 0.0

    async def reconcile(self, obj: Stack, progress: Progress[Any]) -> Outcome:
        self.seen.append(obj)
        await asyncio.sleep(self.takes_seconds)
        return self.act(obj, progress)

    async def release(self, obj: Stack, progress: Progress[Any]) -> Outcome:
        self.released += 1
        return self.act(obj, progress)


class Bench:
    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.reconciler = Scripted()
        self.cache = Cache(self.store, STACKS)
        self.events = Events(self.store, self.clock)
        self.worker = Worker(
            self.reconciler, self.store, self.cache, clock=self.clock, events=self.events
        )

    async def step(self) -> Next:
        for item in (await self.store.list(STACKS)).items:
            self.cache.put(item)
        return await self.worker.step(KEY)

    async def stack(self) -> Stack:
        raw = await self.store.get(STACKS, *KEY)
        assert raw is not None
        return Stack.parse(raw)

    def fail(self, error: Exception) -> None:
        def act(_: Stack, progress: Progress[Any]) -> Outcome:
            progress.reached("Accepted")
            raise error

        self.reconciler.act = act


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.store.create(STACKS, BODY)
    return bench


async def condition(bench: Bench, kind: str) -> Condition:
    found = (await bench.stack()).condition(kind)
    assert found is not None
    return found


async def test_the_finalizer_comes_before_the_first_call(bench: Bench) -> None:
    await bench.step()
    assert bench.reconciler.seen[0].metadata.finalizers == (FINALIZER,)


async def test_done_is_ready_and_every_step_is_true(bench: Bench) -> None:
    assert await bench.step() == Next(after=RESYNC)
    assert (await bench.stack()).ready
    for kind in ("Accepted", "Synced", "Ready"):
        assert (await condition(bench, kind)).status == "True"


async def test_an_unchanged_world_is_not_written(bench: Bench) -> None:
    await bench.step()
    writes = bench.store.writes
    bench.clock.time += timedelta(hours=1)
    await bench.step()
    assert bench.store.writes == writes


async def test_a_transition_time_moves_only_with_the_status(bench: Bench) -> None:
    bench.reconciler.act = lambda _, __: waiting("first")
    await bench.step()
    start = (await condition(bench, "Ready")).last_transition_time
    bench.clock.time += timedelta(hours=1)
    bench.reconciler.act = lambda _, __: waiting("second")
    await bench.step()
    ready = await condition(bench, "Ready")
    assert (ready.message, ready.last_transition_time) == ("second", start)
    bench.reconciler.act = lambda _, __: done()
    await bench.step()
    assert (await condition(bench, "Ready")).last_transition_time == bench.clock.time


@pytest.mark.parametrize(
    ("error", "reason", "following"),
    [
        (Throttled("slow"), "Throttled", Next(after=None, failed=True)),
        (
            Throttled("slow", after=timedelta(seconds=9)),
            "Throttled",
            Next(after=timedelta(seconds=9), failed=True),
        ),
        (Unavailable("x"), "Unavailable", Next(after=None, failed=True)),
        (CapacityExhausted("x"), "CapacityExhausted", Next(after=None, failed=True)),
        (NotYet("x"), "DependencyNotReady", Next(after=None, failed=True)),
        (InvalidSpec("x"), "InvalidSpec", Next(after=RESYNC)),
        (Forbidden("x"), "Forbidden", Next(after=BLOCKED_RETRY)),
        (StackFailed("x"), "StackFailed", Next(after=RESYNC)),
        (DeletionBlocked("x"), "DeletionBlocked", Next(after=BLOCKED_RETRY)),
    ],
)
async def test_an_error_becomes_a_condition(
    bench: Bench, error: Exception, reason: str, following: Next
) -> None:
    bench.fail(error)
    assert await bench.step() == following
    ready = await condition(bench, "Ready")
    assert (ready.status, ready.reason, ready.message) == ("False", reason, str(error))
    assert (await condition(bench, "Accepted")).status == "True"
    assert (await condition(bench, "Synced")).reason == reason


async def test_a_bug_is_ours_and_shows_nothing_of_itself(bench: Bench) -> None:
    bench.fail(ZeroDivisionError("hunter2"))
    assert await bench.step() == Next(after=None, failed=True)
    ready = await condition(bench, "Ready")
    assert ready.reason == "InternalError"
    assert "hunter2" not in ready.message


async def test_a_status_found_before_the_failure_is_kept(bench: Bench) -> None:
    def act(_: Stack, progress: Progress[Any]) -> Outcome:
        progress.status = progress.status.model_copy(update={"native_status": "ROLLBACK"})
        raise StackFailed("no luck")

    bench.reconciler.act = act
    await bench.step()
    assert (await bench.stack()).status.native_status == "ROLLBACK"


async def test_a_conflict_is_shown_to_nobody(bench: Bench) -> None:
    bench.fail(Conflict("somebody else"))
    following = await bench.step()
    assert following.after is not None
    assert following.after < timedelta(seconds=1)
    assert (await bench.stack()).status.conditions == ()


async def test_a_stale_cache_is_read_anew(bench: Bench) -> None:
    await bench.step()
    await bench.store.patch(STACKS, *KEY, {"metadata": {"labels": {"new": "yes"}}})
    bench.reconciler.act = lambda _, __: waiting("news")
    await bench.worker.step(KEY)
    await bench.worker.step(KEY)
    assert bench.reconciler.seen[-1].metadata.labels == {"new": "yes"}
    assert (await condition(bench, "Ready")).message == "news"


@pytest.mark.looptime
async def test_a_reconcile_that_hangs_is_broken_off(bench: Bench) -> None:
    bench.reconciler.takes_seconds = 100_000
    assert (await bench.step()).failed
    assert (await condition(bench, "Ready")).reason == "Unavailable"


async def test_a_deletion_is_released_and_then_let_go(bench: Bench) -> None:
    await bench.step()
    await bench.store.delete(STACKS, *KEY)
    bench.reconciler.act = lambda _, __: waiting("still there", after=timedelta(seconds=3))
    assert await bench.step() == Next(after=timedelta(seconds=3))
    assert (await condition(bench, "Ready")).message == "still there"
    bench.reconciler.act = lambda _, __: done()
    assert await bench.step() == GONE
    assert await bench.store.get(STACKS, *KEY) is None
    assert await bench.worker.step(KEY) == GONE


async def test_without_our_finalizer_a_deletion_is_not_ours(bench: Bench) -> None:
    patch = {"metadata": {"finalizers": ["else/where"]}}
    await bench.store.patch(STACKS, *KEY, patch)
    await bench.store.delete(STACKS, *KEY)
    assert await bench.step() == GONE
    assert bench.reconciler.released == 0


async def test_paused_is_said_and_nothing_done(bench: Bench) -> None:
    await bench.store.patch(STACKS, *KEY, {"metadata": {"annotations": {PAUSED: "true"}}})
    await bench.step()
    assert (await condition(bench, "Paused")).status == "True"
    assert bench.reconciler.seen == []
    await bench.store.patch(STACKS, *KEY, {"metadata": {"annotations": {PAUSED: None}}})
    await bench.step()
    assert (await condition(bench, "Paused")).status == "False"
    assert (await bench.stack()).ready


async def test_an_unreadable_object_is_told_so_without_its_values(bench: Bench) -> None:
    raw = await bench.store.get(STACKS, *KEY)
    assert raw is not None
    odd = raw | {"spec": {"provider": "here", "template": {}, "management": "hunter2"}}
    await bench.store.replace(STACKS, odd)
    await bench.step()
    raw = await bench.store.get(STACKS, *KEY)
    assert raw is not None
    (ready,) = [c for c in raw["status"]["conditions"] if c["type"] == "Ready"]
    assert ready["reason"] == "InvalidSpec"
    assert "spec.management" in ready["message"]
    assert "hunter2" not in str(raw["status"])
    writes = bench.store.writes
    await bench.step()
    assert bench.store.writes == writes


async def test_a_store_that_fails_is_tried_again(bench: Bench) -> None:
    for item in (await bench.store.list(STACKS)).items:
        bench.cache.put(item)
    bench.store.fail_next(Unavailable("down"))
    assert await bench.worker.step(KEY) == Next(after=None, failed=True)
    assert bench.reconciler.seen == []


async def test_events_tell_what_changed_and_not_what_stayed(bench: Bench) -> None:
    writing = asyncio.create_task(bench.events.run())
    bench.fail(StackFailed("no luck"))
    await bench.step()
    await bench.step()
    bench.fail(NotYet("a dependency"))
    await bench.step()
    bench.reconciler.act = lambda _, __: done()
    await bench.step()
    await bench.events.flush()
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    from isthmus.runtime.kinds import EVENTS

    told = [(e["type"], e["reason"]) for e in (await bench.store.list(EVENTS)).items]
    assert sorted(told) == [("Normal", "Ready"), ("Warning", "StackFailed")]


async def test_metrics_count_reconciles_and_writes(bench: Bench) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"controller": "stack"} | labels) or 0

    before = value("isthmus_status_writes_total")
    timed = value("isthmus_reconcile_seconds_count", outcome="done")
    await bench.step()
    await bench.step()
    assert value("isthmus_status_writes_total") == before + 1
    assert value("isthmus_reconcile_seconds_count", outcome="done") == timed + 2
