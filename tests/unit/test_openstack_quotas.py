"""What resources need of a project's quotas, and what is said when it is not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.drivers.openstack.quotas import Room, needs, short, unknown_flavor

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
    assert unknown_flavor([server(flavor="m1.small"), server(flavor="7")], FLAVORS) == ""
    assert unknown_flavor([server(flavor="huge")], FLAVORS) == "huge"
    assert unknown_flavor([server(flavor={"get_param": "x"}), server()], FLAVORS) == ""
