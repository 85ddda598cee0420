"""The fake cluster behaves: time, lost machines, tokens, failures on demand."""

import asyncio
from datetime import timedelta

import pytest

from isthmus.drivers.fake.nodes import FakeCluster, FakeClusters
from isthmus.errors import Forbidden, Unavailable
from tests.world import LoopClock

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def a_cluster(**changes: timedelta) -> FakeCluster:
    return FakeCluster(LoopClock(), **changes)


async def test_a_node_takes_its_time() -> None:
    cluster = a_cluster(ready_after=timedelta(seconds=40))
    cluster.join("w1")
    (node,) = await cluster.nodes()
    assert not node.ready
    assert node.message
    await asyncio.sleep(40)
    assert (await cluster.nodes())[0].ready


async def test_pods_move_and_none_is_lost() -> None:
    cluster = a_cluster(grace=timedelta(seconds=30))
    cluster.join("w1")
    cluster.join("w2")
    cluster.run("web-1", app="web", controller="ReplicaSet/web")
    cluster.run("web-2", app="web", controller="ReplicaSet/web")
    cluster.run("log-1", app="log", node="w1", controller="DaemonSet/log")
    cluster.run_static("etcd-w1", "w1")
    await cluster.cordon("w1")
    for pod in await cluster.pods("w1"):
        if pod.in_the_way:
            assert (await cluster.evict(pod)).accepted
    await asyncio.sleep(30)
    assert [p.in_the_way for p in await cluster.pods("w1")] == [False, False]
    assert cluster.running("web") == 2
    await cluster.delete_node("w1")
    assert cluster.running("log") == 0


async def test_a_dead_node_confirms_no_end() -> None:
    cluster = a_cluster()
    cluster.join("w1")
    cluster.run("web-1", app="web", node="w1", controller="ReplicaSet/web")
    cluster.pull_power("w1")
    (pod,) = await cluster.pods("w1")
    assert not pod.ready
    await cluster.evict(pod)
    assert (await cluster.pods("w1"))[0].deleting
    await cluster.delete_node("w1")
    assert await cluster.pods("w1") == ()
    cluster.join("w2")
    assert await cluster.pods("w2")


async def test_only_a_living_token_lets_in() -> None:
    cluster = a_cluster()
    token = await cluster.issue_join_token(timedelta(minutes=30))
    cluster.join("w1", token=token.token)
    await asyncio.sleep(1801)
    with pytest.raises(Forbidden):
        cluster.join("w2", token=token.token)
    await cluster.issue_join_token(timedelta(minutes=30))
    assert token.id not in cluster.tokens


async def test_calls_fail_on_demand_and_strangers_do_not_answer() -> None:
    cluster, clusters = a_cluster(), FakeClusters(LoopClock())
    clusters.put("config", cluster)
    cluster.fail_next("cordon", Unavailable("no"))
    cluster.join("w1")
    with pytest.raises(Unavailable):
        await cluster.cordon("w1")
    async with clusters.open("config") as opened:
        await opened.cordon("w1")
    async with clusters.open("other") as opened:
        with pytest.raises(Unavailable):
            await opened.nodes()
