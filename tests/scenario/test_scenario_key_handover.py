"""A cluster's key on its way to its servers: past the stack, in time, and never left behind."""

import base64
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from isthmus.api.v1alpha1 import Cluster, Phase, Stack
from isthmus.errors import StateForbids
from isthmus.runtime.kinds import SECRETS
from tests.cluster_world import BLUEPRINT, Clusters, a_cluster, clusters
from tests.outward import Outward
from tests.world import TEAM, an_offering

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def waiting_blueprint() -> dict:
    """A blueprint whose stack is complete long after its servers need the key."""
    blueprint = copy.deepcopy(BLUEPRINT)
    resources = blueprint["stacks"]["fake"]["template"]["resources"]
    resources["Joined"] = {"type": "Fake::Wait", "seconds": 90}
    return blueprint


@asynccontextmanager
async def waiting_clusters(outward: Outward | None = None) -> AsyncIterator[Clusters]:
    async with clusters(outward=outward) as world:
        await world.here.apply(an_offering("kubernetes", **waiting_blueprint()))
        yield world


def holders(world: Clusters) -> set[str]:
    """The ids of the servers that hold the key, as the cloud sees them."""
    return {
        one.physical_id
        for stack in world.here.cloud.stacks.values()
        for one in stack.resources.values()
        if one.labels.get("key")
    }


async def test_the_key_comes_while_the_stack_waits_for_its_servers() -> None:
    async with waiting_clusters() as world:
        await world.here.apply(a_cluster(parameters={"controlPlaneReplicas": 3}))
        await world.here.until(Cluster, "c", lambda _: world.cluster.joined, within=80)
        stack = await world.here.get(Stack, "cluster-c")
        assert stack is not None
        assert stack.status.phase is Phase.WORKING
        noted = await world.here.get(Cluster, "c")
        assert noted is not None
        assert len(holders(world)) == 3
        assert set(noted.status.key_holders) == holders(world)
        cluster = await world.here.ready(Cluster, "c", within=300)
        assert holders(world) == set()
        assert cluster.status.key_holders == ()


async def test_the_stack_never_sees_the_key() -> None:
    async with waiting_clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.until(Cluster, "c", lambda _: holders(world))
        secret = await world.here.store.get(SECRETS, TEAM, "c-cluster")
        stack = await world.here.get(Stack, "cluster-c")
        assert secret is not None
        assert stack is not None
        key = base64.b64decode(secret["data"]["bootstrapKey"]).decode()
        assert key not in stack.model_dump_json()
        assert {
            p.secret_key_ref.key for p in stack.spec.parameters.values() if p.secret_key_ref
        } == {"bootstrapPayload"}
        cluster = await world.here.get(Cluster, "c")
        assert cluster is not None
        assert key not in cluster.model_dump_json()


async def test_what_a_change_of_the_stack_takes_away_is_given_again() -> None:
    async with waiting_clusters() as world:
        world.machines.boot_seconds = 70
        await world.here.apply(a_cluster())
        await world.here.until(Cluster, "c", lambda _: holders(world))
        for stack in world.here.cloud.stacks.values():
            for one in stack.resources.values():
                one.labels = {}
        await world.here.ready(Cluster, "c", within=300)
        assert holders(world) == set()


async def test_a_server_that_cannot_take_it_yet_is_asked_again() -> None:
    async with waiting_clusters() as world:
        world.here.cloud.fail_next("start", *[StateForbids("it is building")] * 3)
        await world.here.apply(a_cluster())
        found = await world.here.until(
            Cluster,
            "c",
            lambda c: c is not None and "it is building" in str(c.condition("Ready")),
        )
        assert found is not None
        await world.here.ready(Cluster, "c", within=300)
        assert holders(world) == set()


async def test_a_retained_cluster_keeps_no_key() -> None:
    async with waiting_clusters() as world:
        await world.here.apply(a_cluster(deletionPolicy="Retain"))
        await world.here.until(Cluster, "c", lambda _: holders(world))
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=300)
        assert len(world.here.cloud.stacks) == 1
        assert holders(world) == set()


async def life(outward: Outward) -> None:
    async with waiting_clusters(outward) as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=3600)
        assert holders(world) == set()
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=3600)


async def test_each_call_around_it_fails_once() -> None:
    """Giving, withdrawing and noting, before and after the effect."""
    quiet = Outward()
    await life(quiet)
    assert quiet.calls.count("start") >= 2
    calls = list(enumerate(quiet.calls, 1))
    starts = [n for n, name in calls if name == "start"]
    notes = [n for n, name in calls if name == "replace clusters status"]
    for number in (*starts, *notes[:5]):
        for lost_answer in (False, True):
            await life(Outward(strike=number, lost_answer=lost_answer))
