"""What a cluster may be made of besides its usual parts, created by a real Heat.

The servers are played: what would run on them is said by the tests of user data and of guests.
"""

import asyncio
from base64 import b64decode
from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, NodePool, Stack
from isthmus.runtime.kinds import SECRETS
from tests.openstack_home import Home, home
from tests.openstack_lab import OpenStackLab
from tests.world import TEAM

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]


async def created(here: Home, **spec: Any) -> dict[str, str]:
    """Apply a cluster, wait until its stack is Ready, and return its resources by their names."""
    await here.apply(here.cluster(**spec))
    stack = await here.until(Stack, "cluster-c", lambda s: s.ready)
    return {r.logical_id: r.physical_id for r in stack.status.resources}


async def let_in(here: Home, group: str) -> set[tuple[str, int | None]]:
    """Protocols and first ports that a security group lets in."""

    def read() -> set[tuple[str, int | None]]:
        rules = here.cloud.network.security_group_rules(security_group_id=group)
        return {(r.protocol, r.port_range_min) for r in rules if r.direction == "ingress"}

    return await asyncio.to_thread(read)


async def seen_by_an_administrator(here: Home, server: str) -> Any:
    def read() -> Any:
        return here.lab.connect("lab-admin").compute.get_server(server)

    return await asyncio.to_thread(read)


async def test_ovn_finds_its_ports_open(openstack_lab: OpenStackLab) -> None:
    async with home(openstack_lab) as here:
        made = await created(here, network={"plugin": "ovn-kubernetes"})
        assert ("udp", 6081) in await let_in(here, made["node_group"])
        await here.delete(Cluster, "c")


async def test_pods_may_speak_with_their_own_addresses_on_neutron(
    openstack_lab: OpenStackLab,
) -> None:
    async with home(openstack_lab) as here:
        user: Json = {"metadata": {"name": "user", "namespace": TEAM}, "data": {}}
        await here.store.create(SECRETS, user)
        network = {"plugin": "neutron", "credentials_secret": "user"}
        made = await created(here, network=network)
        port = await asyncio.to_thread(here.cloud.network.get_port, made["control_port_0"])
        assert [pair["ip_address"] for pair in port.allowed_address_pairs] == ["10.244.0.0/16"]
        await here.delete(Cluster, "c")


async def test_it_may_live_in_a_network_that_is_there_and_no_two_nodes_on_one_host(
    openstack_lab: OpenStackLab,
) -> None:
    async with home(openstack_lab) as here:
        network, subnet, router = await asyncio.to_thread(a_network, here.cloud)
        theirs: Json = {"network": network, "subnet": subnet, "nodeCidr": CIDR}
        made = await created(here, parameters=theirs)
        assert not {"network", "subnet", "router", "router_interface"} & made.keys()
        port = await asyncio.to_thread(here.cloud.network.get_port, made["control_port_0"])
        assert (port.network_id, port.fixed_ips[0]["subnet_id"]) == (network, subnet)
        address = await asyncio.to_thread(here.cloud.network.get_ip, made["api_floating_ip"])
        assert address.port_id == port.id

        await here.apply(here.pool(replicas=2, parameters={"antiAffinity": "anti-affinity"}))
        pool = await here.until(NodePool, "workers", lambda p: p.ready and p.status.ready == 2)
        servers = [await seen_by_an_administrator(here, m.server_id) for m in pool.status.members]
        assert len({server.compute_host for server in servers}) == 2
        await here.delete(Cluster, "c")
        await asyncio.to_thread(remove_network, here.cloud, network, subnet, router)


CIDR = "10.71.0.0/24"


def a_network(cloud: Any) -> tuple[str, str, str]:
    """Make a network with a way out; its id, its subnet's and its router's."""
    outside = cloud.network.find_network("public")
    network = cloud.network.create_network(name="theirs")
    subnet = cloud.network.create_subnet(
        name="theirs", network_id=network.id, ip_version=4, cidr=CIDR
    )
    router = cloud.network.create_router(
        name="theirs", external_gateway_info={"network_id": outside.id}
    )
    cloud.network.add_interface_to_router(router, subnet_id=subnet.id)
    return network.id, subnet.id, router.id


def remove_network(cloud: Any, network: str, subnet: str, router: str) -> None:
    cloud.network.remove_interface_from_router(router, subnet_id=subnet)
    cloud.network.delete_router(router)
    cloud.network.delete_network(network)


async def test_a_root_may_be_a_volume(openstack_lab: OpenStackLab) -> None:
    async with home(openstack_lab) as here:
        made = await created(here, parameters={"bootVolumeGb": 2})
        server = await asyncio.to_thread(here.cloud.compute.get_server, made["control_0"])
        (volume,) = [v["id"] for v in server.attached_volumes]
        root = await asyncio.to_thread(here.cloud.block_storage.get_volume, volume)
        assert (root.size, root.is_bootable) == (2, True)
        await here.delete(Cluster, "c")


async def test_an_immutable_host_gets_ignition(openstack_lab: OpenStackLab) -> None:
    async with home(openstack_lab) as here:
        made = await created(here, parameters={"hostSystem": "ignition"})
        await here.apply(here.pool(replicas=1))
        pool = await here.until(NodePool, "workers", lambda p: p.ready and p.status.ready == 1)
        for name in (made["control_0"], pool.status.members[0].server_id):
            server = await seen_by_an_administrator(here, name)
            assert b64decode(server.user_data).lstrip().startswith(b'{"ignition"')
        await here.delete(Cluster, "c")
