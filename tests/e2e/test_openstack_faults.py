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
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]


async def why(here: Home, name: str = "c") -> tuple[Link, Link]:
    """The chain from the cluster down: what was asked for, and the deepest link."""
    chain = await here.why(Cluster, name)
    assert chain[0].subject == f"Cluster team-a/{name}"
    return chain[0], chain[-1]


async def test_what_no_quota_allows_is_refused_before_a_stack_exists(
    openstack_lab: OpenStackLab,
) -> None:
    async with home(openstack_lab) as here:
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
        # Less is asked for: the pool does not wait for what it does not want any more.
        await here.quota(instances=2)
        await here.apply(here.pool(replicas=1))
        await here.until(NodePool, "workers", lambda p: p.ready and p.status.ready == 1)
        await here.delete(Cluster, "c")
