"""Every outward call of a whole life fails once in turn: it converges, and nothing is left.

A call fails before its effect (a crash, a refusal) or after it (a lost answer).
"""

import pytest

from isthmus.api.v1alpha1 import Operation, OperationPhase, ServiceBinding, ServiceInstance, Stack
from isthmus.errors import Conflict, Throttled, Unavailable
from isthmus.runtime.kinds import SECRETS
from isthmus.runtime.memory import MemoryStore
from tests.outward import Outward
from tests.world import TEAM, LoopClock, Scene, a_binding, an_instance, an_operation, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

MINUTES = 60 * 60.0
PARTS = 4
"""Each takes seconds, and may run beside the others."""


async def live(here: Scene) -> None:
    """Create, bind, rotate, act, update, unbind, delete; check the world after each."""
    await here.apply(an_instance())
    await here.ready(ServiceInstance, "db", within=MINUTES)
    assert len(here.cloud.stacks) == 1

    await here.apply(a_binding())
    first = (await here.ready(ServiceBinding, "app", within=MINUTES)).status.credential
    assert set(here.cloud.users) == {first}

    await here.annotate(ServiceBinding, "app", rotate="1")
    rotated = await here.until(
        ServiceBinding,
        "app",
        lambda b: b is not None and b.ready and b.status.rotation == "1" and not b.status.former,
        within=MINUTES,
    )
    assert rotated is not None
    assert set(here.cloud.users) == {rotated.status.credential} != {first}

    await here.apply(an_operation())
    done = await here.ready(Operation, "stop-it", within=MINUTES)
    assert done.status.phase is OperationPhase.SUCCEEDED
    assert len(here.cloud.started) == 1

    await here.apply(an_instance(parameters={"size": 5}))
    await here.ready(ServiceInstance, "db", within=MINUTES)
    (stack,) = here.cloud.stacks.values()
    assert stack.resources["Database"].actual["size"] == 5

    await here.delete(ServiceBinding, "app")
    await here.gone(ServiceBinding, "app", within=MINUTES)
    assert here.cloud.users == {}
    await here.delete(ServiceInstance, "db")
    await here.gone(ServiceInstance, "db", within=MINUTES)
    assert here.cloud.stacks == {}
    assert await here.get(Stack, "db") is None
    assert await here.store.get(SECRETS, TEAM, "app") is None


async def life(outward: Outward) -> None:
    async with scene(store=MemoryStore(LoopClock()), outward=outward) as here:
        here.cloud.latency_seconds = 2
        await live(here)


async def test_the_row_is_long_and_free_of_repetition() -> None:
    quiet = Outward()
    await life(quiet)
    writes = [c for c in quiet.calls if c.startswith(("create", "replace", "patch", "delete "))]
    assert writes.count("create stacks") == 1
    assert writes.count("create secrets") == 1
    assert quiet.calls.count("apply") == 2
    assert quiet.calls.count("grant") == 2
    assert quiet.calls.count("revoke") == 2
    assert quiet.calls.count("start") == 1


STRIKES = {
    "refused": (False, lambda: Unavailable("struck"), 1),
    "answer lost": (True, lambda: Unavailable("struck"), 1),
    "throttled": (False, lambda: Throttled("struck"), 7),
    "lost to somebody else": (False, lambda: Conflict("struck"), 7),
}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("how", STRIKES)
async def test_each_call_fails_once(how: str, part: int) -> None:
    lost_answer, error, stride = STRIKES[how]
    quiet = Outward()
    await life(quiet)
    for number in range(1 + part * stride, len(quiet.calls) + 1, stride * PARTS):
        struck = Outward(strike=number, lost_answer=lost_answer, error=error)
        try:
            await life(struck)
        except AssertionError as exc:
            called = struck.calls[number - 1] if len(struck.calls) >= number else "nothing"
            raise AssertionError(f"{how} at call {number}, {called}: {exc}") from exc
