"""However an eviction is refused, a node's time limit holds: it goes once the time is up."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool
from isthmus.drivers.fake.node_records import Budget
from isthmus.drivers.fake.nodes import FakeCluster
from isthmus.errors import Throttled
from tests.cluster_world import Clusters, a_cluster, a_pool, clusters

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]
LIMIT = 120
ROLLOUT = {"drainTimeoutSeconds": LIMIT}


def two_budgets(cluster: FakeCluster) -> str:
    """A pod with two budgets cannot be evicted at all."""
    cluster.budgets += [Budget(name=name, app="web", min_available=0) for name in ("a", "b")]
    return "more than one PodDisruptionBudget"


def a_webhook(cluster: FakeCluster) -> str:
    """Admission may deny evictions: the API answers 403."""
    cluster.denied["web"] = 'admission webhook "guard.test" denied the request'
    return "guard.test"


def a_slow_webhook(cluster: FakeCluster) -> str:
    """Its answers come late: what one look waits for is bounded."""
    cluster.webhook_takes = timedelta(seconds=35)
    return a_webhook(cluster)


def busy(cluster: FakeCluster) -> str:
    """An API under load answers 429, and no budget is meant."""
    cluster.fail_next("evict", *[Throttled("Too many requests.")] * 100_000)
    return "Too many requests."


async def less(world: Clusters) -> None:
    await world.here.apply(a_pool(replicas=1, rollout=ROLLOUT))


async def roll(world: Clusters) -> None:
    await world.here.apply(a_pool(image="debian-14", rollout=ROLLOUT))


async def delete(world: Clusters) -> None:
    await world.here.delete(NodePool, "workers")


Step = Callable[[Clusters], Awaitable[None]]


@pytest.mark.parametrize("refuse", [two_budgets, a_webhook, a_slow_webhook, busy])
@pytest.mark.parametrize("step", [less, roll, delete])
async def test_the_time_limit_holds(refuse: Callable[[FakeCluster], str], step: Step) -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        await world.here.apply(a_pool(rollout=ROLLOUT))
        await world.here.ready(NodePool, "workers", within=300)
        before = await world.workers()
        for number in range(18):
            world.cluster.run(f"web-{number}", app="web", controller="ReplicaSet/web-1")
        words = refuse(world.cluster)
        began = world.machines.clock.now()
        await step(world)
        held = await world.here.until(
            NodePool,
            "workers",
            lambda p: p is not None and any(words in m.message for m in p.status.members),
        )
        ready = held.condition("Ready") if held is not None else None
        assert ready is not None
        assert (ready.reason, words in ready.message) == ("Waiting", True)
        if step is delete:
            await world.here.gone(NodePool, "workers", within=1200)
            assert await world.workers() == set()
        else:
            await world.here.ready(NodePool, "workers", within=1200)
        took = (world.machines.clock.now() - began).total_seconds()
        assert took >= LIMIT
        if step is roll:
            assert not before & await world.workers()


async def test_a_pod_that_is_refused_holds_up_no_other() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        await world.here.apply(a_pool(replicas=1, rollout=ROLLOUT))
        await world.here.ready(NodePool, "workers", within=300)
        (node,) = await world.workers()
        world.cluster.run("guarded-1", app="guarded", node=node, controller="ReplicaSet/guarded-1")
        world.cluster.run("web-1", app="web", node=node, controller="ReplicaSet/web-1")
        world.cluster.denied["guarded"] = "not now"
        await world.here.apply(a_pool(replicas=0, rollout=ROLLOUT))
        await world.here.nothing_for(60)
        left = [pod.name for pod in await world.cluster.pods(node) if pod.in_the_way]
        assert left == ["guarded-1"]
