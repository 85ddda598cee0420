"""Whatever is deleted first: everything goes, and nothing is left in any cloud.

The controller of namespaces deletes what is in one in any order, Stacks and Secrets among it, and
nothing new is taken meanwhile.
"""

import asyncio
import base64
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from isthmus.api.crd import crd
from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import (
    Cluster,
    Offering,
    OfferingRevision,
    Operation,
    Provider,
    ServiceBinding,
    ServiceInstance,
    Stack,
)
from isthmus.apiserver import ApiServer, ServerConfig
from isthmus.controllers import CLAIMS
from isthmus.errors import Unavailable
from isthmus.ports import Api, Store
from isthmus.runtime.kinds import NAMESPACES, SECRETS, api_of
from isthmus.runtime.kube import KubeStore
from isthmus.runtime.transport import AsgiTransport
from tests.cluster_world import a_cluster, clusters
from tests.leaving_world import HOUR, team
from tests.world import OFFERING, TEAM, a_binding, an_instance, an_offering, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]
ORDERS = range(8)


async def test_a_stack_stays_as_long_as_its_instance_is_bound() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.apply(a_binding())
        await here.ready(ServiceBinding, "app")
        await here.delete(Stack, "db")
        said = await here.refused(Stack, "db", "InUse")
        assert "ServiceInstance 'db'; delete that" in said
        assert "ServiceBindings use it: app." in said
        await here.delete(ServiceInstance, "db")
        await here.nothing_for(5)
        said = await here.refused(Stack, "db", "InUse")
        assert said.endswith("still needs it. ServiceBindings use it: app. Delete them first.")
        assert (len(here.cloud.stacks), len(here.cloud.users)) == (1, 1)
        await here.delete(ServiceBinding, "app")
        await here.gone(ServiceInstance, "db", within=5)
        assert (here.cloud.stacks, here.cloud.users) == ({}, {})


async def test_who_deletes_a_stack_past_its_owner_gets_it_back_with_all_that_is_in_it() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        before = {name: stack.id for name, stack in here.cloud.stacks.items()}
        await here.delete(Stack, "db")
        said = await here.refused(ServiceInstance, "db", "DependencyNotReady")
        assert "spec.deletionPolicy of the Stack to Retain" in said, "the remedy"
        patch = {"spec": {"deletionPolicy": "Retain"}}
        await here.store.patch(api_of(Stack), TEAM, "db", patch)
        await here.ready(ServiceInstance, "db")
        assert {name: stack.id for name, stack in here.cloud.stacks.items()} == before
        assert not (await here.ready(Stack, "db")).deleting
        await here.delete(ServiceInstance, "db")
        await here.gone(ServiceInstance, "db")
        assert here.cloud.stacks == {}


async def test_a_credential_is_revoked_though_all_else_went_by_force() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.apply(a_binding())
        await here.ready(ServiceBinding, "app")
        for kind in (ServiceInstance, Stack):
            await here.delete(kind, "db")
            free: Json = {"metadata": {"finalizers": []}}
            await here.store.patch(api_of(kind), TEAM, "db", free)
            await here.gone(kind, "db")
        assert len(here.cloud.users) == 1
        here.cloud.fail_next("revoke", Unavailable("struck"))
        await here.delete(ServiceBinding, "app")
        await here.refused(ServiceBinding, "app", "Unavailable")
        await here.gone(ServiceBinding, "app")
        assert here.cloud.users == {}


async def test_a_binding_follows_the_instance_that_it_has_a_credential_of() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.apply(a_binding())
        await here.ready(ServiceBinding, "app")
        await here.apply(a_binding(instance="other"))
        await here.delete(ServiceInstance, "db")
        assert "app" in await here.refused(ServiceInstance, "db", "InUse")
        await here.delete(ServiceBinding, "app")
        await here.gone(ServiceInstance, "db", within=5)
        assert here.cloud.users == {}


