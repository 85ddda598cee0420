"""The life of a cluster and its pools, as a user sees it: made, grown, emptied, healed, rolled."""

import base64
from collections.abc import AsyncIterator

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool, Stack
from isthmus.controllers.cluster import EXPIRES
from isthmus.drivers.fake.node_records import Budget
from isthmus.drivers.fake.nodes import FakeCluster
from isthmus.errors import StackFailed
from isthmus.runtime.kinds import SECRETS, api_of
from tests.cluster_world import Clusters, a_cluster, a_pool, clusters
from tests.world import TEAM

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def secret(world: Clusters, name: str) -> dict[str, str]:
    found = await world.here.store.get(SECRETS, TEAM, name)
    assert found is not None
    return {key: base64.b64decode(value).decode() for key, value in found["data"].items()}


def key_holders(world: Clusters) -> set[str]:
    """Logical ids of the servers that hold the key."""
    return {
        logical_id
        for stack in world.here.cloud.stacks.values()
        for logical_id, one in stack.resources.items()
        if one.labels.get("key")
    }


async def up(world: Clusters, **pool: object) -> None:
    await world.here.apply(a_cluster())
    await world.here.ready(Cluster, "c", within=300)
    await world.here.apply(a_pool(**pool))
    await world.here.ready(NodePool, "workers", within=300)


async def test_a_cluster_is_made_and_its_key_withdrawn() -> None:
    async with clusters() as world:
        await up(world)
        cluster = await world.here.ready(Cluster, "c")
        assert cluster.status.version == "v1.36.0"
        assert cluster.status.endpoint.startswith("https://")
        assert cluster.status.ca_hash.startswith("sha256:")
        assert "server" in (await secret(world, "c-kubeconfig"))["kubeconfig"]
        stack = await world.here.ready(Stack, "cluster-c")
        assert stack.spec.parameters["Payload"].secret_key_ref is not None
        assert key_holders(world) == set()
        assert cluster.status.key_holders == ()
        assert len(await world.workers()) == 2
        assert all((await world.nodes()).values())
        pool = await world.here.ready(NodePool, "workers")
        assert (pool.status.replicas, pool.status.ready, pool.status.updated) == (2, 2, 2)
        await world.here.nothing_for(60)
        assert world.cluster.tokens == frozenset()


def start_app(world: Clusters, pods: int) -> None:
    for number in range(pods):
        world.cluster.run(f"web-{number}", app="web", controller="ReplicaSet/web-1")


async def scaled(
    world: Clusters, replicas: int, *, within: float = 600, **spec: object
) -> NodePool:
    await world.here.apply(a_pool(replicas=replicas, **spec))
    pool = await world.here.until(
        NodePool,
        "workers",
        lambda p: p is not None and p.ready and p.spec.replicas == replicas,
        within=within,
    )
    assert pool is not None
    return pool


async def test_scale_up_and_down_moves_every_pod() -> None:
    async with clusters() as world:
        await up(world)
        start_app(world, 6)
        pool = await scaled(world, 4)
        assert pool.status.replicas == 4
        assert len(await world.workers()) == 4
        world.cluster.budgets.append(Budget(name="web", app="web", min_available=5))
        pool = await scaled(world, 1)
        assert (pool.status.replicas, world.servers()) == (1, 2)
        assert len(await world.workers()) == 1
        assert world.cluster.running("web") == 6
        assert not pool.status.join_token


async def test_a_budget_that_never_allows_it_holds_until_the_time_is_up() -> None:
    async with clusters() as world:
        await up(world, rollout={"drainTimeoutSeconds": 300})
        start_app(world, 6)
        world.cluster.budgets.append(Budget(name="strict", app="web", min_available=6))
        began = world.machines.clock.now()
        await world.here.apply(a_pool(replicas=1, rollout={"drainTimeoutSeconds": 300}))
        held = await world.here.until(
            NodePool,
            "workers",
            lambda p: p is not None and any("strict" in m.message for m in p.status.members),
        )
        ready = held.condition("Ready") if held is not None else None
        assert ready is not None
        assert "strict" in ready.message
        await scaled(world, 1, rollout={"drainTimeoutSeconds": 300})
        assert (world.machines.clock.now() - began).total_seconds() > 300


async def test_who_changes_his_mind_keeps_his_nodes() -> None:
    async with clusters() as world:
        await up(world)
        start_app(world, 6)
        world.cluster.budgets.append(Budget(name="strict", app="web", min_available=6))
        before = await world.workers()
        await world.here.apply(a_pool(replicas=1))
        await world.here.until(
            NodePool,
            "workers",
            lambda p: p is not None and any(m.phase == "Draining" for m in p.status.members),
        )
        await scaled(world, 2)
        assert await world.workers() == before
        assert not any(node.unschedulable for node in await FakeCluster.nodes(world.cluster))


