"""A Kubernetes cluster in memory whose nodes and pods behave.

Machines ``join`` and become ready after a time; a control plane upgrades itself, one node after the
other; pods with a controller are made anew on another
node after they are evicted; budgets refuse; a node's power can be pulled; calls fail on demand.
Time passes whenever somebody looks, as in ``FakeCloud``.
"""

import asyncio
import itertools
import secrets
from collections import Counter, deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from isthmus.core.nodes import (
    UPGRADE_FAILED,
    UPGRADES,
    ClusterNode,
    ClusterPod,
    ControlPlaneWish,
    Eviction,
    JoinToken,
)
from isthmus.drivers.fake.node_records import Budget, FakeNode, FakePod, FakeToken
from isthmus.errors import Forbidden, IsthmusError, NotFound, Unavailable
from isthmus.ports import Clock

_CA_HASH = "sha256:" + "0" * 64
_TOO_MANY_BUDGETS = (
    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not "
    "support."
)
"""What Kubernetes says."""


@dataclass(slots=True)
class FakeCluster:
    """One cluster. Implements ``isthmus.ports.ClusterNodes``, and what a test does to it.

    Args:
        clock: The time.
        ready_after: How long a node takes from joining to being ready.
        grace: How long an evicted pod takes to end.
        server_version: What the API server calls itself.
        upgrade_takes: How long one node of the control plane takes to upgrade.
        upgrade_failure: Why no upgrade succeeds.
    """

    clock: Clock
    ready_after: timedelta = timedelta()
    grace: timedelta = timedelta()
    server_version: str = "v1.36.0"
    upgrade_takes: timedelta = timedelta(seconds=10)
    upgrade_failure: str = ""
    wish: ControlPlaneWish | None = None
    reachable: bool = True
    budgets: list[Budget] = field(default_factory=list[Budget])
    denied: dict[str, str] = field(default_factory=dict[str, str])
    """What an admission webhook says to the eviction of an app's pods."""
    webhook_takes: timedelta = timedelta()
    calls: Counter[str] = field(default_factory=Counter[str])
    _nodes: dict[str, FakeNode] = field(default_factory=dict[str, FakeNode])
    _pods: dict[str, FakePod] = field(default_factory=dict[str, FakePod])
    _tokens: dict[str, FakeToken] = field(default_factory=dict[str, FakeToken])
    _failures: dict[str, deque[IsthmusError]] = field(
        default_factory=dict[str, deque[IsthmusError]]
    )
    _ids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # What a test, or a played machine, does to the cluster.

    def fail_next(self, call: str, *errors: IsthmusError) -> None:
        """Have the next calls of a name fail, one with each error."""
        self._failures.setdefault(call, deque()).extend(errors)

    def join(
        self,
        name: str,
        *,
        token: str = "",
        provider_id: str = "",
        labels: Mapping[str, str] | None = None,
        version: str = "",
    ) -> None:
        """Have a machine become a node; a token, where one is given, must be valid."""
        now = self.clock.now()
        if token:
            known = self._tokens.get(token.partition(".")[0])
            if known is None or known.token != token or known.expires_at <= now:
                raise Forbidden("The join token is not valid, or not any more.")
        number = next(self._ids)
        self._nodes[name] = FakeNode(
            name=name,
            uid=f"node-{number:06d}",
            joined=now,
            ready_at=now + self.ready_after,
            provider_id=provider_id or f"fake:///{name}",
            version=version or self.server_version,
            labels={"kubernetes.io/hostname": name} | dict(labels or {}),
            address=f"10.0.{number // 250}.{number % 250 + 1}",
        )
        if _bears(self._nodes[name]):
            self._nodes[name].annotations[UPGRADES] = "in-place"

    def run(self, name: str, *, app: str, node: str = "", controller: str = "") -> None:
        """Start a pod; without a node one is chosen as soon as there is one."""
        self._add(FakePod("default", name, self._uid(), app, controller, node))

    def run_static(self, name: str, node: str) -> None:
        """Start a pod that the node's kubelet runs from a file."""
        self._add(
            FakePod("kube-system", name, self._uid(), name, f"Node/{node}", node, static=True)
        )

    def pull_power(self, node: str, why: str = "Kubelet stopped posting node status.") -> None:
        """Have a node fail behind everybody's back."""
        self._nodes[node].failure = why

    def power_on(self, node: str) -> None:
        """Have it come back."""
        self._nodes[node].failure = ""
        self._nodes[node].ready_at = self.clock.now() + self.ready_after

    def upgrade(self, node: str, version: str) -> None:
        """Have its kubelet run another version."""
        self._nodes[node].version = version

    def running(self, app: str) -> int:
        """Count the pods of an app that run and stay."""
        self._pass()
        return sum(1 for pod in self._pods.values() if pod.app == app and self._ready(pod))

    @property
    def joined(self) -> frozenset[str]:
        """The names of all nodes."""
        return frozenset(self._nodes)

    @property
    def tokens(self) -> frozenset[str]:
        """The ids of all join tokens."""
        return frozenset(self._tokens)

    # ClusterNodes.

    async def version(self) -> str:
        """See ``ClusterNodes``."""
        self._called("version")
        return self.server_version

    async def nodes(self) -> tuple[ClusterNode, ...]:
        """See ``ClusterNodes``."""
        self._called("nodes")
        return tuple(self._node(self._nodes[name]) for name in sorted(self._nodes))

    async def pods(self, node: str) -> tuple[ClusterPod, ...]:
        """See ``ClusterNodes``."""
        self._called("pods")
        return tuple(self._pod(pod) for pod in self._pods.values() if pod.node == node)

    async def cordon(self, node: str) -> None:
        """See ``ClusterNodes``."""
        self._called("cordon")
        self._known(node).unschedulable = True

    async def uncordon(self, node: str) -> None:
        """See ``ClusterNodes``."""
        self._called("uncordon")
        self._known(node).unschedulable = False

    async def evict(self, pod: ClusterPod) -> Eviction:
        """See ``ClusterNodes``."""
        self._called("evict")
        there = self._pods.get(pod.uid)
        if there is None or there.gone_at is not None:
            return Eviction(accepted=True)
        if there.app in self.denied:
            await asyncio.sleep(self.webhook_takes.total_seconds())
            raise Forbidden(self.denied[there.app])
        of_it = [b for b in self.budgets if (b.namespace, b.app) == (there.namespace, there.app)]
        if len(of_it) > 1:
            return Eviction(accepted=False, message=_TOO_MANY_BUDGETS)
        for budget in of_it:
            healthy = self.running(there.app)
            if self._ready(there) and healthy - 1 < budget.min_available:
                return Eviction(
                    accepted=False,
                    message=f"The disruption budget {budget.name} needs {budget.min_available} "
                    f"healthy pods and has {healthy} currently",
                )
        there.gone_at = self.clock.now() + self.grace
        self._pass()
        return Eviction(accepted=True)

    async def delete_node(self, node: str) -> None:
        """See ``ClusterNodes``."""
        self._called("delete_node")
        if self._nodes.pop(node, None) is None:
            return
        for pod in [pod for pod in self._pods.values() if pod.node == node]:
            self._end(pod)
        self._pass()

    async def issue_join_token(self, ttl: timedelta) -> JoinToken:
        """See ``ClusterNodes``."""
        self._called("issue_join_token")
        now = self.clock.now()
        for expired in [key for key, known in self._tokens.items() if known.expires_at <= now]:
            del self._tokens[expired]
        token_id = f"{next(self._ids):06d}"
        token = f"{token_id}.{secrets.token_hex(8)}"
        self._tokens[token_id] = FakeToken(token, now + ttl)
        return JoinToken(id=token_id, token=token, ca_hash=_CA_HASH, expires_at=now + ttl)

    async def extend_join_token(self, token_id: str, ttl: timedelta) -> datetime:
        """See ``ClusterNodes``."""
        self._called("extend_join_token")
        known = self._own_token(token_id)
        if known is None or known.expires_at <= self.clock.now():  # The cluster has removed it.
            raise NotFound(f"There is no join token {token_id}.")
        known.expires_at = self.clock.now() + ttl
        return known.expires_at

    async def revoke_join_token(self, token_id: str) -> None:
        """See ``ClusterNodes``."""
        self._called("revoke_join_token")
        self._own_token(token_id)
        self._tokens.pop(token_id, None)

    async def ask_control_plane(self, wish: ControlPlaneWish) -> None:
        """See ``ClusterNodes``."""
        self._called("ask_control_plane")
        self.wish = wish
        self._pass()

    # How it goes on.

    def _called(self, call: str) -> None:
        self.calls[call] += 1
        if not self.reachable:
            raise Unavailable("The cluster does not answer.")
        if waiting := self._failures.get(call):
            raise waiting.popleft()
        self._pass()

    def _pass(self) -> None:
        """Let the time pass: pods end, and those that wait find a node."""
        now = self.clock.now()
        for pod in list(self._pods.values()):
            node = self._nodes.get(pod.node)
            silent = node is not None and node.failure  # Its kubelet confirms no end.
            if pod.gone_at is not None and pod.gone_at <= now and not silent:
                self._end(pod)
        if self.wish is not None:
            self._upgrade(self.wish, now)
        homes = [n for n in self._nodes.values() if self._up(n) and not n.unschedulable]
        for pod in self._pods.values():
            if not pod.node and homes:
                pod.node = min(homes, key=lambda n: (self._load(n.name), n.name)).name

    def _upgrade(self, wish: ControlPlaneWish, now: datetime) -> None:
        """Let the one node upgrade whose turn it is."""
        version = f"v{wish.version}"
        for _, node in sorted(self._nodes.items()):
            if not _bears(node):
                continue
            if node.version != version and UPGRADES in node.annotations:
                self._upgrade_node(node, version, now)
            if node.version != version or not self._up(node):
                return

    def _upgrade_node(self, node: FakeNode, version: str, now: datetime) -> None:
        node.upgraded_at = node.upgraded_at or now + self.upgrade_takes
        if node.upgraded_at > now:
            return
        node.upgraded_at = None
        if self.upgrade_failure:
            node.annotations[UPGRADE_FAILED] = f"{version}: {self.upgrade_failure}"
            return
        node.annotations.pop(UPGRADE_FAILED, None)
        self.server_version = node.version = version
        node.ready_at = now + self.ready_after

    def _end(self, pod: FakePod) -> None:
        """A pod ends; a controller makes another in its place, a DaemonSet where its node is."""
        del self._pods[pod.uid]
        if pod.static or not pod.controller:
            return
        daemon = pod.controller.startswith("DaemonSet/")
        if daemon and pod.node not in self._nodes:
            return
        uid = self._uid()
        name, node = f"{pod.app}-{uid}", pod.node if daemon else ""
        self._add(FakePod(pod.namespace, name, uid, pod.app, pod.controller, node))

    def _add(self, pod: FakePod) -> None:
        self._pods[pod.uid] = pod

    def _uid(self) -> str:
        return f"{next(self._ids):06d}"

    def _load(self, node: str) -> int:
        return sum(1 for pod in self._pods.values() if pod.node == node)

    def _up(self, node: FakeNode) -> bool:
        return not node.failure and node.ready_at <= self.clock.now()

    def _ready(self, pod: FakePod) -> bool:
        node = self._nodes.get(pod.node)
        return pod.gone_at is None and node is not None and self._up(node)

    def _own_token(self, token_id: str) -> FakeToken | None:
        known = self._tokens.get(token_id)
        if known is not None and not known.ours:
            raise Forbidden(f"The join token {token_id} is not ours; it stays.")
        return known

    def _known(self, node: str) -> FakeNode:
        if node not in self._nodes:
            raise NotFound(f"There is no node {node!r}.")
        return self._nodes[node]

    def _node(self, node: FakeNode) -> ClusterNode:
        up = self._up(node)
        return ClusterNode(
            name=node.name,
            uid=node.uid,
            created_at=node.joined,
            provider_id=node.provider_id,
            addresses=(("InternalIP", node.address), ("Hostname", node.name)),
            ready=up,
            message="" if up else node.failure or "container runtime network not ready",
            unschedulable=node.unschedulable,
            version=node.version,
            labels=node.labels,
            annotations=dict(node.annotations),
        )

    def _pod(self, pod: FakePod) -> ClusterPod:
        return ClusterPod(
            namespace=pod.namespace,
            name=pod.name,
            uid=pod.uid,
            node=pod.node,
            ready=self._ready(pod),
            deleting=pod.gone_at is not None,
            controller="" if pod.static else pod.controller,
            static=pod.static,
        )


def _bears(node: FakeNode) -> bool:
    return "node-role.kubernetes.io/control-plane" in node.labels


class FakeClusters:
    """Clusters by their kubeconfig; what was never ``put`` there does not answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._clusters: dict[str, FakeCluster] = {}

    def put(self, kubeconfig: str, cluster: FakeCluster) -> None:
        """Have a kubeconfig lead to a cluster."""
        self._clusters[kubeconfig] = cluster

    @asynccontextmanager
    async def open(self, kubeconfig: str) -> AsyncGenerator[FakeCluster]:
        """See ``isthmus.ports.OpenCluster``."""
        nobody = FakeCluster(self._clock, reachable=False)
        yield self._clusters.get(kubeconfig, nobody)
