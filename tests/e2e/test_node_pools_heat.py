"""A node pool on real Heat and Nova, joined to a real Kubernetes API: grown, emptied, healed, gone.

Both are real: the servers are groups of the catalog's own template, the pods are placed, evicted
and made anew by Kubernetes. Only what would run on the servers is played (``played_kubelets``).
"""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import yaml

from isthmus import controllers, drivers
from isthmus.api.meta import Json, Resource
from isthmus.api.v1alpha1 import Cluster, NodePool, Offering, Provider
from isthmus.drivers.kubernetes import open_cluster
from isthmus.drivers.kubernetes.kube import Kube
from isthmus.errors import NotFound
from isthmus.ports import Api
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kinds import NAMESPACES, SECRETS, api_of
from isthmus.runtime.kube import path_of
from isthmus.runtime.manager import Manager
from isthmus.runtime.memory import MemoryStore
from tests.catalog_files import FOLDER
from tests.kubernetes_home import inhabited
from tests.kubernetes_lab import ON_OPENSTACK
from tests.openstack_lab import OpenStackLab
from tests.played_kubelets import Kubelets, kubelets
from tests.world import TEAM

pytestmark = [*ON_OPENSTACK, pytest.mark.timeout(900)]

PODS = Api("v1", "pods")
NODES = Api("v1", "nodes", namespaced=False)
DEPLOYMENTS = Api("apps/v1", "deployments")


@dataclass
class Place:
    """A store with all controllers, a cloud, and a cluster."""

    store: MemoryStore
    kube: Kube
    namespace: str
    cloud: Any
    kubelets: Kubelets
    network: dict[str, str]

    async def apply(self, obj: Resource[Any, Any]) -> None:
        api, meta = api_of(type(obj)), obj.metadata
        found = await self.store.get(api, meta.namespace, meta.name)
        if found is None:
            await self.store.create(api, obj.dump())
            return
        await self.store.replace(api, obj.dump() | {"metadata": found["metadata"]})

    async def pool(self, holds: Callable[[NodePool], bool], *, within: float = 400) -> NodePool:
        deadline = time.monotonic() + within
        while True:
            raw = await self.store.get(api_of(NodePool), TEAM, "workers")
            assert raw is not None
            pool = NodePool.parse(raw)
            if holds(pool):
                return pool
            assert time.monotonic() < deadline, pool.status
            await asyncio.sleep(0.5)

    async def size(self, replicas: int, **spec: Any) -> NodePool:
        await self.apply(a_pool(self.network, replicas=replicas, **spec))

        def there(pool: NodePool) -> bool:
            status = pool.status
            return pool.ready and (status.replicas, status.updated) == (replicas, replicas)

        return await self.pool(there)

    async def running(self) -> int:
        pods = await self.kube.list(PODS, self.namespace)
        return sum(1 for p in pods if p["status"].get("phase") == "Running")

    async def nodes(self) -> set[str]:
        found = await self.kube.list(NODES)
        return {n["metadata"]["name"] for n in found} & self.kubelets.seen


def a_pool(network: dict[str, str], **spec: Any) -> NodePool:
    body: Json = {
        "cluster": "theirs",
        "offering": "kubernetes-nova-pool",
        "plan": "dev",
        "provider": "lab",
        "image": "cirros",
        "flavor": "m1.tiny",
        "parameters": network,
        "heal": {"afterSeconds": 20},
        "rollout": {"drainTimeoutSeconds": 120},
    }
    meta = {"name": "workers", "namespace": TEAM}
    return NodePool.model_validate({"metadata": meta, "spec": body | spec})


@asynccontextmanager
async def place(lab: OpenStackLab, config: str) -> AsyncGenerator[Place, None]:
    own = f"pools-{uuid.uuid4().hex[:8]}"
    cloud = await asyncio.to_thread(lab.connect)
    network = await asyncio.to_thread(_network, cloud, own)
    store = MemoryStore()
    manager = Manager(store, clock=SystemClock())
    controllers.build(manager, load=drivers.load, installation=own, open_cluster=open_cluster)
    try:
        async with inhabited(config, own) as kube:
            await _furnish(store, lab, config)
            async with manager, kubelets(kube, own, partial(_servers, cloud)) as played:
                yield Place(store, kube, own, cloud, played, network)
            for name in played.seen:
                with suppress(NotFound):
                    await kube.send("DELETE", path_of(NODES, name=name))
    finally:
        await asyncio.to_thread(_remove, cloud, network)


