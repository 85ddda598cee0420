"""A small world for clusters: the fake cloud's servers become nodes of clusters in memory.

A server joins a while after the cloud has made it, if its join token is valid then; one that the
cloud has removed falls silent. All else is what ``tests.world`` does.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, NodePool
from isthmus.drivers.fake import FakeCloud
from isthmus.drivers.fake.nodes import FakeCluster
from isthmus.errors import Forbidden
from isthmus.ports import ClusterNodes
from tests.outward import NODES, Outward, struck
from tests.world import TEAM, LoopClock, Scene, an_offering, scene

CONTROL = {"node-role.kubernetes.io/control-plane": ""}


@dataclass
class Machines:
    """What runs on the servers of one cloud."""

    cloud: FakeCloud
    clock: LoopClock
    boot_seconds: float = 20
    slow: timedelta = timedelta()
    """How much longer the servers of pools take."""
    cluster: FakeCluster = field(init=False)
    broken: set[str] = field(default_factory=set[str])
    """Physical ids of servers that never come up."""
    refused: list[str] = field(default_factory=list[str])
    _seen: dict[str, float] = field(default_factory=dict[str, float])
    _nodes: dict[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.cluster = FakeCluster(self.clock, ready_after=timedelta(seconds=2))
        self.cluster.grace = timedelta(seconds=2)

    async def run(self) -> None:
        while True:
            self._pass()
            await asyncio.sleep(1)

    def _pass(self) -> None:
        now = asyncio.get_running_loop().time()
        there: dict[str, tuple[str, Json]] = {}
        keyless: set[str] = set()
        for name in list(self.cloud.stacks):
            stack = self.cloud.look(name)
            for logical_id, one in (stack.resources if stack is not None else {}).items():
                if one.type == "Fake::Server":
                    there[one.physical_id] = (logical_id.rpartition("-")[2], one.properties)
                    if one.properties.get("payload") and not one.labels.get("key"):
                        keyless.add(one.physical_id)
        for server, (index, properties) in there.items():
            born = self._seen.setdefault(server, now)
            pool = properties.get("role") != "control-plane"
            takes = self.boot_seconds + (self.slow.total_seconds() if pool else 0)
            up = now - born >= takes and server not in keyless
            if server not in self._nodes and up:
                self._join(server, index, properties)
        for server in [server for server in self._nodes if server not in there]:
            self._silence(server)

    def _join(self, server: str, index: str, properties: Json) -> None:
        if server in self.broken:
            return
        name = properties["name"]
        control = properties.get("role") == "control-plane"
        name = f"{name}-{index}"
        try:
            self.cluster.join(
                name,
                token="" if control else properties["token"],
                provider_id=f"openstack:///{server}",
                labels=CONTROL if control else {},
                version=properties.get("version") or "",
            )
        except Forbidden:
            self.refused.append(name)
            self.broken.add(server)
            return
        self._nodes[server] = name

    def _silence(self, server: str) -> None:
        name = self._nodes.pop(server)
        if name in self.cluster._nodes:  # pyright: ignore[reportPrivateUsage]
            self.cluster.pull_power(name)


@dataclass
class Clusters:
    """The scene and its machines."""

    here: Scene
    machines: Machines

    @property
    def cluster(self) -> FakeCluster:
        return self.machines.cluster

    async def nodes(self) -> dict[str, bool]:
        """Names of the nodes, and whether they are ready."""
        fresh = FakeCluster.nodes
        return {node.name: node.ready for node in await fresh(self.cluster)}

    async def workers(self) -> set[str]:
        nodes = await FakeCluster.nodes(self.cluster)
        return {node.name for node in nodes if not node.control_plane}

    def servers(self) -> int:
        return sum(
            1
            for stack in self.here.cloud.stacks.values()
            for one in stack.resources.values()
            if one.type == "Fake::Server"
        )


@asynccontextmanager
async def clusters(
    *, outward: Outward | None = None, cloud: FakeCloud | None = None, **options: Any
) -> AsyncGenerator[Clusters]:
    """Run all controllers against a fake cloud whose servers become nodes."""
    clock = LoopClock()
    cloud = cloud or FakeCloud(clock, latency_seconds=2)
    machines = Machines(cloud, clock)

    @asynccontextmanager
    async def open_cluster(kubeconfig: str) -> AsyncGenerator[ClusterNodes, None]:
        assert json.loads(kubeconfig)["clusters"][0]["cluster"]["server"].startswith("https://")
        yield struck(machines.cluster, outward, NODES) if outward else machines.cluster

    async with scene(cloud=cloud, outward=outward, open_cluster=open_cluster, **options) as here:
        await here.apply(an_offering("kubernetes", **BLUEPRINT))
        await here.apply(an_offering("kubernetes-pool", **POOL))
        running = asyncio.create_task(machines.run())
        try:
            yield Clusters(here, machines)
        finally:
            running.cancel()


def a_cluster(name: str = "c", **spec: Any) -> Cluster:
    return Cluster.model_validate(
        {
            "metadata": {"name": name, "namespace": TEAM},
            "spec": {"offering": "kubernetes", "plan": "small"} | spec,
        }
    )


def a_pool(name: str = "workers", **spec: Any) -> NodePool:
    return NodePool.model_validate(
        {
            "metadata": {"name": name, "namespace": TEAM},
            "spec": {"cluster": "c", "replicas": 2} | spec,
        }
    )


def _text(*, updatable: bool, **more: Any) -> Json:
    return {"type": "string", "x-updatable": updatable} | more


BLUEPRINT: Json = {
    "category": "cluster",
    "parameters": {
        "type": "object",
        "properties": {
            "controlPlaneReplicas": {"type": "integer", "default": 1},
            "kubernetesVersion": _text(updatable=True, default="1.36.0"),
            "caHash": _text(updatable=False),
            "flavor": _text(updatable=True, default="m1"),
            "controlFlavors": {
                "type": "array",
                "items": {"type": "string"},
                "default": [],
                "x-updatable": True,
            },
            "diskImage": _text(updatable=True, default="debian-13"),
            "bootstrapPayload": _text(updatable=False, writeOnly=True),
        },
    },
    "plans": [{"name": "small", "title": "Small"}],
    "binding": None,
    "actions": [],
    "stacks": {
        "fake": {
            "stateful": ["Control-0", "Control-1", "Control-2"],
            "template": {
                "resources": {
                    "Network": {"type": "Fake::Network"},
                    "Control": {
                        "type": "Fake::Server",
                        "group": {"count": "${controlPlaneReplicas}"},
                        "replaceOn": ["image"],
                        "properties": {
                            "name": "${isthmus.name}-control",
                            "role": "control-plane",
                            "image": "${diskImage}",
                            "flavor": {"each": "${controlFlavors}"},
                            "payload": {"parameter": "Payload"},
                        },
                    },
                },
                "outputs": {
                    "Endpoint": "https://${Network.id}.fake.test:6443",
                    "NetworkId": "${Network.id}",
                },
            },
            "parameters": {"Payload": "${bootstrapPayload}"},
            "handover": {
                "to": ["Control-0", "Control-1", "Control-2"],
                "give": {"id": "${handover.resource}", "label": {"key": "${handover.key}"}},
                "withdraw": {"id": "${handover.resource}", "label": {"key": ""}},
            },
        }
    },
}
POOL: Json = {
    "category": "cluster",
    "parameters": {
        "type": "object",
        "required": ["networkId", "caHash", "endpoint"],
        "properties": {
            "count": {"type": "integer", "default": 1, "minimum": 1, "x-updatable": True},
            "removed": {"type": "array", "items": {"type": "string"}, "x-updatable": True},
            "joinToken": _text(updatable=True, writeOnly=True),
            "networkId": _text(updatable=False),
            "caHash": _text(updatable=False),
            "endpoint": _text(updatable=False),
            "kubernetesVersion": _text(updatable=False, default=""),
            "image": _text(updatable=False, default="debian-13"),
            "note": _text(updatable=True, default=""),
        },
    },
    "plans": [{"name": "small", "title": "Small"}],
    "binding": None,
    "actions": [],
    "stacks": {
        "fake": {
            "template": {
                "resources": {
                    "Nodes": {
                        "type": "Fake::Server",
                        "group": {"count": "${count}", "removed": "${removed}"},
                        "properties": {
                            "name": "${isthmus.name}",
                            "image": "${image}",
                            "network": "${networkId}",
                            "version": "${kubernetesVersion}",
                            "note": "${note}",
                            "token": {"parameter": "JoinToken"},
                        },
                    }
                },
                "outputs": {"Members": "${Nodes.members}"},
            },
            "parameters": {"JoinToken": "${joinToken}"},
        }
    },
}