async def test_a_node_whose_power_was_pulled_is_replaced() -> None:
    async with clusters() as world:
        await up(world)
        start_app(world, 4)
        lost = sorted(await world.workers())[0]
        world.cluster.pull_power(lost)
        await world.here.until(
            NodePool, "workers", lambda p: p is not None and p.status.ready == 1, within=120
        )
        await world.here.until(
            NodePool,
            "workers",
            lambda p: p is not None and p.ready and p.status.ready == 2,
            within=900,
        )
        assert lost not in await world.workers()
        assert (len(await world.workers()), world.servers()) == (2, 3)
        assert world.cluster.running("web") == 4


async def test_a_server_that_never_joins_is_replaced() -> None:
    async with clusters() as world:
        world.machines.broken.add("res-000009")
        await up(world, heal={"afterSeconds": 60})
        assert len(await world.workers()) == 2


async def test_another_image_makes_other_nodes_and_never_fewer() -> None:
    async with clusters() as world:
        await up(world)
        start_app(world, 6)
        before = await world.workers()
        await world.here.apply(a_pool(image="debian-14"))
        least, most = 2, 2
        for _ in range(1200):
            nodes = await FakeCluster.nodes(world.cluster)
            usable = [n for n in nodes if n.ready and not n.unschedulable and not n.control_plane]
            least, most = min(least, len(usable)), max(most, world.servers() - 1)
            pool = await world.here.get(NodePool, "workers")
            if pool is not None and pool.ready and pool.status.updated == 2:
                break
            await world.here.nothing_for(0.5)
        assert (least, most) == (2, 3)
        after = await world.workers()
        assert len(after) == 2
        assert not after & before
        assert world.cluster.running("web") == 6
        stacks = [one async for one in listed(world)]
        assert len(stacks) == 2


async def listed(world: Clusters) -> AsyncIterator[str]:
    for item in (await world.here.store.list(api_of(Stack))).items:
        yield item["metadata"]["name"]


async def test_what_can_change_in_place_does() -> None:
    async with clusters() as world:
        await up(world)
        before = await world.workers()
        await world.here.apply(a_pool(parameters={"note": "hello"}))
        await world.here.ready(NodePool, "workers")
        await world.here.nothing_for(60)
        assert await world.workers() == before
        notes = {
            one.actual.get("note")
            for stack in world.here.cloud.stacks.values()
            for one in stack.resources.values()
        }
        assert "hello" in notes


async def test_scale_to_nothing_and_back() -> None:
    async with clusters() as world:
        await up(world)
        await scaled(world, 0)
        assert world.servers() == 1
        assert await world.workers() == set()
        await scaled(world, 1)
        assert len(await world.workers()) == 1


async def test_deleting_a_cluster_leaves_nothing() -> None:
    async with clusters() as world:
        await up(world)
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=600)
        assert world.here.cloud.stacks == {}
        assert await world.here.get(NodePool, "workers") is None
        for name in ("c-cluster", "c-kubeconfig", "workers-join"):
            assert await world.here.store.get(SECRETS, TEAM, name) is None


async def test_deleting_a_pool_moves_its_pods_first() -> None:
    async with clusters() as world:
        await up(world)
        await world.here.apply(a_pool("others", replicas=1))
        await world.here.ready(NodePool, "others", within=300)
        start_app(world, 4)
        await world.here.delete(NodePool, "workers")
        await world.here.gone(NodePool, "workers", within=600)
        assert len(await world.workers()) == 1
        assert world.cluster.running("web") == 4


async def test_a_cluster_that_does_not_answer_is_deleted_all_the_same() -> None:
    async with clusters() as world:
        await up(world)
        world.cluster.reachable = False
        await world.here.delete(NodePool, "workers")
        await world.here.gone(NodePool, "workers", within=300)
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=300)
        assert world.here.cloud.stacks == {}


async def test_the_kubeconfig_is_renewed_and_rotated() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        first = await world.here.ready(Cluster, "c", within=300)
        one = await secret(world, "c-kubeconfig")
        await world.here.annotate(Cluster, "c", rotate="1")
        await world.here.until(
            Cluster, "c", lambda c: c is not None and c.ready and c.status.rotation == "1"
        )
        two = await secret(world, "c-kubeconfig")
        assert one != two
        soon = {"metadata": {"annotations": {EXPIRES: "2026-01-05T00:00:00+00:00"}}}
        await world.here.store.patch(SECRETS, TEAM, "c-kubeconfig", soon)
        await world.here.nothing_for(60)
        three = await secret(world, "c-kubeconfig")
        assert three not in (one, two)
        assert first.status.kubeconfig_expires_at is not None


