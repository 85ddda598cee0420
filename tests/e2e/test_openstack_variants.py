"""What a cluster may be made of besides its usual parts, created by a real Heat.

The servers are played: what would run on them is said by the tests of user data and of guests.
"""

import asyncio
from base64 import b64decode
from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, Stack
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
        server = await seen_by_an_administrator(here, made["control_0"])
        assert b64decode(server.user_data).lstrip().startswith(b'{"ignition"')
        await here.delete(Cluster, "c")
