"""The queue: one name once, never twice in work, backoff by name; in virtual time."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.runtime.queue import FIRST_RETRY, LAST_RETRY, Queue, backoff

pytestmark = pytest.mark.looptime

A, B = ("ns", "a"), ("ns", "b")


async def test_a_name_waits_once() -> None:
    queue = Queue()
    for key in (A, B, A):
        queue.add(key)
    assert len(queue) == 2
    assert [await queue.get(), await queue.get()] == [A, B]


async def test_a_name_in_work_is_queued_again_when_that_ends() -> None:
    queue = Queue()
    queue.add(A)
    assert await queue.get() == A
    queue.add(A)
    assert len(queue) == 0
    queue.done(A)
    assert await queue.get() == A
    queue.done(A)
    assert queue.idle


async def test_the_earlier_of_two_times_counts(looptime: float) -> None:
    queue = Queue()
    queue.add_after(A, timedelta(seconds=60))
    queue.add_after(A, timedelta(seconds=5))
    queue.add_after(A, timedelta(seconds=30))
    assert await queue.get() == A
    assert looptime == 5
    queue.done(A)
    await asyncio.sleep(100)
    assert queue.idle


async def test_a_change_overtakes_a_timer(looptime: float) -> None:
    queue = Queue()
    queue.add_after(A, timedelta(seconds=60))
    queue.add(A)
    assert await queue.get() == A
    assert looptime == 0


async def test_failures_back_off_until_a_success(looptime: float) -> None:
    queue = Queue()
    waits: list[float] = []
    for _ in range(3):
        start = asyncio.get_running_loop().time()
        queue.retry(A)
        await queue.get()
        waits.append(asyncio.get_running_loop().time() - start)
        queue.done(A)
    assert 2 <= waits[0] <= 2.2 < 4 <= waits[1] <= 4.4 < 8 <= waits[2] <= 8.8
    queue.succeeded(A)
    start = asyncio.get_running_loop().time()
    queue.retry(A)
    await queue.get()
    assert asyncio.get_running_loop().time() - start < 2.3


async def test_what_the_other_side_asks_for_is_kept(looptime: float) -> None:
    queue = Queue()
    queue.retry(A, after=timedelta(seconds=77))
    await queue.get()
    assert looptime == 77


async def test_many_failures_at_once_are_spread() -> None:
    queue = Queue()
    for index in range(1000):
        queue.retry(("ns", str(index)), after=timedelta(seconds=1))
    await asyncio.sleep(2)
    assert 200 <= len(queue) < 400
    await asyncio.sleep(30)
    assert len(queue) == 1000


async def test_a_closed_queue_ends_its_work_and_takes_no_more() -> None:
    queue = Queue()
    queue.add(A)
    queue.add(B)
    await queue.get()
    queue.add_after(B, timedelta(seconds=1))
    queue.close()
    queue.add(B)
    drained = asyncio.create_task(queue.drain())
    await asyncio.sleep(5)
    assert not drained.done()
    queue.done(A)
    await drained
    assert queue.idle


@given(st.integers(min_value=0, max_value=10_000))
def test_backoff_never_leaves_its_bounds(failures: int) -> None:
    assert FIRST_RETRY <= backoff(failures) <= LAST_RETRY
    assert backoff(failures) <= backoff(failures + 1)
