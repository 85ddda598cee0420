"""What a cluster has made in its cloud goes before its stack; what is not its own is only named.

Its three control planes stand behind Octavia, since the lab has one: nobody asked for it.
"""

import asyncio
from typing import Any

import pytest

from isthmus.api.v1alpha1 import Cluster, Provider
from isthmus.core.compose.rendered import rendered_from
from isthmus.runtime.kinds import api_of
from tests.openstack_home import PROVIDER, Home, home
from tests.openstack_lab import OpenStackLab, until
from tests.world import TEAM

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]


def _leave(cloud: Any, cluster: str, subnet: str) -> None:
    """Make what cloud-provider-openstack and the CSI driver make for a Service and a claim."""
    network = cloud.network
    balancer = cloud.load_balancer.create_load_balancer(
        name=f"kube_service_{cluster}_shop_web", vip_subnet_id=subnet
    )
    until(
        lambda: cloud.load_balancer.get_load_balancer(balancer.id).provisioning_status,
        "ACTIVE".__eq__,
        60,
    )
    outside = network.find_network("public")
    words = f"Floating IP for Kubernetes external service shop/web from cluster {cluster}"
    network.create_ip(
        floating_network_id=outside.id, port_id=balancer.vip_port_id, description=words
    )
    words = f"Security Group for shop/web Service LoadBalancer in cluster {cluster}"
    network.create_security_group(name="lb-sg-web", description=words)
    home_network = network.get_subnet(subnet).network_id
    port = network.create_port(network_id=home_network, name="pod-port")
    network.set_tags(port, [cluster])
    _volume(cloud, cluster)


def _volume(cloud: Any, cluster: str) -> Any:
    storage = cloud.block_storage
    metadata = {"cinder.csi.openstack.org/cluster": cluster}
    made = storage.create_volume(name="pvc", size=1, metadata=metadata)
    storage.wait_for_status(made, "available", failures=["error"], interval=0.5, wait=60)
    snapshot = storage.create_snapshot(volume_id=made.id, name="snap", metadata=metadata)
    storage.wait_for_status(snapshot, "available", failures=["error"], interval=0.5, wait=60)
    return made


async def test_what_a_cluster_made_goes_and_what_is_foreign_blocks_and_stays(
    openstack_lab: OpenStackLab,
) -> None:
    async with home(openstack_lab) as here:
        await here.apply(here.cluster(controlPlane={"replicas": 3}))
        made = await here.ready(Cluster, "c")
        await _stands_behind_octavia(here, made)
        subnet = made.status.outputs["SubnetId"]
        name = f"c-{made.metadata.uid}"
        await asyncio.to_thread(_leave, here.cloud, name, subnet)
        # Of another cluster that only begins with the same name, and of nobody.
        theirs = await asyncio.to_thread(_volume, here.cloud, f"{name}-too")
        guest = await asyncio.to_thread(_foreign, here.cloud, made.status.outputs["NetworkId"])

        await here.store.delete(api_of(Cluster), TEAM, "c")
        said = await here.refused(Cluster, "c", "DeletionBlocked")
        assert "subnet (OS::Neutron::Subnet)" in said
        chain = await here.why(Cluster, "c")
        assert chain[-1].state == "DELETE_FAILED"
        assert "subnet" in chain[-1].subject
        left = await asyncio.to_thread(_left, here.cloud)
        assert left == {f"volume {theirs.id}", f"port {guest.id}"}

        await asyncio.to_thread(here.cloud.network.delete_port, guest)
        await here.delete(Cluster, "c")
        await asyncio.to_thread(_remove, here.cloud, theirs)


async def _stands_behind_octavia(here: Home, cluster: Cluster) -> None:
    """Hold what was chosen, and what Octavia itself says, against what the cluster tells."""
    provider = await here.ready(Provider, PROVIDER)
    assert "load-balancer" in (provider.status.services or ())
    origin = rendered_from(await here.stack(cluster.stack_name))
    assert origin is not None
    assert origin.values["apiBalancer"] == "octavia"
    assert sorted(await here.servers()) == [f"c-control-{number}" for number in range(3)]
    await asyncio.to_thread(_balances, here.cloud, cluster.status)


def _balances(cloud: Any, told: Any) -> None:
    """The one balancer has the API's address, and all three control planes behind it."""
    (balancer,) = cloud.load_balancer.load_balancers()
    assert balancer.provisioning_status == "ACTIVE"
    assert balancer.vip_subnet_id == told.outputs["SubnetId"]
    assert told.outputs["InternalEndpoint"] == f"{balancer.vip_address}:6443"
    (outside,) = cloud.network.ips(port_id=balancer.vip_port_id)
    assert told.endpoint == f"https://{outside.floating_ip_address}:6443"
    (listener,) = cloud.load_balancer.listeners()
    assert (listener.protocol, listener.protocol_port) == ("TCP", 6443)
    (pool,) = cloud.load_balancer.pools()
    members = {(m.address, m.protocol_port) for m in cloud.load_balancer.members(pool)}
    servers = cloud.compute.servers()
    ports = [port for s in servers for port in cloud.network.ports(device_id=s.id)]
    assert members == {(port.fixed_ips[0]["ip_address"], 6443) for port in ports}
    assert len(members) == 3


def _foreign(cloud: Any, network: str) -> Any:
    return cloud.network.create_port(network_id=network, name="theirs", device_owner="theirs:app")


def _left(cloud: Any) -> set[str]:
    """What there is of the things that a cluster makes; ports of the stack itself are none."""
    volumes = {f"volume {v.id}" for v in cloud.block_storage.volumes()}
    balancers = {f"balancer {b.id}" for b in cloud.load_balancer.load_balancers()}
    addresses = {f"address {a.id}" for a in cloud.network.ips()}
    ports = {f"port {p.id}" for p in cloud.network.ports() if p.name in ("theirs", "pod-port")}
    groups = {f"group {g.id}" for g in cloud.network.security_groups() if g.name == "lb-sg-web"}
    return volumes | balancers | addresses | ports | groups


def _remove(cloud: Any, volume: Any) -> None:
    storage = cloud.block_storage
    for snapshot in storage.snapshots():
        storage.delete_snapshot(snapshot)
        storage.wait_for_delete(snapshot, interval=0.5, wait=60)
    storage.delete_volume(volume)
    storage.wait_for_delete(volume, interval=0.5, wait=60)
