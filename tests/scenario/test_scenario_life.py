"""The life of an instance and its binding: every step as a user sees it, on the fake cloud."""

import base64

import pytest

from isthmus.api.v1alpha1 import ServiceBinding, ServiceInstance, Stack
from isthmus.runtime.kinds import SECRETS
from tests.world import TEAM, Scene, a_binding, an_instance, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def credentials(here: Scene, name: str = "app") -> dict[str, str]:
    secret = await here.store.get(SECRETS, TEAM, name)
    assert secret is not None
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


async def test_create_bind_update_unbind_delete() -> None:
    async with scene() as here:
        here.cloud.latency_seconds = 20
        await here.apply(an_instance())
        instance = await here.ready(ServiceInstance, "db")
        assert instance.status.provider == "here"
        host = instance.status.outputs["Host"]

        await here.apply(a_binding())
        await here.ready(ServiceBinding, "app")
        keys = await credentials(here)
        assert keys["host"] == host
        assert keys["type"] == "postgresql"
        assert keys["provider"] == "fake"
        assert here.cloud.login(keys["username"], keys["password"])

        await here.apply(an_instance(parameters={"size": 5}))
        await here.ready(ServiceInstance, "db")
        (stack,) = here.cloud.stacks.values()
        assert stack.resources["Database"].actual["size"] == 5

        await here.delete(ServiceInstance, "db")
        message = await here.refused(ServiceInstance, "db", "InUse")
        assert "app" in message
        await here.delete(ServiceBinding, "app")
        await here.gone(ServiceInstance, "db")
        assert not here.cloud.login(keys["username"], keys["password"])
        assert here.cloud.stacks == {}
        assert here.cloud.users == {}
        assert await here.get(Stack, "db") is None
        assert await here.store.get(SECRETS, TEAM, "app") is None
