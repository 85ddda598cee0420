"""What becomes of bindings, their Secrets and credentials, and of actions on an instance."""

import copy
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from isthmus.api.v1alpha1 import Operation, OperationPhase, ServiceBinding, ServiceInstance
from isthmus.runtime.kinds import SECRETS, api_of
from isthmus.runtime.memory import MemoryStore
from tests.outward import Outward
from tests.world import (
    OFFERING,
    TEAM,
    LoopClock,
    a_binding,
    an_instance,
    an_offering,
    an_operation,
    scene,
)

T = TypeVar("T")

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


class Noticing(Outward):
    """Notes what the binding says of the place when a credential is made there."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store
        self.said: list[str] = []

    async def call(self, name: str, run: Callable[[], Awaitable[T]]) -> T:
        if name == "grant":
            found = await self._store.get(api_of(ServiceBinding), TEAM, "app")
            assert found is not None
            self.said.append(found["status"]["granted"]["spec"]["host"])
        return await super().call(name, run)


async def test_where_a_credential_is_made_is_noted_before() -> None:
    """Else a crash right after would leave one that nobody revokes."""
    stacks = copy.deepcopy(OFFERING["stacks"])
    stacks["fake"]["template"]["outputs"]["Host"] = "${Database.size}.fake.test"
    store = MemoryStore(LoopClock())
    row = Noticing(store)
    async with scene(store=store, outward=row) as here:
        await here.apply(an_offering(stacks=stacks))
        await here.apply(an_instance())
        await here.apply(a_binding())
        await here.ready(ServiceBinding, "app")
        await here.apply(an_instance(parameters={"size": 2}))
        await here.until(ServiceBinding, "app", lambda _: here.cloud.calls["grant"] == 2)
        assert row.said == ["1.fake.test", "2.fake.test"]


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
