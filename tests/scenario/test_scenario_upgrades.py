"""The control plane goes to another version node by node, and its pools follow."""

from datetime import timedelta

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool
from isthmus.drivers.fake.nodes import FakeCluster
from isthmus.errors import Unavailable
from tests.cluster_world import Clusters, a_cluster, a_pool, clusters
from tests.outward import Outward

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

THREE = {"controlPlaneReplicas": 3}


async def up(world: Clusters) -> None:
    await world.here.apply(a_cluster(parameters=THREE))
    await world.here.ready(Cluster, "c", within=300)


async def versions(world: Clusters, *, control: bool = True) -> list[str]:
    """Of the nodes of the control plane, or of all others, by name."""
    nodes = await FakeCluster.nodes(world.cluster)
    return [node.version for node in nodes if node.control_plane == control]


def upgraded(cluster: Cluster | None) -> bool:
    found = cluster.condition("Upgraded") if cluster is not None else None
    return cluster is not None and cluster.ready and found is not None and found.status == "True"


async def at(world: Clusters, version: str, *, within: float = 600) -> Cluster:
    found = await world.here.until(
        Cluster, "c", lambda c: upgraded(c) and c is not None and c.status.version == version,
        within=within,
    )  # fmt: skip
    assert found is not None
    return found


async def test_one_after_the_other_and_then_the_pool() -> None:
    async with clusters() as world:
        await up(world)
        await world.here.apply(a_pool())
        await world.here.ready(NodePool, "workers", within=300)
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.37.1"))
        seen: list[list[str]] = []

        def look(cluster: Cluster | None) -> bool:
            now = [
                node.version
                for name, node in sorted(world.cluster._nodes.items())  # pyright: ignore[reportPrivateUsage]
                if "control" in name
            ]
            if not seen or seen[-1] != now:
                seen.append(now)
            assert cluster is not None
            if now != ["v1.37.1"] * 3:
                assert cluster.status.version == "v1.36.0"
            return upgraded(cluster) and cluster.status.version == "v1.37.1"

        await world.here.until(Cluster, "c", look, within=600)
        assert seen == [["v1.37.1"] * n + ["v1.36.0"] * (3 - n) for n in range(4)]

        def followed(pool: NodePool | None) -> bool:
            return pool is not None and pool.ready and pool.status.updated == 2

        await world.here.until(NodePool, "workers", followed, within=900)
        await world.here.nothing_for(60)
        await world.here.until(NodePool, "workers", followed, within=900)
        assert set(await versions(world, control=False)) <= {"v1.37.1", "1.37.1"}


async def test_a_failure_is_shown_and_gone_when_its_cause_is() -> None:
    async with clusters() as world:
        await up(world)
        world.cluster.upgrade_failure = "the mirror does not answer"
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.37.1"))
        message = await world.here.refused(Cluster, "c", "UpgradeFailed", within=300)
        assert "0 of 3 nodes of the control plane run v1.37.1" in message
        assert "control-0: the mirror does not answer" in message
        assert (await versions(world))[1:] == ["v1.36.0"] * 2
        world.cluster.upgrade_failure = ""
        await at(world, "v1.37.1")


async def test_there_is_no_way_back_once_a_node_is_ahead() -> None:
    async with clusters() as world:
        await up(world)
        world.cluster.upgrade_takes = timedelta(seconds=60)
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.37.1"))
        await world.here.until(Cluster, "c", lambda _: world.cluster.server_version == "v1.37.1")
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.36.0"))
        message = await world.here.refused(Cluster, "c", "InvalidSpec", within=300)
        assert "cannot go back to 1.36.0" in message
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.37.1"))
        await at(world, "v1.37.1")


async def test_the_second_step_waits_for_the_first() -> None:
    async with clusters() as world:
        await up(world)
        world.cluster.upgrade_takes = timedelta(seconds=60)
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.37.1"))
        await world.here.until(Cluster, "c", lambda _: world.cluster.server_version == "v1.37.1")
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.38.0"))
        message = await world.here.refused(Cluster, "c", "InvalidSpec", within=300)
        assert "one minor at a time" in message
        assert world.cluster.wish is not None
        assert world.cluster.wish.version == "1.37.1"


async def test_nobody_is_asked_while_a_node_is_missing() -> None:
    async with clusters() as world:
        await up(world)
        world.cluster.pull_power(sorted(world.cluster.joined)[2])
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.37.1"))
        await world.here.nothing_for(120)
        assert world.cluster.wish is None
        world.cluster.power_on(sorted(world.cluster.joined)[2])
        await at(world, "v1.37.1")


async def test_a_control_plane_that_cannot_upgrade_itself_says_so_and_stays_ready() -> None:
    async with clusters() as world:
        await up(world)
        for node in world.cluster._nodes.values():  # pyright: ignore[reportPrivateUsage]
            node.annotations.clear()
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.37.1"))
        found = await world.here.until(
            Cluster,
            "c",
            lambda c: c is not None and c.ready and "itself" in str(c.condition("Upgraded")),
            within=300,
        )
        assert found is not None
        assert world.cluster.wish is None


async def life(outward: Outward) -> None:
    async with clusters(outward=outward) as world:
        await up(world)
        await world.here.apply(a_cluster(parameters=THREE, kubernetes_version="1.37.1"))
        await at(world, "v1.37.1", within=3600)


async def test_each_kind_of_call_fails_once() -> None:
    quiet = Outward()
    await life(quiet)
    first = quiet.calls.index("ask_control_plane")
    later = dict.fromkeys(quiet.calls[first:])
    for name in later:
        number = quiet.calls.index(name, first) + 1
        for lost_answer in (False, True):
            await life(
                Outward(strike=number, lost_answer=lost_answer, error=lambda: Unavailable("struck"))
            )
