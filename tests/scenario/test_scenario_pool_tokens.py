"""A join token lives as long as its servers may take to join, and no longer."""

from datetime import timedelta
from typing import Any

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool
from isthmus.runtime.kinds import SECRETS
from tests.cluster_world import Clusters, a_cluster, a_pool, clusters
from tests.outward import Outward
from tests.world import TEAM

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]
METAL = {"joinSeconds": 2400}


async def begun(world: Clusters, **pool: Any) -> None:
    await world.here.apply(a_cluster())
    await world.here.ready(Cluster, "c", within=300)
    await world.here.apply(a_pool(**pool))


async def all_joined(world: Clusters, servers: int, *, after: timedelta) -> None:
    await world.here.nothing_for(after.total_seconds())
    pool = await world.here.ready(NodePool, "workers", within=0.1)
    assert world.machines.refused == []
    assert [member.index for member in pool.status.members] == list(range(servers))
    assert world.cluster.tokens == frozenset()


async def test_bare_metal_that_boots_for_long_joins() -> None:
    async with clusters() as world:
        world.machines.slow = timedelta(minutes=35)
        await begun(world, heal=METAL)
        await all_joined(world, 2, after=timedelta(minutes=36))


async def test_servers_that_their_cloud_makes_slowly_join() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        world.here.cloud.latency_seconds = 20 * 60
        world.machines.slow = timedelta(minutes=8)
        await world.here.apply(a_pool(heal={"joinSeconds": 600}))
        await all_joined(world, 2, after=timedelta(minutes=2 * 20 + 9))


async def test_who_comes_later_takes_nobody_his_token() -> None:
    async with clusters() as world:
        world.machines.slow = timedelta(minutes=35)
        await begun(world, heal=METAL)
        await world.here.nothing_for(25 * 60)
        await world.here.apply(a_pool(replicas=3, heal=METAL))
        await all_joined(world, 3, after=timedelta(minutes=36))


@pytest.mark.parametrize("heal", [{"joinSeconds": 0}, {"afterSeconds": 0}])
async def test_who_may_take_for_ever_has_a_day(heal: dict[str, int]) -> None:
    async with clusters() as world:
        world.machines.slow = timedelta(days=9)
        await begun(world, heal=heal)
        await world.here.nothing_for(600)
        (token,) = world.cluster.tokens
        pool = await world.here.get(NodePool, "workers")
        assert pool is not None
        assert pool.status.join_token == token
        ends = pool.status.join_token_expires_at
        assert ends is not None
        assert timedelta(hours=23) < ends - world.machines.clock.now() < timedelta(hours=24.25)


async def test_a_server_that_never_joins_leaves_no_lasting_token() -> None:
    async with clusters() as world:
        world.machines.slow = timedelta(days=9)
        await begun(world, replicas=1, heal={"joinSeconds": 300})
        seen: dict[str, timedelta] = {}
        for _ in range(30):
            await world.here.nothing_for(60)
            for token in world.cluster.tokens:
                seen[token] = seen.get(token, timedelta()) + timedelta(minutes=1)
        assert len(seen) > 1, "no token is extended for who has had his time"
        assert max(seen.values()) < timedelta(minutes=25)


async def test_nobody_is_given_a_token_whose_revocation_could_not_be_noted() -> None:
    """Its servers have joined, and the pool is given another size just as that is to be noted."""
    quiet = Outward()
    async with clusters(outward=quiet) as world:
        await begun(world)
        await world.here.ready(NodePool, "workers", within=300)
    revoked = quiet.calls.index("revoke_join_token")
    noted = quiet.calls.index("replace nodepools status", revoked) + 1
    struck = Outward(strike=noted)
    async with clusters(outward=struck) as world:
        await begun(world)
        while len(struck.calls) < noted:
            await world.here.nothing_for(0.01)
        await world.here.apply(a_pool(replicas=3))
        await all_joined(world, 3, after=timedelta(minutes=5))


async def test_a_token_whose_secret_somebody_deletes_goes_with_its_pool() -> None:
    async with clusters() as world:
        world.machines.slow = timedelta(days=9)
        await begun(world, replicas=1)
        await world.here.nothing_for(60)
        assert world.cluster.tokens
        await world.here.store.delete(SECRETS, TEAM, "workers-join")
        await world.here.delete(NodePool, "workers")
        await world.here.gone(NodePool, "workers", within=600)
        assert world.cluster.tokens == frozenset()
        assert await world.here.store.get(SECRETS, TEAM, "workers-join") is None


async def test_anothers_secret_of_that_name_keeps_no_pool_from_going() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        await world.here.secret("workers-join", token="theirs")
        await world.here.apply(a_pool())
        said = await world.here.refused(NodePool, "workers", "AlreadyExists")
        assert "'workers-join'" in said
        await world.here.delete(NodePool, "workers")
        await world.here.gone(NodePool, "workers")
        assert await world.here.store.get(SECRETS, TEAM, "workers-join") is not None
