"""An engine that takes changes while it works is given them: what waits in vain can be mended."""

import pytest

from isthmus.api.v1alpha1 import Phase, ServiceInstance, Stack
from tests.world import an_instance, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

DAYS = 24 * 3600.0


@pytest.mark.parametrize("changeable", [True, False])
async def test_a_stack_that_waits_in_vain_is_given_the_mended_spec(changeable: bool) -> None:
    async with scene() as here:
        here.cloud.changeable, here.cloud.latency_seconds = changeable, 10 * DAYS
        await here.apply(an_instance())
        await here.until(
            Stack, "db", lambda stack: stack is not None and stack.status.phase is Phase.WORKING
        )
        here.cloud.latency_seconds = 0
        await here.apply(an_instance(parameters={"size": 5}))
        if changeable:
            await here.ready(ServiceInstance, "db")
            (stack,) = here.cloud.stacks.values()
            assert stack.resources["Database"].actual["size"] == 5
        else:
            await here.nothing_for(3600)
            assert here.cloud.calls["apply"] == 1
