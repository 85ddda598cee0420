"""Every outward call of a pool's life fails once in turn: it converges, and nothing is left.

The life: two nodes, three, one, another image, none; the calls are those to the store, to the cloud
and to the cluster's own API. Each fails before its effect or after it.
"""

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool
from isthmus.errors import Unavailable
from isthmus.runtime.kinds import SECRETS
from tests.cluster_world import Clusters, a_cluster, a_pool, clusters
from tests.outward import Outward
from tests.world import TEAM

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

HOUR = 60 * 60.0
PARTS = 4
"""Each takes seconds, and may run beside the others."""


async def settled(world: Clusters, replicas: int, **spec: object) -> NodePool:
    await world.here.apply(a_pool(replicas=replicas, **spec))
    found = await world.here.until(
        NodePool,
        "workers",
        lambda p: (
            p is not None
            and p.ready
            and (p.status.replicas, p.status.updated) == (replicas, replicas)
        ),
        within=HOUR,
    )
    assert found is not None
    return found


async def live(world: Clusters) -> None:
    await world.here.apply(a_cluster())
    await world.here.ready(Cluster, "c", within=HOUR)
    await settled(world, 2)
    for number in range(6):
        world.cluster.run(f"web-{number}", app="web", controller="ReplicaSet/web-1")
    await settled(world, 3)
    await settled(world, 1)
    assert (len(await world.workers()), world.servers()) == (1, 2)
    before = await world.workers()
    await settled(world, 1, image="debian-14")
    assert not await world.workers() & before
    assert world.cluster.running("web") == 6
    await world.here.delete(Cluster, "c")
    await world.here.gone(Cluster, "c", within=HOUR)
    assert world.here.cloud.stacks == {}
    assert await world.here.get(NodePool, "workers") is None
    for name in ("c-cluster", "c-kubeconfig", "workers-join"):
        assert await world.here.store.get(SECRETS, TEAM, name) is None
    assert not world.machines.refused


async def life(outward: Outward) -> None:
    async with clusters(outward=outward) as world:
        world.machines.boot_seconds = 4
        await live(world)


async def test_the_row_holds_every_kind_of_call() -> None:
    quiet = Outward()
    await life(quiet)
    assert {"apply", "delete", "issue_join_token", "revoke_join_token"} <= set(quiet.calls)
    assert {"cordon", "evict", "delete_node", "pods", "version"} <= set(quiet.calls)
    assert quiet.calls.count("issue_join_token") == 3


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("lost_answer", [False, True], ids=["refused", "answer lost"])
async def test_each_kind_of_call_fails_once(part: int, lost_answer: bool) -> None:
    """The first call of each name is refused; the answer of a later one is lost."""
    quiet = Outward()
    await life(quiet)
    for name in sorted(set(quiet.calls))[part::PARTS]:
        numbers = [n for n, called in enumerate(quiet.calls, 1) if called == name]
        number = numbers[len(numbers) // 2] if lost_answer else numbers[0]
        struck = Outward(
            strike=number, lost_answer=lost_answer, error=lambda: Unavailable("struck")
        )
        try:
            await life(struck)
        except AssertionError as exc:
            raise AssertionError(f"at call {number}, {name}: {exc}") from exc
