"""What becomes of bindings, their Secrets and credentials, and of actions on an instance."""

import pytest

from isthmus.api.v1alpha1 import Operation, OperationPhase, ServiceBinding, ServiceInstance
from isthmus.runtime.kinds import SECRETS
from tests.world import TEAM, a_binding, an_instance, an_operation, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_a_secret_of_somebody_else_is_never_written_over() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        await here.secret("app", mine="yes")
        await here.apply(a_binding())
        assert "spec.secretName" in await here.refused(ServiceBinding, "app", "AlreadyExists")
        assert here.cloud.users == {}
        await here.delete(ServiceBinding, "app")
        await here.gone(ServiceBinding, "app")
        assert await here.store.get(SECRETS, TEAM, "app") is not None


async def test_a_lost_secret_is_delivered_again_with_one_credential() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.apply(a_binding())
        await here.ready(ServiceBinding, "app")
        await here.store.delete(SECRETS, TEAM, "app")
        await here.until(ServiceBinding, "app", lambda _: here.cloud.calls["grant"] == 2)
        assert len(here.cloud.users) == 1


async def test_other_rights_are_another_credential() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.apply(a_binding())
        first = (await here.ready(ServiceBinding, "app")).status.credential
        await here.apply(a_binding(parameters={"access": "readonly"}))
        changed = await here.until(
            ServiceBinding, "app", lambda b: b and b.ready and b.status.former == ()
        )
        assert changed is not None
        assert set(here.cloud.users) == {changed.status.credential} != {first}
        await here.apply(a_binding(instance="other"))
        assert "spec.instance" in await here.refused(ServiceBinding, "app", "InvalidSpec")


async def test_an_action_is_refused_by_its_state_and_runs_once() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        await here.apply(an_operation(parameters={"note": "night"}))
        done = await here.ready(Operation, "stop-it")
        assert done.status.phase is OperationPhase.SUCCEEDED
        assert done.status.result == {"note": "night"}
        await here.apply(an_operation("again"))
        assert "stopped" in await here.refused(Operation, "again", "StateForbids")
        failed = await here.get(Operation, "again")
        assert failed is not None
        assert failed.status.phase is OperationPhase.FAILED
        await here.apply(an_operation("unknown", action="fly"))
        assert "spec.action" in await here.refused(Operation, "unknown", "InvalidSpec")


async def test_a_finished_operation_goes_when_its_time_is_over() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        await here.apply(an_operation(ttlSecondsAfterFinished=60))
        await here.ready(Operation, "stop-it")
        await here.gone(Operation, "stop-it", within=100)
