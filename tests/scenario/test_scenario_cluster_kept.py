"""A cluster whose object goes while it stays: servers, pools, authorities; and comes back."""

import base64

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool, Stack
from isthmus.runtime.kinds import SECRETS
from tests.cluster_world import Clusters, a_cluster, a_pool, clusters
from tests.outward import Outward
from tests.world import TEAM

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def secret(world: Clusters, name: str) -> dict[str, str] | None:
    found = await world.here.store.get(SECRETS, TEAM, name)
    if found is None:
        return None
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


async def left(world: Clusters) -> str:
    """Have a cluster with a pool, let go of it, and return the name of its native stack."""
    await world.here.apply(a_cluster(deletionPolicy="Retain"))
    await world.here.ready(Cluster, "c", within=300)
    name = (await world.here.ready(Stack, "cluster-c")).status.external_name
    await world.here.apply(a_pool())
    await world.here.ready(NodePool, "workers", within=300)
    await world.here.delete(Cluster, "c")
    await world.here.gone(Cluster, "c", within=600)
    return name


def adopting(name: str, stack: str) -> Cluster:
    return a_cluster(name, management="Adopt", adopt={"externalName": stack})


async def test_what_is_retained_stays_with_its_pools_and_secrets() -> None:
    async with clusters() as world:
        await left(world)
        await world.here.nothing_for(120)
        assert world.servers() == 3
        assert sorted((await world.nodes()).values()) == [True, True, True]
        assert "ca.crt" in (await secret(world, "c-cluster") or {})
        assert "kubeconfig" in (await secret(world, "c-kubeconfig") or {})
        message = await world.here.refused(NodePool, "workers", "DependencyNotReady")
        assert "there is no Cluster 'c'" in message


async def test_adopted_again_it_has_the_same_authority_and_the_same_servers() -> None:
    async with clusters() as world:
        stack = await left(world)
        before = await secret(world, "c-cluster")
        nodes = await world.workers()
        await world.here.apply(adopting("c", stack))
        again = await world.here.ready(Cluster, "c", within=600)
        assert await secret(world, "c-cluster") == before
        assert again.status.key_holders == ()
        pool = await world.here.ready(NodePool, "workers", within=600)
        await world.here.nothing_for(300)
        assert (pool.status.ready, await world.workers(), world.servers()) == (2, nodes, 3)
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=600)
        assert (world.servers(), await secret(world, "c-cluster")) == (0, None)
        assert await secret(world, "c-kubeconfig") is None


async def test_under_another_name_it_takes_its_authority_along() -> None:
    async with clusters() as world:
        stack = await left(world)
        before = await secret(world, "c-cluster")
        await world.here.apply(adopting("again", stack))
        await world.here.ready(Cluster, "again", within=600)
        assert await secret(world, "again-cluster") == before
        assert await secret(world, "c-cluster") is None, "the keys lie in one place"


async def test_a_cluster_that_is_there_never_gets_another_authority() -> None:
    async with clusters() as world:
        stack = await left(world)
        found = await world.here.store.get(SECRETS, TEAM, "c-cluster")
        assert found is not None
        await world.here.store.delete(SECRETS, TEAM, "c-cluster")
        await world.here.apply(adopting("c", stack))
        message = await world.here.refused(Cluster, "c", "DependencyNotReady")
        assert "Secret 'c-cluster'" in message, "the remedy"
        assert "spec.kubeconfigSecret" in message, "the other one"
        assert await secret(world, "c-cluster") is None
        meta = {key: found["metadata"][key] for key in ("name", "namespace", "annotations")}
        await world.here.store.create(SECRETS, found | {"metadata": meta})
        await world.here.ready(Cluster, "c", within=600)


async def test_authorities_that_somebody_deleted_before_are_left_all_the_same() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster(deletionPolicy="Retain"))
        first = await world.here.ready(Cluster, "c", within=300)
        stack = (await world.here.ready(Stack, "cluster-c")).status.external_name
        await world.here.store.delete(SECRETS, TEAM, "c-cluster")
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=600)
        assert await secret(world, "c-cluster") is None
        await world.here.apply(adopting("c", stack))
        again = await world.here.ready(Cluster, "c", within=600)
        assert again.status.ca_hash == first.status.ca_hash
        names = [s["metadata"]["name"] for s in (await world.here.store.list(SECRETS)).items]
        assert names == ["c-cluster", "c-kubeconfig"]


async def test_who_only_looks_makes_no_authority() -> None:
    async with clusters() as world:
        stack = await left(world)
        await world.here.apply(
            a_cluster("seen", management="Observe", adopt={"externalName": stack})
        )
        message = await world.here.refused(Cluster, "seen", "DependencyNotReady")
        assert "Secret 'seen-kubeconfig'" in message, "with it one may look inside"
        assert await secret(world, "seen-cluster") is None
        assert await secret(world, "seen-kubeconfig") is None
        await world.here.apply(a_cluster("c", management="Observe", adopt={"externalName": stack}))
        await world.here.ready(Cluster, "c", within=120)


async def test_another_cluster_of_that_name_does_not_get_what_was_left() -> None:
    async with clusters() as world:
        await left(world)
        before = await secret(world, "c-cluster")
        await world.here.apply(a_cluster())
        message = await world.here.refused(Cluster, "c", "AlreadyExists")
        assert "c-cluster" in message
        assert await secret(world, "c-cluster") == before


async def life(outward: Outward) -> None:
    async with clusters(outward=outward) as world:
        await world.here.apply(a_cluster(deletionPolicy="Retain"))
        first = await world.here.ready(Cluster, "c", within=3600)
        stack = (await world.here.ready(Stack, "cluster-c")).status.external_name
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=3600)
        await world.here.apply(adopting("again", stack))
        again = await world.here.ready(Cluster, "again", within=3600)
        assert again.status.ca_hash == first.status.ca_hash
        assert await secret(world, "c-cluster") is None
        await world.here.delete(Cluster, "again")
        await world.here.gone(Cluster, "again", within=3600)
        assert world.servers() == 0


async def test_each_call_about_its_secrets_fails_once() -> None:
    """Making, leaving and taking along, before and after the effect."""
    quiet = Outward()
    await life(quiet)
    calls = [n for n, name in enumerate(quiet.calls, 1) if name.endswith(" secrets")]
    writes = [n for n in calls if not quiet.calls[n - 1].startswith("get")]
    assert len(writes) >= 6
    for number in writes:
        for lost_answer in (False, True):
            await life(Outward(strike=number, lost_answer=lost_answer))


async def test_a_retained_pool_is_not_emptied() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        await world.here.apply(a_pool(deletionPolicy="Retain"))
        await world.here.ready(NodePool, "workers", within=300)
        nodes = await world.nodes()
        await world.here.delete(NodePool, "workers")
        await world.here.gone(NodePool, "workers", within=600)
        await world.here.nothing_for(60)
        assert (world.servers(), await world.nodes()) == (3, nodes)
        assert not any(n.unschedulable for n in await world.cluster.nodes())
        assert world.cluster.tokens == frozenset()


async def test_a_retained_pool_that_stays_leaves_no_server_behind() -> None:
    """What is retained is the pool's when it is deleted, not what it exchanges before."""
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        await world.here.apply(a_pool(deletionPolicy="Retain"))
        await world.here.ready(NodePool, "workers", within=300)
        for replicas in (2, 0):
            await world.here.apply(
                a_pool(image="debian-14", replicas=replicas, deletionPolicy="Retain")
            )
            await world.here.nothing_for(600)
            await world.here.ready(NodePool, "workers", within=1)
            assert world.servers() == 1 + replicas
