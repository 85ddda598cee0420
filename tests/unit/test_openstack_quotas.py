"""What resources need of a project's quotas, and what is said when it is not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.drivers.openstack.quotas import Quotas, Room, needs, short, unknown_flavor
from isthmus.errors import CapacityExhausted
from tests.openstack_double import Double, serving

FLAVORS = {"m1.small": {"vcpus": 2, "ram": 2048}, "7": {"vcpus": 2, "ram": 2048}}


def server(**properties):
    return {"resource_type": "OS::Nova::Server", "properties": properties}


@pytest.mark.parametrize(
    ("resource", "wanted"),
    [
        (
            server(flavor="m1.small", networks=[{"port": "p"}, {"network": "n"}]),
            {"instances": 1, "cores": 2, "ram": 2048, "ports": 1},
        ),
        (
            server(flavor="7", block_device_mapping_v2=[{"image": "i", "volume_size": 40}]),
            {"instances": 1, "cores": 2, "ram": 2048, "volumes": 1, "gigabytes": 40},
        ),
        (
            {"resource_type": "OS::Cinder::Volume", "properties": {"size": 3}},
            {"volumes": 1, "gigabytes": 3},
        ),
        (
            {"resource_type": "OS::Neutron::SecurityGroup", "properties": {"rules": [{}]}},
            {"security groups": 1, "security group rules": 3},
        ),
        ({"resource_type": "OS::Heat::Value", "properties": {"value": 1}}, {}),
    ],
)
def test_what_a_resource_needs(resource, wanted):
    assert +needs([resource], FLAVORS) == wanted


def test_what_is_not_left_is_said_with_its_unit():
    rooms = {"ram": Room(limit=4096, used=3072), "cores": Room(limit=-1, used=9)}
    (said,) = short({"ram": 2048, "cores": 2, "unknown": 1}, rooms)
    assert said == "quota ram: 2048 MiB more are needed, and 1024 of 4096 are left"


@given(limit=st.integers(-1, 20), used=st.integers(0, 20), wanted=st.integers(0, 20))
def test_only_what_does_not_fit_is_refused(limit, used, wanted):
    fits = limit < 0 or used + wanted <= limit
    assert (short({"cores": wanted}, {"cores": Room(limit=limit, used=used)}) == ()) is fits


def test_a_flavor_that_is_not_there_is_found_before_anything_is_asked():
    there = [("a", server(flavor="m1.small")), ("b", server(flavor="7"))]
    assert unknown_flavor(there, FLAVORS) == ("", "")
    assert unknown_flavor([*there, ("c", server(flavor="huge"))], FLAVORS) == ("c", "huge")
    later = [("a", server(flavor={"get_param": "x"})), ("b", server())]
    assert unknown_flavor(later, FLAVORS) == ("", "")


def test_a_server_group_takes_only_so_many():
    servers = [server(flavor="7", scheduler_hints={"group": g}) for g in ("a", "a", "b")]
    assert needs([*servers, server(flavor="7")], FLAVORS)["members of a server group"] == 2


NETWORK = {
    "port": {"limit": 10, "used": 8, "reserved": 1},
    "network": {"limit": -1, "used": 3},
}
COMPUTE = {
    "maxTotalInstances": 10, "totalInstancesUsed": 4, "maxTotalCores": -1, "totalCoresUsed": 9,
    "maxTotalRAMSize": 4096, "totalRAMUsed": 0, "maxServerGroupMembers": 10,
}  # fmt: skip


ELEVEN = "(for r0, r1 and 9 more)"


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ([server(flavor="m1")] * 6, ()),
        (
            [server(flavor="m1")] * 7,
            ("quota instances: 7 more are needed, and 6 of 10 are left (for r0, r1 and 5 more)",),
        ),
        (
            [server(flavor="m1", scheduler_hints={"group": "hosts"})] * 11,
            (
                f"quota instances: 11 more are needed, and 6 of 10 are left {ELEVEN}",
                "quota members of a server group: 11 more are needed, and 10 of 10 are left "
                f"{ELEVEN}",
                f"quota ram: 5632 MiB more are needed, and 4096 of 4096 are left {ELEVEN}",
            ),
        ),
        (
            [{"resource_type": "OS::Neutron::Net"}, *[{"resource_type": "OS::Neutron::Port"}] * 2],
            ("quota ports: 2 more are needed, and 1 of 10 are left (for r1, r2)",),
        ),
        ([{"resource_type": "OS::Neutron::Net"}] * 9, ()),
        (
            [{"resource_type": "OS::Octavia::LoadBalancer"}] * 2,
            ("quota load balancers: 2 more are needed, and 1 of 2 are left (for r0, r1)",),
        ),
    ],
)
async def test_the_quotas_of_a_project_are_read(resources, said):
    double = Double(limits=COMPUTE, quotas={"network": NETWORK, "load-balancer": TWO})
    double.loadbalancers = [{"id": "b", "provisioning_status": "ACTIVE"}]
    listed = [(f"r{number}", resource) for number, resource in enumerate(resources)]
    with serving(double) as cloud:
        assert await Quotas(cloud).lacking(listed) == said
        if said:
            with pytest.raises(CapacityExhausted, match=r"Quota .* needed"):
                await Quotas(cloud).require(listed)


async def test_a_refusal_names_unit_and_whom_it_is_for():
    double = Double(limits=COMPUTE | {"maxTotalRAMSize": 512})
    members = [("nodes/0", server(flavor="m1"))] * 3  # A sample of equal ones.
    with serving(double) as cloud, pytest.raises(CapacityExhausted) as caught:
        await Quotas(cloud).require(members)
    assert caught.value.message.startswith(
        "Quota ram: 1536 MiB more are needed, and 512 of 512 are left (for nodes/0 and 2 more); "
    )


TWO = {"load_balancer": 2}


async def test_a_quota_that_is_not_told_is_none():
    double = Double(strike=1, failure=(403, {}))
    with serving(double) as cloud:
        found = await Quotas(cloud).lacking([("b", {"resource_type": "OS::Octavia::LoadBalancer"})])
    assert found == ()
