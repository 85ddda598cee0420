"""What comes after a finalizer that was removed by hand, or a watch that missed something."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from isthmus.api.meta import Json, Resource
from isthmus.api.v1alpha1 import (
    Cluster,
    NodePool,
    Provider,
    ServiceBinding,
    ServiceInstance,
    Stack,
)
from isthmus.errors import Unavailable
from isthmus.ports import Api, WatchEvent
from isthmus.runtime.kinds import SECRETS, api_of
from isthmus.runtime.memory import MemoryStore
from tests.cluster_world import a_cluster, a_pool, clusters
from tests.world import TEAM, LoopClock, Scene, a_binding, an_instance, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]
HELD = ("c-cluster", "c-kubeconfig", "workers-join")


async def force(here: Scene, kind: type[Resource[Any, Any]], name: str) -> None:
    await here.delete(kind, name)
    await here.store.patch(api_of(kind), TEAM, name, {"metadata": {"finalizers": []}})
    await here.gone(kind, name)


async def secrets(here: Scene) -> list[str]:
    found = await here.store.list(SECRETS)
    return [item["metadata"]["name"] for item in found.items]


async def test_held_secrets_go_after_an_owner_that_went_by_force() -> None:
    async with clusters() as world:
        here = world.here
        await here.apply(a_cluster())
        await here.ready(Cluster, "c", within=300)
        await here.apply(a_pool())
        await here.ready(NodePool, "workers", within=300)
        await here.nothing_for(300)
        assert await secrets(here) == [*HELD], "their owners are there"
        await force(here, NodePool, "workers")
        await force(here, Cluster, "c")
        assert await secrets(here) == [*HELD]
        await here.nothing_for(70)
        assert await secrets(here) == []


async def test_a_held_secret_that_is_nobodys_any_more_may_be_deleted() -> None:
    async with clusters() as world:
        here = world.here
        await here.apply(a_cluster())
        await here.ready(Cluster, "c", within=300)
        found = await here.store.get(SECRETS, TEAM, "c-cluster")
        assert found is not None
        meta = found["metadata"] | {"name": "copy", "ownerReferences": []}
        await here.store.create(SECRETS, found | {"metadata": meta})
        await here.store.delete(SECRETS, TEAM, "copy")
        await here.nothing_for(70)
        assert await secrets(here) == ["c-cluster", "c-kubeconfig"]


async def test_a_provider_stays_until_what_was_granted_on_it_is_revoked() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.apply(a_binding())
        await here.ready(ServiceBinding, "app")
        await force(here, ServiceInstance, "db")
        await force(here, Stack, "db")
        await here.delete(Provider, "here")
        said = await here.refused(Provider, "here", "InUse")
        assert said == "ServiceBindings have credentials of it: team-a/app. Delete them first."
        await here.delete(ServiceBinding, "app")
        await here.gone(ServiceBinding, "app", within=5)
        await here.gone(Provider, "here", within=5)
        assert here.cloud.users == {}


async def test_nothing_new_is_made_on_a_provider_that_goes() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        await here.delete(Provider, "here")
        assert "team-a/db" in await here.refused(Provider, "here", "InUse")
        await here.apply(an_instance("late", provider="here"))
        said = await here.refused(ServiceInstance, "late", "DependencyNotReady")
        assert "Provider 'here' is being deleted" in said
        await here.apply(an_instance(parameters={"size": 2}))
        await here.ready(ServiceInstance, "db")
        await here.delete(ServiceInstance, "db")
        await here.gone(Provider, "here", within=10)
        assert here.cloud.stacks == {}


async def test_who_retains_a_stack_that_goes_already_is_not_overruled() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        here.cloud.fail_next("delete", *[Unavailable("struck")] * 9)
        await here.delete(ServiceInstance, "db")
        await here.refused(Stack, "db", "Unavailable")
        await here.annotate(Stack, "db", paused="true")
        await here.store.patch(api_of(Stack), TEAM, "db", {"spec": {"deletionPolicy": "Retain"}})
        await here.nothing_for(5)
        await here.annotate(Stack, "db", paused=None)
        await here.gone(ServiceInstance, "db")
        assert len(here.cloud.stacks) == 1


class Deaf(MemoryStore):
    """A store whose watch of instances may miss everything."""

    deaf = False

    async def watch(self, api: Api, since: str) -> AsyncIterator[WatchEvent]:
        async for event in super().watch(api, since):
            if not self.deaf or api != api_of(ServiceInstance):
                yield event


async def test_a_stack_whose_owner_the_watch_missed_is_not_destroyed() -> None:
    store = Deaf(LoopClock())
    async with scene(store=store) as here:
        store.deaf = True
        await here.apply(an_instance())
        instance = await here.get(ServiceInstance, "db")
        assert instance is not None
        template: Json = {"resources": {"Network": {"type": "Fake::Network"}}}
        owner = instance.owner_reference().model_dump(by_alias=True)
        stack = {
            "metadata": {"name": "db", "namespace": TEAM, "ownerReferences": [owner]},
            "spec": {"provider": "here", "template": template},
        }
        await here.apply(Stack.model_validate(stack | {"status": {}}))
        await here.ready(Stack, "db")
        await here.delete(Stack, "db")
        said = await here.refused(Stack, "db", "InUse")
        assert "It belongs to ServiceInstance 'db'" in said
        assert len(here.cloud.stacks) == 1


@pytest.mark.parametrize("remedy", ["bring it back", "name another"])
async def test_who_lost_the_key_to_an_account_brings_it_back_or_names_another(remedy: str) -> None:
    async with scene() as here:
        await here.secret("login", user="u")
        await here.apply(
            Provider.model_validate(
                {
                    "metadata": {"name": "own"},
                    "spec": {
                        "driver": "fake",
                        "credentialsSecret": {"namespace": TEAM, "name": "login"},
                    },
                }
            )
        )
        await here.apply(an_instance(provider="own"))
        await here.apply(a_binding())
        await here.ready(ServiceBinding, "app")
        await here.store.delete(SECRETS, TEAM, "login")
        await here.delete(ServiceInstance, "db")
        await here.delete(ServiceBinding, "app")
        said = await here.refused(ServiceBinding, "app", "DependencyNotReady")
        assert "there is no Secret 'login' in namespace 'team-a'; create it, or have" in said
        await here.nothing_for(3600)
        if remedy == "bring it back":
            await here.secret("login", user="u")
        else:
            await here.namespace("safe")
            await here.secret("other", "safe", user="u")
            other = {"spec": {"credentialsSecret": {"namespace": "safe", "name": "other"}}}
            await here.store.patch(api_of(Provider), "", "own", other)
        await here.gone(ServiceBinding, "app", within=10)
        await here.gone(ServiceInstance, "db", within=10)
        assert (here.cloud.stacks, here.cloud.users) == ({}, {})