async def test_an_attached_cluster_is_looked_at_only() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        config = await secret(world, "c-kubeconfig")
        await world.here.secret("mine", config=config["kubeconfig"])
        attached = a_cluster(
            "other", offering="", plan="", kubeconfig_secret={"name": "mine", "key": "config"}
        )
        await world.here.apply(attached)
        seen = await world.here.ready(Cluster, "other")
        assert (seen.status.nodes.total, seen.status.nodes.ready) == (1, 1)
        assert seen.status.endpoint.startswith("https://")
        await world.here.apply(a_pool("theirs", cluster="other"))
        said = await world.here.refused(NodePool, "theirs", "InvalidSpec")
        assert said.startswith("spec.offering: Cluster 'other' is attached")
        await world.here.delete(NodePool, "theirs")
        await world.here.gone(NodePool, "theirs")
        await world.here.delete(Cluster, "other")
        await world.here.gone(Cluster, "other")
        assert len(world.here.cloud.stacks) == 1
        assert await world.here.store.get(SECRETS, TEAM, "mine") is not None


async def test_no_control_plane_is_replaced_without_approval() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        (stack,) = world.here.cloud.stacks.values()
        before = stack.resources["Control-0"].physical_id
        await world.here.apply(a_cluster(parameters={"diskImage": "debian-14"}))
        message = await world.here.refused(Cluster, "c", "ApprovalRequired")
        assert "Control-0" in message
        assert "kubectl annotate cluster c isthmus.dev/approve-replacement=" in message
        assert stack.resources["Control-0"].physical_id == before


async def test_a_pool_of_no_cluster_says_so() -> None:
    async with clusters() as world:
        await world.here.apply(a_pool())
        message = await world.here.refused(NodePool, "workers", "DependencyNotReady")
        assert "there is no Cluster 'c'" in message


async def test_what_the_engine_refused_is_shown_and_can_be_undone() -> None:
    async with clusters() as world:
        await up(world)
        stack = next(s for name, s in world.here.cloud.stacks.items() if "workers" in name)
        assert stack
        world.here.cloud.fail_next("apply", StackFailed("Nodes-2: no valid host was found."))
        await world.here.apply(a_pool(replicas=3))
        message = await world.here.refused(NodePool, "workers", "StackFailed")
        assert "no valid host" in message
        await scaled(world, 2)
        assert len(await world.workers()) == 2


async def test_three_bearers_are_waited_for_before_the_key_is_withdrawn() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster(parameters={"controlPlaneReplicas": 3}))
        cluster = await world.here.ready(Cluster, "c", within=300)
        assert (cluster.status.nodes.total, cluster.status.nodes.ready) == (3, 3)
        lost = sorted(await world.nodes())[1]
        world.cluster.pull_power(lost)
        message = await world.here.refused(Cluster, "c", "Waiting")
        assert message.startswith("2 of 3 nodes of the control plane are ready.")
        assert f"{lost} is not ready: Kubelet stopped posting node status." in message


async def test_a_plan_shows_what_would_become_of_a_pool() -> None:
    async with clusters() as world:
        await up(world)
        pool = await world.here.ready(NodePool, "workers")
        same = pool.spec.model_copy(update={"replicas": 3})
        grown = world.here.planning.render(pool.model_copy(update={"spec": same}))
        assert grown.former is not None
        assert (grown.former_values["count"], grown.values["count"]) == (2, 3)
        other = pool.spec.model_copy(update={"image": "debian-14"})
        anew = world.here.planning.render(pool.model_copy(update={"spec": other}))
        assert anew.former is None
        assert anew.values["image"] == "debian-14"


async def test_a_plan_comes_before_the_secrets_that_are_made_meanwhile() -> None:
    async with clusters() as world:
        await up(world)
        fresh = a_pool("more", image="debian-14")
        identity = fresh.metadata.model_copy(update={"uid": "0f-uid"})
        planned = world.here.planning.render(fresh.model_copy(update={"metadata": identity}))
        changes = await world.here.planning.preview(planned.stack)
        assert [change.verb for change in changes.changes] == ["create", "create"]
        assert changes.notes == ("Secret 'more-join' is made meanwhile",)


@pytest.mark.parametrize("spec", [{"management": "Observe"}, {"adopt": {"externalName": "x"}}])
async def test_a_pool_can_only_be_managed(spec: dict[str, object]) -> None:
    async with clusters() as world:
        await up(world)
        await world.here.apply(a_pool("seen", **spec))
        said = await world.here.refused(NodePool, "seen", "InvalidSpec")
        assert "spec.management" in said
        await world.here.delete(NodePool, "seen")
        await world.here.gone(NodePool, "seen")
