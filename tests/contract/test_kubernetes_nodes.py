"""What every ClusterNodes promises: the fake cluster, and a real Kubernetes API."""

from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pytest

from isthmus.core.nodes import ClusterNode, ClusterPod
from isthmus.drivers.fake.nodes import Budget, FakeCluster
from isthmus.errors import NotFound
from isthmus.ports import ClusterNodes
from isthmus.runtime.clock import SystemClock
from tests.polling import eventually

MINUTES = timedelta(minutes=30)


class Subject(Protocol):
    """A cluster, and what a cloud and its users do to it."""

    nodes: ClusterNodes

    async def add_node(self, name: str) -> None:
        """Have a machine become a ready node."""
        ...

    async def add_pod(self, name: str, node: str, *, app: str) -> None:
        """Run a pod that some controller wants."""
        ...

    async def add_budget(self, app: str, min_available: int) -> None:
        """Protect the pods of an app."""
        ...


class FakeSubject:
    def __init__(self) -> None:
        self.cluster = FakeCluster(SystemClock())
        self.nodes: ClusterNodes = self.cluster

    async def add_node(self, name: str) -> None:
        self.cluster.join(name)

    async def add_pod(self, name: str, node: str, *, app: str) -> None:
        self.cluster.run(name, app=app, node=node, controller=f"ReplicaSet/{app}")

    async def add_budget(self, app: str, min_available: int) -> None:
        self.cluster.budgets.append(Budget(name=app, app=app, min_available=min_available))


@pytest.fixture(params=["fake"])
def subject(request: pytest.FixtureRequest) -> Subject:
    del request
    return FakeSubject()


async def node_named(cluster: ClusterNodes, name: str) -> ClusterNode:
    return next(node for node in await cluster.nodes() if node.name == name)


async def pod_named(cluster: ClusterNodes, node: str, name: str) -> ClusterPod:
    return next(pod for pod in await cluster.pods(node) if pod.name == name)


async def test_a_node_is_described(subject: Subject) -> None:
    await subject.add_node("w2")
    await subject.add_node("w1")
    assert [node.name for node in await subject.nodes.nodes()] == ["w1", "w2"]
    node = await node_named(subject.nodes, "w1")
    assert node.ready, node.message
    assert node.uid
    assert node.provider_id
    assert node.version.startswith("v1.")
    assert dict(node.addresses)["InternalIP"]
    assert node.labels["kubernetes.io/hostname"] == "w1"
    assert not node.unschedulable
    assert not node.control_plane
    assert node.created_at.tzinfo is not None
    assert (await subject.nodes.version()).startswith("v1.")


async def test_cordon_and_uncordon_may_be_repeated(subject: Subject) -> None:
    await subject.add_node("w1")
    for _ in range(2):
        await subject.nodes.cordon("w1")
        assert (await node_named(subject.nodes, "w1")).unschedulable
    for _ in range(2):
        await subject.nodes.uncordon("w1")
        assert not (await node_named(subject.nodes, "w1")).unschedulable
    for change in (subject.nodes.cordon, subject.nodes.uncordon):
        with pytest.raises(NotFound, match="nowhere"):
            await change("nowhere")


async def test_an_evicted_pod_leaves_its_node(subject: Subject) -> None:
    await subject.add_node("w1")
    await subject.nodes.cordon("w1")
    await subject.add_pod("web-1", "w1", app="web")
    pod = await pod_named(subject.nodes, "w1", "web-1")
    assert pod.controller == "ReplicaSet/web"
    assert pod.in_the_way
    assert (await subject.nodes.evict(pod)).accepted
    await eventually(lambda: _left(subject.nodes, "w1", pod.uid))
    assert (await subject.nodes.evict(pod)).accepted
    assert await subject.nodes.pods("nowhere") == ()


async def test_another_pod_of_the_same_name_is_spared(subject: Subject) -> None:
    await subject.add_node("w1")
    await subject.add_pod("web-1", "w1", app="web")
    pod = await pod_named(subject.nodes, "w1", "web-1")
    former = replace(pod, uid="11111111-2222-3333-4444-555555555555")
    assert (await subject.nodes.evict(former)).accepted
    assert not (await pod_named(subject.nodes, "w1", "web-1")).deleting


async def test_a_budget_refuses_with_its_name(subject: Subject) -> None:
    await subject.add_node("w1")
    await subject.add_pod("web-1", "w1", app="web")
    await subject.add_budget("web", 1)
    pod = await pod_named(subject.nodes, "w1", "web-1")
    answer = await subject.nodes.evict(pod)
    assert not answer.accepted
    assert "web" in answer.message
    assert not (await pod_named(subject.nodes, "w1", "web-1")).deleting


async def test_a_node_is_forgotten_once(subject: Subject) -> None:
    await subject.add_node("w1")
    for _ in range(2):
        await subject.nodes.delete_node("w1")
    assert await subject.nodes.nodes() == ()


async def test_a_join_token_lives_until_it_is_revoked(subject: Subject) -> None:
    first = await subject.nodes.issue_join_token(MINUTES)
    second = await subject.nodes.issue_join_token(MINUTES)
    assert first.token != second.token
    assert first.token.startswith(f"{first.id}.")
    assert first.token not in repr(first)
    assert first.ca_hash.startswith("sha256:")
    assert first.expires_at.tzinfo is not None
    for _ in range(2):
        await subject.nodes.revoke_join_token(first.id)


async def _left(cluster: ClusterNodes, node: str, uid: str) -> bool:
    return all(pod.uid != uid for pod in await cluster.pods(node))
