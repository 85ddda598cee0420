"""What is there already is taken over, and is ready only when it is what the spec says."""

import pytest

from isthmus.api.v1alpha1 import ServiceInstance, Stack
from isthmus.core.stacks import TAG_UID, NativeStack, StackName
from isthmus.drivers.fake.engine import FakeEngine
from tests.world import Scene, a_provider, an_instance, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

FOREIGN = {"resources": {"Database": {"type": "Fake::Database", "properties": {"size": 3}}}}


async def foreign_stack(here: Scene, name: str) -> None:
    stack = NativeStack(name=StackName(name), template=FOREIGN, digest="theirs")
    await FakeEngine(here.cloud, "others").apply(stack)
    here.cloud.stacks[name].tags.clear()


async def test_an_adopted_stack_is_ready_once_it_has_our_template() -> None:
    async with scene() as here:
        await foreign_stack(here, "legacy")
        here.cloud.latency_seconds = 20
        adopt = {"externalName": "legacy"}
        await here.apply(an_instance(management="Adopt", adopt=adopt, parameters={"size": 7}))
        await here.ready(ServiceInstance, "db")
        stack = here.cloud.stacks["legacy"]
        assert stack.tags[TAG_UID]
        assert stack.resources["Database"].actual["size"] == 7


async def test_a_stack_whose_import_was_not_finished_is_deleted_too() -> None:
    async with scene() as here:
        adopt = {"externalName": "disk", "resources": {"Database": {"Id": "disk"}}}
        await here.apply(an_instance(management="Adopt", adopt=adopt))
        await here.ready(ServiceInstance, "db")
        (stack,) = here.cloud.stacks.values()
        stack.tags.clear()
        await here.delete(ServiceInstance, "db")
        await here.gone(ServiceInstance, "db")
        assert here.cloud.stacks == {}


async def test_a_stack_that_is_not_ours_survives_its_object() -> None:
    async with scene() as here:
        await foreign_stack(here, "legacy")
        await here.apply(an_instance(management="Adopt", adopt={"externalName": "legacy"}))
        await here.ready(ServiceInstance, "db")
        here.cloud.stacks["legacy"].tags[TAG_UID] = "another"
        await here.delete(ServiceInstance, "db")
        await here.gone(ServiceInstance, "db")
        assert "legacy" in here.cloud.stacks


@pytest.mark.parametrize("management", ["Adopt", "Observe"])
async def test_of_a_stack_of_another_namespace_nothing_is_shown_or_changed(management: str) -> None:
    async with scene() as here:
        await foreign_stack(here, "theirs")
        stack = here.cloud.stacks["theirs"]
        stack.outputs["Host"] = "secret.test"
        stack.tags = {TAG_UID: "uid-of-an-instance-elsewhere"}
        adopt = {"externalName": "theirs"}
        await here.apply(an_instance(management=management, adopt=adopt))
        message = await here.refused(ServiceInstance, "db", "Forbidden")
        assert "spec.adopt.externalName" in message
        for kind in (Stack, ServiceInstance):
            assert "secret.test" not in str(await here.get(kind, "db"))
        await here.delete(ServiceInstance, "db")
        await here.gone(ServiceInstance, "db")
        assert here.cloud.stacks["theirs"].digest == "theirs"


@pytest.mark.parametrize("management", ["Adopt", "Observe"])
async def test_nobody_takes_what_was_not_made_for_them_without_leave(management: str) -> None:
    async with scene() as here:
        await foreign_stack(here, "legacy")
        await here.apply(a_provider("strict", adoption_selector=None))
        seen = {"management": management, "adopt": {"externalName": "legacy"}}
        await here.apply(an_instance(provider="strict", **seen))
        message = await here.refused(ServiceInstance, "db", "Forbidden")
        assert "spec.adoptionSelector" in message, "the remedy"
        assert not here.cloud.stacks["legacy"].tags, "and nobody touched it"


async def test_what_a_deleted_object_left_can_be_adopted_by_another() -> None:
    async with scene() as here:
        await here.apply(an_instance(deletionPolicy="Retain"))
        await here.ready(ServiceInstance, "db")
        (name,) = here.cloud.stacks
        await here.delete(ServiceInstance, "db")
        await here.gone(ServiceInstance, "db")
        former = here.cloud.stacks[name].tags[TAG_UID]

        await here.apply(an_instance("again", management="Adopt", adopt={"externalName": name}))
        again = await here.ready(ServiceInstance, "again")
        assert here.cloud.stacks[name].tags[TAG_UID] == again.metadata.uid != former
        await here.delete(ServiceInstance, "again")
        await here.gone(ServiceInstance, "again")
        assert here.cloud.stacks == {}


async def test_what_another_object_has_cannot_be_adopted() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        owner = await here.ready(ServiceInstance, "db")
        (name,) = here.cloud.stacks
        await here.apply(an_instance("thief", management="Adopt", adopt={"externalName": name}))
        await here.refused(ServiceInstance, "thief", "AlreadyExists")
        assert here.cloud.stacks[name].tags[TAG_UID] == owner.metadata.uid
