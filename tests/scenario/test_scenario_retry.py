"""What the engine refused is asked for again when somebody says that it may work now."""

import copy

import pytest

from isthmus.api.v1alpha1 import ServiceInstance, Stack
from tests.world import OFFERING, an_instance, an_offering, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_a_retry_asks_once_more_for_the_same() -> None:
    async with scene(furnish=True) as here:
        stacks = copy.deepcopy(OFFERING["stacks"])
        stacks["fake"]["template"]["resources"]["Database"]["failWith"] = "no capacity left"
        await here.apply(an_offering("unlucky", stacks=stacks))
        await here.apply(an_instance(offering="unlucky"))
        assert "no capacity left" in await here.refused(ServiceInstance, "db", "StackFailed")
        failed = await here.get(Stack, "db")
        assert failed is not None

        await here.annotate(ServiceInstance, "db", retry="1")
        tried = await here.until(
            Stack, "db", lambda s: s is not None and s.status.digest != failed.status.digest
        )
        assert tried is not None
        assert tried.spec == failed.spec
        await here.refused(ServiceInstance, "db", "StackFailed")
