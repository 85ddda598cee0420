"""What every ClusterNodes promises: the fake cluster, and a real Kubernetes API."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest

from isthmus.api.meta import Json
from isthmus.core.nodes import ClusterNode, ClusterPod, ControlPlaneWish
from isthmus.drivers.fake.node_records import Budget
from isthmus.drivers.fake.nodes import FakeCluster
from isthmus.drivers.kubernetes.kube import Kube, Ref
from isthmus.drivers.kubernetes.nodes import reach
from isthmus.errors import NotFound
from isthmus.ports import Api, ClusterNodes
from isthmus.runtime.kube import path_of
from tests.kubernetes_home import inhabited
from tests.kubernetes_plane import MARKS
from tests.polling import eventually

NODES = Api("v1", "nodes", namespaced=False)
PODS = Api("v1", "pods")
SECRETS = Api("v1", "secrets")
REPLICA_SETS = Api("apps/v1", "replicasets")
BUDGETS = Api("policy/v1", "poddisruptionbudgets")
WISH = Ref("v1", "ConfigMap", "kube-system", "isthmus-control-plane")
SECONDS = 60.0

MINUTES = timedelta(minutes=30)


class Ahead:
    """The time, or later: what is to come to its end need not be waited for."""

    def __init__(self) -> None:
        self.by = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.by


class Subject(Protocol):
    """A cluster, and what a cloud and its users do to it."""

    nodes: ClusterNodes
    clock: Ahead

    async def add_node(self, name: str) -> None:
        """Have a machine become a ready node."""
        ...

    async def add_pod(self, name: str, node: str, *, app: str) -> None:
        """Run a pod that some controller wants."""
        ...

    async def add_budget(self, app: str, min_available: int, name: str = "") -> None:
        """Protect the pods of an app."""
        ...

    async def tokens(self) -> frozenset[str]:
        """Return the ids of the join tokens that there are."""
        ...

    async def wish(self) -> ControlPlaneWish | None:
        """Return what the control plane is asked for."""
        ...


class FakeSubject:
    def __init__(self) -> None:
        self.clock = Ahead()
        self.cluster = FakeCluster(self.clock)
        self.nodes: ClusterNodes = self.cluster

    async def add_node(self, name: str) -> None:
        self.cluster.join(name)

    async def add_pod(self, name: str, node: str, *, app: str) -> None:
        self.cluster.run(name, app=app, node=node, controller=f"ReplicaSet/{app}")

    async def add_budget(self, app: str, min_available: int, name: str = "") -> None:
        self.cluster.budgets.append(Budget(name=name or app, app=app, min_available=min_available))

    async def tokens(self) -> frozenset[str]:
        return self.cluster.tokens

    async def wish(self) -> ControlPlaneWish | None:
        return self.cluster.wish


class RealSubject:
    """A real control plane; its machines are played: nobody runs the pods."""

    def __init__(self, kube: Kube, nodes: ClusterNodes, namespace: str, clock: Ahead) -> None:
        self.nodes = nodes
        self.clock = clock
        self._kube = kube
        self._namespace = namespace

    async def add_node(self, name: str) -> None:
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {"providerID": f"played:///{name}"},
        }
        await self._kube.send("POST", path_of(NODES), body=node)
        ready = {"type": "Ready", "status": "True", "reason": "Played"}
        status = {
            "conditions": [ready],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
            "nodeInfo": {"kubeletVersion": "v1.36.0"},
        }
        ref = Ref("v1", "Node", "", name)
        await self._kube.merge(ref, {"status": status}, "status")

    async def add_pod(self, name: str, node: str, *, app: str) -> None:
        labels = {"app": app}
        spec = {"nodeName": node, "containers": [{"name": "c", "image": "registry.test/c"}]}
        pod = {"metadata": {"name": name, "labels": labels}, "spec": spec}
        await self._kube.send("POST", path_of(PODS, self._namespace), body=_typed("v1", "Pod", pod))
        ready = {"type": "Ready", "status": "True"}
        ref = Ref("v1", "Pod", self._namespace, name)
        status = {"phase": "Running", "conditions": [ready]}
        await self._kube.merge(ref, {"status": status}, "status")
        template = {"metadata": {"labels": labels}, "spec": {"containers": spec["containers"]}}
        wanted = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        owner = _typed("apps/v1", "ReplicaSet", {"metadata": {"name": app}, "spec": wanted})
        await self._kube.send("POST", path_of(REPLICA_SETS, self._namespace), body=owner)
        await eventually(lambda: self._owned(ref), within=SECONDS)

    async def add_budget(self, app: str, min_available: int, name: str = "") -> None:
        spec = {"minAvailable": min_available, "selector": {"matchLabels": {"app": app}}}
        name = name or app
        budget = {"metadata": {"name": name}, "spec": spec}
        path = path_of(BUDGETS, self._namespace)
        await self._kube.send("POST", path, body=_typed("policy/v1", "PodDisruptionBudget", budget))
        ref = Ref("policy/v1", "PodDisruptionBudget", self._namespace, name)
        await eventually(lambda: self._counted(ref), within=SECONDS)

    async def tokens(self) -> frozenset[str]:
        listed = await self._kube.list(SECRETS, "kube-system")
        names = [str(secret["metadata"]["name"]) for secret in listed]
        prefix = "bootstrap-token-"
        return frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix))

    async def wish(self) -> ControlPlaneWish | None:
        found = await self._kube.get(WISH)
        if found is None:
            return None
        data: dict[str, str] = found["data"]
        return ControlPlaneWish(
            version=data["version"], mirror=data["mirror"], mirror_sha256=data["mirrorSha256"]
        )

    async def _owned(self, ref: Ref) -> bool:
        pod = await self._kube.get(ref)
        return pod is not None and bool(pod["metadata"].get("ownerReferences"))

    async def _counted(self, ref: Ref) -> bool:
        budget = await self._kube.get(ref)
        return budget is not None and budget.get("status", {}).get("currentHealthy") == 1

    async def stop_pods(self) -> None:
        """What kubelets do: confirm the end of pods that were asked to go."""
        while True:
            for pod in await self._kube.list(PODS, self._namespace):
                if pod["metadata"].get("deletionTimestamp"):
                    await self._end(pod)
            await asyncio.sleep(0.1)

    async def _end(self, pod: Json) -> None:
        path = path_of(PODS, self._namespace, pod["metadata"]["name"])
        with suppress(NotFound):
            now = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
            await self._kube.send("DELETE", path, body=now)

    async def tidy(self) -> None:
        await self._kube.send("DELETE", path_of(REPLICA_SETS, self._namespace))
        for pod in await self._kube.list(PODS, self._namespace):
            await self._end(pod)
        for node in await self.nodes.nodes():
            await self.nodes.delete_node(node.name)
        for token in await self.tokens():
            await self.nodes.revoke_join_token(token)
        with suppress(NotFound):
            await self._kube.send("DELETE", await self._kube.path(WISH))


def _typed(api_version: str, kind: str, obj: Json) -> Json:
    return {"apiVersion": api_version, "kind": kind} | obj


@asynccontextmanager
async def real_subject(config: str) -> AsyncGenerator[RealSubject]:
    namespace, clock = f"t{uuid.uuid4().hex[:8]}", Ahead()
    account = Ref("v1", "ServiceAccount", namespace, "default")
    async with inhabited(config, namespace) as kube, reach(config, clock) as nodes:
        await eventually(lambda: kube.get(account), within=SECONDS)
        subject = RealSubject(kube, nodes, namespace, clock)
        kubelets = asyncio.create_task(subject.stop_pods())
        try:
            yield subject
        finally:
            kubelets.cancel()
            await asyncio.wait([kubelets])
            await subject.tidy()


@pytest.fixture(params=["fake", pytest.param("real", marks=MARKS)])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    if request.param == "fake":
        yield FakeSubject()
        return
    async with real_subject(request.getfixturevalue("kubernetes_plane")) as real:
        yield real


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
    await eventually(lambda: _left(subject.nodes, "w1", pod.uid), within=SECONDS)
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
    assert {first.id, second.id} <= await subject.tokens()
    for _ in range(2):
        await subject.nodes.revoke_join_token(first.id)
    assert first.id not in await subject.tokens()
    assert second.id in await subject.tokens()


async def test_a_join_token_can_live_longer(subject: Subject) -> None:
    token = await subject.nodes.issue_join_token(MINUTES)
    ends = await subject.nodes.extend_join_token(token.id, 3 * MINUTES)
    assert ends.tzinfo is not None
    assert ends - token.expires_at > MINUTES
    subject.clock.by = 2 * MINUTES
    await subject.nodes.issue_join_token(MINUTES)  # It sweeps what has expired.
    assert token.id in await subject.tokens()
    await subject.nodes.revoke_join_token(token.id)
    with pytest.raises(NotFound):
        await subject.nodes.extend_join_token(token.id, MINUTES)


async def test_expired_tokens_are_swept_when_a_new_one_is_made(subject: Subject) -> None:
    old = await subject.nodes.issue_join_token(timedelta())
    new = await subject.nodes.issue_join_token(MINUTES)
    tokens = await subject.tokens()
    assert old.id not in tokens
    assert new.id in tokens


async def test_a_pod_with_two_budgets_stays_and_says_so(subject: Subject) -> None:
    await subject.add_node("w1")
    await subject.add_pod("web-1", "w1", app="web")
    await subject.add_budget("web", 0, name="a")
    await subject.add_budget("web", 0, name="b")
    answer = await subject.nodes.evict(await pod_named(subject.nodes, "w1", "web-1"))
    assert not answer.accepted
    assert "more than one PodDisruptionBudget" in answer.message


async def _left(cluster: ClusterNodes, node: str, uid: str) -> bool:
    return all(pod.uid != uid for pod in await cluster.pods(node))


async def test_the_control_plane_is_asked_for_the_newest_wish(subject: Subject) -> None:
    first = ControlPlaneWish(version="1.36.1", mirror="http://mirror.test", mirror_sha256="ab")
    for wish in (first, first, ControlPlaneWish(version="1.36.3")):
        await subject.nodes.ask_control_plane(wish)
        assert await subject.wish() == wish
