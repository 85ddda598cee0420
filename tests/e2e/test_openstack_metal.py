"""Clusters on Ironic: every node is a whole machine, as nova's own driver for ironic gives them."""

import asyncio

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool
from tests.kubernetes_lab import GuestCloud
from tests.openstack_home import Home, home
from tests.openstack_lab import OpenStackLab

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]


async def taken(here: Home) -> set[str]:
    """The servers that nodes of Ironic are deployed for."""

    def read() -> set[str]:
        admin = here.lab.connect("lab-admin")
        nodes = list(admin.baremetal.nodes(details=True))
        admin.close()
        return {n.instance_id for n in nodes if n.provision_state == "active" and n.instance_id}

    return await asyncio.to_thread(read)


async def test_a_cluster_on_metal_is_made_grows_shrinks_and_gives_its_nodes_back(
    openstack_lab: OpenStackLab,
) -> None:
    await asyncio.to_thread(GuestCloud(openstack_lab).await_metal)
    async with home(openstack_lab) as here:
        before = await taken(here)
        metal = {"plan": "bare-metal", "parameters": {"flavor": "baremetal"}}
        await here.apply(here.cluster(**metal))
        await here.ready(Cluster, "c")
        assert len(await taken(here) - before) == 1
        for replicas in (1, 2, 1):
            await here.apply(here.pool(plan="bare-metal", flavor="baremetal", replicas=replicas))
            pool = await here.until(
                NodePool,
                "workers",
                lambda p, n=replicas: p.ready and (p.status.replicas, p.status.ready) == (n, n),
            )
            servers = {member.server_id for member in pool.status.members}
            assert servers <= await taken(here)
            assert len(await taken(here) - before) == 1 + replicas
        await here.delete(Cluster, "c")
        assert await taken(here) == before
