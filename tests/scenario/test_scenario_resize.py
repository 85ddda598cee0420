"""Another flavor for three control planes: one after the other, and none while one is missing."""

import asyncio

import pytest

from isthmus.api.v1alpha1 import Cluster, Stack
from tests.cluster_world import Clusters, a_cluster, clusters

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]
OLD, NEW = "m1", "m2"


def three(flavor: str, **parameters: object) -> Cluster:
    return a_cluster(parameters={"controlPlaneReplicas": 3, "flavor": flavor} | parameters)


def flavors(world: Clusters) -> str:
    (stack,) = world.here.cloud.stacks.values()
    return " ".join(stack.resources[f"Control-{n}"].actual["flavor"] for n in range(3))


async def made(world: Clusters) -> None:
    await world.here.apply(three(OLD))
    await world.here.ready(Cluster, "c", within=300)


async def watched(world: Clusters, end: str, *, within: int) -> list[tuple[str, int]]:
    """What the flavors were, one after the other, and for how many seconds."""
    seen: list[tuple[str, int]] = []
    for _ in range(within):
        now = flavors(world)
        before, seconds = seen[-1] if seen else ("", 0)
        seen[len(seen) - (now == before) :] = [(now, seconds + 1 if now == before else 1)]
        if now == end:
            return seen
        await asyncio.sleep(1)
    raise AssertionError(seen)


async def test_one_control_plane_is_resized_after_the_other() -> None:
    async with clusters() as world:
        await made(world)
        await world.here.apply(three(NEW))
        seen = await watched(world, "m2 m2 m2", within=1200)
        assert [what for what, _ in seen] == ["m1 m1 m1", "m2 m1 m1", "m2 m2 m1", "m2 m2 m2"]
        assert all(seconds >= 120 for _, seconds in seen[1:-1]), seen
        await world.here.ready(Cluster, "c", within=300)


async def test_none_is_resized_while_one_is_missing() -> None:
    async with clusters() as world:
        await made(world)
        await world.here.nothing_for(180)
        await world.here.apply(three(NEW))
        await watched(world, "m2 m1 m1", within=300)
        world.cluster.pull_power("c-control-0")
        await world.here.nothing_for(1800)
        assert flavors(world) == "m2 m1 m1"
        cluster = await world.here.get(Cluster, "c")
        ready = cluster.condition("Ready") if cluster is not None else None
        assert ready is not None
        assert "'m2': 1 of 3 have it; c-control-0 is not ready" in ready.message
        world.cluster.power_on("c-control-0")
        await watched(world, "m2 m2 m2", within=1200)


async def test_who_changes_his_mind_goes_back_the_same_way() -> None:
    async with clusters() as world:
        await made(world)
        await world.here.apply(three(NEW))
        await watched(world, "m2 m2 m1", within=1200)
        await world.here.apply(three(OLD))
        seen = await watched(world, "m1 m1 m1", within=1200)
        assert [what for what, _ in seen] == ["m2 m2 m1", "m1 m2 m1", "m1 m1 m1"]


async def test_another_edit_does_not_hurry_it() -> None:
    async with clusters() as world:
        await made(world)
        await world.here.apply(three(NEW))
        await watched(world, "m2 m1 m1", within=600)
        await world.here.apply(three(NEW, kubernetesVersion="1.36.1"))
        await world.here.nothing_for(60)
        assert flavors(world) == "m2 m1 m1"


async def test_one_alone_is_resized_at_once() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        await world.here.apply(a_cluster(parameters={"flavor": NEW}))
        await world.here.until(
            Stack, "cluster-c", lambda s: s is not None and s.metadata.generation > 1, within=10
        )
        (stack,) = world.here.cloud.stacks.values()
        await world.here.ready(Cluster, "c", within=60)
        assert stack.resources["Control-0"].actual["flavor"] == NEW


async def test_who_gives_each_server_its_own_flavor_keeps_it() -> None:
    async with clusters() as world:
        await world.here.apply(three(OLD, controlFlavors=[NEW, NEW, OLD]))
        await world.here.ready(Cluster, "c", within=300)
        for _ in range(600):
            await asyncio.sleep(1)
            assert flavors(world) == "m2 m2 m1"
        await world.here.ready(Cluster, "c", within=1)