async def test_who_lost_the_key_to_an_attached_cluster_names_another() -> None:
    both = {"fake": OFFERING["stacks"]["fake"], "kubernetes": OFFERING["stacks"]["fake"]}
    async with clusters() as world:
        here = world.here
        await here.apply(an_offering("database", stacks=both))
        await here.apply(a_cluster())
        await here.ready(Cluster, "c", within=HOUR)
        found = await here.store.get(SECRETS, TEAM, "c-kubeconfig")
        assert found is not None
        key = base64.b64decode(found["data"]["kubeconfig"]).decode()
        await here.secret("mine", kubeconfig=key)
        mine = {"name": "mine", "key": "kubeconfig"}
        await here.apply(a_cluster("other", offering="", plan="", kubeconfig_secret=mine))
        await here.ready(Cluster, "other")
        await here.apply(an_instance(provider="team-a.other"))
        await here.apply(a_binding())
        await here.ready(ServiceBinding, "app")
        await here.store.delete(SECRETS, TEAM, "mine")
        for kind, name in ((Cluster, "other"), (ServiceInstance, "db"), (ServiceBinding, "app")):
            await here.delete(kind, name)
        said = await here.refused(ServiceBinding, "app", "DependencyNotReady")
        assert "there is no Secret 'mine' in namespace 'team-a'" in said
        assert "have Provider 'team-a.other' name another" in said, "the remedy"
        await here.namespace("safe")
        await here.secret("key", "safe", kubeconfig=key)
        other = {"spec": {"credentialsSecret": {"namespace": "safe", "name": "key"}}}
        await here.store.patch(api_of(Provider), "", "team-a.other", other)
        await here.gone(Cluster, "other", within=HOUR)
        assert (here.cloud.users, len(here.cloud.stacks)) == ({}, 1), "the cluster's own"


@pytest.mark.parametrize("order", ORDERS)
async def test_a_namespace_is_emptied_in_any_order(order: int) -> None:
    chance = random.Random(order)
    async with team() as world:
        await world.furnish()
        await world.begin_rotation()
        await asyncio.sleep(chance.choice([0, 0.5, 2]))
        await world.close()
        things = await world.content()
        chance.shuffle(things)
        world.outward.strike = len(world.outward.calls) + chance.randint(1, 150)
        world.outward.lost_answer = chance.choice([True, False])
        for api, name in things:
            await world.store.delete(api, TEAM, name)
            await asyncio.sleep(chance.choice([0, 0, 0.1, 3, 30]))
        await world.empty(within=HOUR)
        assert world.leaked() == []
        assert await world.clusters.here.get(Provider, "team-a.c") is None


@asynccontextmanager
async def embedded(folder: Path) -> AsyncGenerator[Store]:
    """The embedded API with all kinds."""
    server = await ApiServer.open(ServerConfig(data_dir=folder))
    token = server.issue_token("tester", ["system:masters"])
    store = KubeStore(AsgiTransport(server.app, token=token))
    others = (Offering, OfferingRevision, Operation, Provider, ServiceBinding, Stack)
    definitions = Api("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
    for kind in (*CLAIMS, *others):
        await store.create(definitions, crd(kind))
    try:
        yield store
    finally:
        await server.close()


@pytest.mark.parametrize("order", range(4))
async def test_the_embedded_api_empties_a_namespace(tmp_path: Path, order: int) -> None:
    """Some things are deleted by themselves before, and may be made again until it begins."""
    chance = random.Random(order)
    async with embedded(tmp_path) as store, team(store) as world:
        await world.furnish()
        await world.begin_rotation()
        # Who removes a storage from a cluster that stays knows what is in it.
        things = [t for t in await world.content() if t[0].plural != "storagebackends"]
        for api, name in chance.sample(things, chance.randint(1, len(things))):
            await store.delete(api, TEAM, name)
            await asyncio.sleep(chance.choice([0, 0, 0.1, 3]))
        await store.delete(NAMESPACES, "", TEAM)
        await world.empty(within=HOUR)
        assert world.leaked() == []
        assert await world.clusters.here.get(Provider, "team-a.c") is None
