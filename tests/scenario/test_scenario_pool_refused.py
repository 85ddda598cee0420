"""A pool that its cloud refuses can be given another size or image, or up: nothing is stuck."""

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool
from isthmus.errors import CapacityExhausted, InvalidSpec, IsthmusError, Retryable
from tests.cluster_world import Clusters, a_cluster, a_pool, clusters

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]
NO_ROOM = CapacityExhausted("Quota instances: 9 more are needed, and 0 of 3 are left.")
NO_IMAGE = InvalidSpec("There is no image 'wrong'.")


async def refused(world: Clusters, error: IsthmusError, **pool: object) -> None:
    """Ask for a pool that the cloud does not give, however often it is asked."""
    await world.here.apply(a_cluster())
    await world.here.ready(Cluster, "c", within=300)
    world.here.cloud.fail_next("apply", *_often(error))
    await world.here.apply(a_pool(**pool))
    said = await world.here.refused(NodePool, "workers", error.reason, within=300)
    assert said == error.message


def _often(error: IsthmusError) -> list[IsthmusError]:
    """What may pass by itself is asked for again and again, anything else once."""
    return [error] * (8 if isinstance(error, Retryable) else 1)


async def settled(world: Clusters, replicas: int, **pool: object) -> None:
    await world.here.apply(a_pool(replicas=replicas, **pool))
    await world.here.ready(NodePool, "workers", within=3600)
    assert len(await world.workers()) == replicas
    assert world.servers() == replicas + 1


async def test_less_is_asked_for_than_the_quota_refused() -> None:
    async with clusters() as world:
        await refused(world, NO_ROOM, replicas=9)
        await settled(world, 1)


async def test_a_pool_that_could_not_grow_is_as_it_was() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        await settled(world, 2)
        before = await world.workers()
        world.here.cloud.fail_next("apply", *_often(NO_ROOM))
        await world.here.apply(a_pool(replicas=9))
        await world.here.refused(NodePool, "workers", NO_ROOM.reason, within=300)
        await settled(world, 2)
        assert await world.workers() == before


async def test_another_image_takes_the_place_of_one_that_is_not_there() -> None:
    async with clusters() as world:
        await refused(world, NO_IMAGE, replicas=2, image="wrong")
        await settled(world, 2, image="right")


async def test_a_roll_that_the_cloud_refuses_can_be_taken_back() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        await settled(world, 2)
        before = await world.workers()
        world.here.cloud.fail_next("apply", NO_IMAGE)
        await world.here.apply(a_pool(replicas=2, image="wrong"))
        await world.here.refused(NodePool, "workers", NO_IMAGE.reason, within=300)
        await settled(world, 2)
        assert await world.workers() == before


async def test_a_refused_pool_can_be_deleted_while_the_cluster_stays() -> None:
    async with clusters() as world:
        await refused(world, NO_ROOM, replicas=9)
        await world.here.delete(NodePool, "workers")
        await world.here.gone(NodePool, "workers", within=600)
        assert world.servers() == 1
