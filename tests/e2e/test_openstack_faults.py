"""What goes wrong on a real OpenStack is named to its nested resource, and mended it converges."""

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool
from isthmus.core.why import Link
from tests.openstack_home import Home, home
from tests.openstack_lab import OpenStackLab

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
        await here.delete(Cluster, "c")


async def _refused_for_quota(here: Home) -> None:
    """Before a stack exists; less is not kept waiting by what was too much."""
    await here.quota(cores=1, instances=1)
    await here.apply(here.cluster(parameters={"flavor": "m1.medium"}))
    said = await here.refused(Cluster, "c", "CapacityExhausted")
    assert "Quota cores: 2 more are needed, and 1 of 1 are left" in said
    assert (await why(here))[1].subject == "Stack team-a/cluster-c"
    assert await here.native_stacks() == []

    await here.quota(cores=2)
    await here.ready(Cluster, "c")
    await here.quota(cores=-1)
    await here.apply(here.pool(replicas=2))
    said = await here.refused(NodePool, "workers", "CapacityExhausted")
    assert "Quota instances: 2 more are needed, and 0 of 1 are left" in said
    await here.quota(instances=2)
    await here.apply(here.pool(replicas=1))
    await here.until(NodePool, "workers", lambda p: p.ready and p.status.ready == 1)
    await here.quota(instances=-1)


async def _refused_for_what_is_not_there(here: Home) -> None:
    """A flavor that is not there is found before a stack is made, an image by Heat."""
    await here.apply(here.pool("other", flavor="m1.enormous"))
    said = await here.refused(NodePool, "other", "InvalidSpec")
    assert "There is no flavor 'm1.enormous' here" in said
    assert len(await here.native_stacks()) == 2

    await here.apply(here.pool("other", image="no-such-image"))
    said = await here.refused(NodePool, "other", "StackFailed")
    assert "nodes (OS::Heat::ResourceGroup)" in said
    assert "no-such-image" in said
    deepest = (await here.why(NodePool, "other"))[-1]
    assert deepest.subject == "OS::Heat::ResourceGroup nodes"
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
