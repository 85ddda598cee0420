"""What goes wrong on a real OpenStack is named to its nested resource, and mended it converges."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool
from isthmus.core.why import Link
from tests.openstack_home import PATIENCE, Home, home
from tests.openstack_lab import OpenStackLab
from tests.polling import eventually

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]


async def why(here: Home, name: str = "c") -> tuple[Link, Link]:
    """The chain from the cluster down: what was asked for, and the deepest link."""
    chain = await here.why(Cluster, name)
    assert chain[0].subject == f"Cluster team-a/{name}"
    return chain[0], chain[-1]


async def test_what_cannot_be_had_is_named_and_mended(openstack_lab: OpenStackLab) -> None:
    async with home(openstack_lab) as here:
        await _refused_for_quota(here)
        await _refused_for_what_is_not_there(here)
        await _a_server_that_does_not_come_up(here)
        await _refused_while_it_is_made(here)
        await here.delete(Cluster, "c")


async def _refused_for_quota(here: Home) -> None:
    """Before a stack exists; less is not kept waiting by what was too much."""
    await here.quota(cores=1, instances=1)
    await here.apply(here.cluster(parameters={"flavor": "m1.medium"}))
    said = await here.refused(Cluster, "c", "CapacityExhausted")
    assert "Quota cores: 2 more are needed, and 1 of 1 are left (for control_0)" in said
    _, deepest = await why(here)
    assert deepest.subject == "Stack team-a/cluster-c"
    assert "control_0" in deepest.message
    assert await here.native_stacks() == []

    await here.quota(cores=2)
    await here.ready(Cluster, "c")
    await here.quota(cores=-1)
    await here.apply(here.pool(replicas=2))
    said = await here.refused(NodePool, "workers", "CapacityExhausted")
    assert "Quota instances: 2 more are needed, and 0 of 1 are left (for nodes/0 and 1 more" in said
    await here.quota(instances=2)
    await here.apply(here.pool(replicas=1))
    await here.until(NodePool, "workers", lambda p: p.ready and p.status.ready == 1)
    await here.quota(instances=-1)


async def _refused_for_what_is_not_there(here: Home) -> None:
    """A flavor that is not there is found before a stack is made, an image by Heat."""
    await here.apply(here.pool("other", flavor="m1.enormous"))
    said = await here.refused(NodePool, "other", "InvalidSpec")
    assert "There is no flavor 'm1.enormous' here, which nodes/0 is to have" in said
    assert len(await here.native_stacks()) == 2

    await here.apply(here.pool("other", image="no-such-image"))
    said = await here.refused(NodePool, "other", "StackFailed")
    assert "nodes/0: Property error: image: " in said
    assert "no-such-image" in said
    deepest = (await here.why(NodePool, "other"))[-1]
    assert deepest.subject == "nodes/0"  # Heat makes no resource of it, so it has no type.
    assert "no-such-image" in deepest.message

    await here.apply(here.pool("other"))
    await here.until(NodePool, "other", lambda p: p.ready and p.status.ready == 1)
    assert sum((await here.servers()).values()) == 3


async def _a_server_that_does_not_come_up(here: Home) -> None:
    """It is named with what Nova shows a tenant of it, and another takes its place by itself."""
    here.lab.faults(
        {"service": "nova-compute", "path": "^other-.*-1$", "message": "the host burns"}
    )
    await here.apply(here.pool("other", replicas=2))
    await here.until(NodePool, "other", lambda p: "nodes/1" in _words(p))
    deepest = (await here.why(NodePool, "other"))[-1]
    assert deepest.subject == "OS::Nova::Server nodes/1"
    assert "Exhausted all hosts" in deepest.message
    here.lab.faults()
    healed = await here.until(NodePool, "other", lambda p: p.ready and p.status.ready == 2)
    assert [m.index for m in healed.status.members] == [0, 2]
    assert sum((await here.servers()).values()) == 4


async def _refused_while_it_is_made(here: Home) -> None:
    """By Neutron, Nova and its scheduler: each time the server is named by its path."""
    spread = {"antiAffinity": "soft-anti-affinity"}
    here.lab.faults(
        {"service": "neutron", "method": "POST", "path": "/ports",
         "status": 507, "message": "no room in the switch"}
    )  # fmt: skip
    await here.apply(here.pool("third", replicas=1, parameters=spread))
    await _blamed(here, "third", "no room in the switch")
    here.lab.faults()
    await here.until(NodePool, "third", lambda p: p.ready and p.status.ready == 1)

    await here.quota(server_group_members=1)  # Of a group that is there, only Nova counts them.
    await here.apply(here.pool("third", replicas=2, parameters=spread))
    await _blamed(here, "third", "too many servers in group")
    await here.quota(server_group_members=-1)
    await here.until(NodePool, "third", lambda p: p.ready and p.status.ready == 2)

    async with _larger_than_any_host(here) as flavor:
        await here.apply(here.pool("third", replicas=2, parameters=spread, flavor=flavor))
        await _blamed(here, "third", "No valid host")
        await here.delete(NodePool, "third")


async def _blamed(here: Home, pool: str, words: str) -> None:
    """Wait until `why` ends at a server of the pool with these words; others may be tried."""

    async def said() -> bool:
        deepest = (await here.why(NodePool, pool))[-1]
        return deepest.subject.startswith("OS::Nova::Server nodes/") and words in deepest.message

    await eventually(said, within=PATIENCE)


@asynccontextmanager
async def _larger_than_any_host(here: Home) -> AsyncGenerator[str]:
    compute = (await asyncio.to_thread(here.lab.connect, "lab-admin")).compute
    made = await asyncio.to_thread(
        lambda: compute.create_flavor(name=here.endpoint.installation, vcpus=300, ram=512, disk=1)
    )
    try:
        yield made.name
    finally:
        await asyncio.to_thread(compute.delete_flavor, made)


def _words(pool: NodePool) -> str:
    ready = pool.condition("Ready")
    return ready.message if ready is not None and ready.reason == "StackFailed" else ""


async def test_a_port_that_neutron_refuses_is_named(openstack_lab: OpenStackLab) -> None:
    async with home(openstack_lab) as here:
        openstack_lab.faults(
            {"service": "neutron", "method": "POST", "path": "/ports", "body": "control_port",
             "status": 507, "message": "no room in the switch"}
        )  # fmt: skip
        await here.apply(here.cluster())
        said = await here.refused(Cluster, "c", "StackFailed")
        assert "no room in the switch" in said
        _, deepest = await why(here)
        assert deepest.subject == "OS::Neutron::Port control_port_0"
        assert "no room in the switch" in deepest.message
        openstack_lab.faults()
        await here.annotate(Cluster, "c", retry="1")
        await here.ready(Cluster, "c")
        await here.delete(Cluster, "c")