def _network(cloud: Any, name: str) -> dict[str, str]:
    """Make what the blueprint of the cluster would have made, as the pool's parameters."""
    network = cloud.network.create_network(name=name)
    subnet = cloud.network.create_subnet(
        name=name, network_id=network.id, ip_version=4, cidr="10.77.0.0/24"
    )
    group = cloud.network.create_security_group(name=name)
    return {"networkId": network.id, "subnetId": subnet.id, "securityGroupId": group.id}


def _remove(cloud: Any, made: dict[str, str]) -> None:
    cloud.network.delete_network(made["networkId"])
    cloud.network.delete_security_group(made["securityGroupId"])


def _servers(cloud: Any) -> dict[str, str]:
    found = cloud.compute.servers(details=True)
    return {s.name: s.id for s in found if s.status == "ACTIVE" and s.name.startswith("workers-")}


async def _furnish(store: MemoryStore, lab: OpenStackLab, config: str) -> None:
    from base64 import b64encode

    def secret(name: str, **data: str) -> Json:
        encoded = {key: b64encode(value.encode()).decode() for key, value in data.items()}
        return {"metadata": {"name": name, "namespace": TEAM}, "data": encoded}

    await store.create(NAMESPACES, {"metadata": {"name": TEAM}})
    endpoint = lab.endpoint()
    await store.create(SECRETS, secret("cloud", **endpoint.credentials))
    await store.create(SECRETS, secret("theirs", kubeconfig=config))
    provider: Json = {
        "driver": "openstack",
        "region": endpoint.region,
        "settings": dict(endpoint.settings),
        "credentialsSecret": {"namespace": TEAM, "name": "cloud"},
    }
    body: Json = {"metadata": {"name": "lab"}, "spec": provider}
    await store.create(api_of(Provider), Provider.model_validate(body).dump())
    offering = yaml.safe_load((FOLDER / "kubernetes-nova-pool.yaml").read_text())
    await store.create(api_of(Offering), Offering.parse(offering).dump())
    attached = {"kubeconfigSecret": {"name": "theirs", "key": "kubeconfig"}}
    cluster: Json = {"metadata": {"name": "theirs", "namespace": TEAM}, "spec": attached}
    await store.create(api_of(Cluster), Cluster.model_validate(cluster).dump())


def an_app(replicas: int) -> Json:
    labels = {"app": "web"}
    pod = {
        "metadata": {"labels": labels},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "web", "image": "registry.test/web"}],
        },
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": spec,
    }


async def test_a_pool_grows_empties_heals_and_goes(
    openstack_lab: OpenStackLab, kubernetes_plane: str
) -> None:
    async with place(openstack_lab, kubernetes_plane) as here:
        await here.size(2)
        await here.kube.send("POST", path_of(DEPLOYMENTS, here.namespace), body=an_app(6))
        await _until(here, 6)

        await here.size(4)
        assert len(await here.nodes()) == 4
        await here.size(1)
        assert len(await here.nodes()) == 1
        await _until(here, 6)

        (lost,) = await here.nodes()
        here.kubelets.dead.add(lost)
        await here.pool(lambda p: not p.ready)
        healed = await here.pool(lambda p: p.ready and p.status.ready == 1)
        assert lost not in await here.nodes()
        assert [m.name for m in healed.status.members] != [lost]
        await _until(here, 6)

        await here.store.delete(api_of(NodePool), TEAM, "workers")
        deadline = time.monotonic() + 300
        while await here.store.get(api_of(NodePool), TEAM, "workers") is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.5)
        assert await asyncio.to_thread(_servers, here.cloud) == {}
        assert await here.nodes() == set()


async def _until(here: Place, running: int) -> None:
    deadline = time.monotonic() + 240
    while await here.running() != running:
        assert time.monotonic() < deadline, await here.running()
        await asyncio.sleep(0.5)
