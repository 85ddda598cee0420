"""Node groups of Magnum by the actions of its offering, whatever fails meanwhile."""

from typing import Any

import pytest

from isthmus.drivers.openstack.actions import ApiActions
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import NotFound, StackFailed
from isthmus.ports import ActionCall
from tests.openstack_double import Double, serving
from tests.openstack_operations import call_of, ran

MOST = 12


def a_magnum(**options: Any) -> Double:
    own = {"id": "default-worker", "uuid": "d", "node_count": 1, "status": "CREATE_COMPLETE"}
    cluster = {"id": "c", "uuid": "c", "status": "CREATE_COMPLETE", "groups": [own]}
    return Double(clusters=[cluster], **options)


def action(name: str, /, **parameters: Any) -> ActionCall:
    return call_of("magnum-kubernetes", name, {"ClusterId": "c"}, parameters)


def groups(double: Double) -> dict[str, int]:
    return {group["id"]: group["node_count"] for group in double.clusters[0]["groups"]}


async def lived(cloud: Cloud, double: Double) -> None:
    made = await ran(cloud, action("add-node-group", name="large", nodes=2, flavor="m1.large"))
    assert made.result == {"id": "u", "nodes": 2}
    assert groups(double) == {"default-worker": 1, "large": 2}
    assert double.clusters[0]["groups"][1]["flavor_id"] == "m1.large"
    grown = await ran(cloud, action("resize-node-group", name="large", nodes=3))
    assert grown.result == {"id": "u", "nodes": 3}
    await ran(cloud, action("remove-node-group", name="large"))
    assert groups(double) == {"default-worker": 1}


async def test_a_group_comes_grows_and_goes_whatever_fails():
    double = a_magnum()
    with serving(double) as cloud:
        await lived(cloud, double)
        calls = list(double.calls)
        assert sum(not call.startswith("GET") for call in calls) == 3
        for number in range(1, len(calls) + 1):
            for lost_answer in (False, True):
                double.become(a_magnum(strike=number, lost_answer=lost_answer))
                await lived(cloud, double)
                made = [call for call in double.calls if not call.startswith("GET")]
                assert len(made) <= 4, calls[number - 1]


async def test_a_group_that_could_not_be_made_fails_the_action():
    double = a_magnum()
    failed = {"id": "large", "node_count": 1, "status": "CREATE_FAILED", "status_reason": "no room"}
    double.clusters[0]["groups"].append(failed)
    with serving(double) as cloud, pytest.raises(StackFailed, match="no room"):
        await ApiActions(cloud).start(action("add-node-group", name="large"))


async def test_a_group_that_is_not_there_cannot_grow_and_may_be_removed():
    double = a_magnum()
    with serving(double) as cloud:
        with pytest.raises(NotFound, match="no node group 'large'"):
            await ApiActions(cloud).start(action("resize-node-group", name="large", nodes=2))
        assert (await ran(cloud, action("remove-node-group", name="large"))).done
    assert not [call for call in double.calls if not call.startswith("GET")]
