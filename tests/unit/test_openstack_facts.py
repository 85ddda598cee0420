"""What a project says of itself, and which of its services count as there."""

import pytest

from isthmus.drivers.openstack.facts import facts
from isthmus.errors import Forbidden, Unavailable
from tests.openstack_double import PROJECT, Double, serving

BALANCER = "OS::Octavia::LoadBalancer"
VERSIONS = {
    "template_versions": [
        {"version": "heat_template_version.2018-08-31"},
        {"version": "heat_template_version.2021-04-16"},
        {"version": "heat_template_version.wallaby"},
    ]
}


def a_cloud(*types: str, **options) -> Double:
    answer = {"resource_types": list(types)}
    heat = {"/template_versions": VERSIONS, f"/resource_types?name={BALANCER}": answer}
    return Double(heat=heat, **options)


async def test_who_and_how_old():
    with serving(a_cloud()) as cloud:
        found = await facts(cloud)
    assert (found.account, found.engine) == (PROJECT, "Heat, templates to 2021-04-16")


@pytest.mark.parametrize(
    ("types", "catalog", "there"),
    [
        ((BALANCER,), ("orchestration", "load-balancer"), True),
        ((), ("orchestration", "load-balancer"), False),
        ((f"{BALANCER}Flavor",), ("orchestration", "load-balancer"), False),
        ((BALANCER,), ("orchestration", "network"), False),
    ],
    ids=["octavia", "an old Heat", "only of another name", "not in the catalog"],
)
async def test_a_balancer_is_there_where_the_catalog_and_heat_know_it(types, catalog, there):
    double = a_cloud(*types, services=catalog)
    with serving(double) as cloud:
        found = await facts(cloud)
    assert found.services == frozenset(catalog) - (set() if there else {"load-balancer"})
    asked = "GET orchestration /resource_types" in double.calls
    assert asked is ("load-balancer" in catalog), "nobody is asked for what is not there"


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_a_heat_that_does_not_tell_is_taken_as_one_without(status):
    with serving(a_cloud(BALANCER, strike=2, failure=(status, {}))) as cloud:
        assert "load-balancer" not in (await facts(cloud)).services


async def test_a_heat_that_does_not_answer_decides_nothing():
    double = a_cloud(BALANCER, strike=2)
    with serving(double) as cloud:
        with pytest.raises(Unavailable):
            await facts(cloud)
        assert "load-balancer" in (await facts(cloud)).services


async def test_a_keystone_that_lets_heat_not_act_for_us_is_named_at_once():
    said = r"credentialsSecret: .*username and password"
    with serving(a_cloud(delegates=False)) as cloud, pytest.raises(Forbidden, match=said):
        await facts(cloud)


async def test_a_service_that_was_added_is_found_though_the_token_is_older():
    double = a_cloud(BALANCER, services=("network",))
    with serving(double) as cloud:
        assert await cloud.services() == {"network"}
        double.services = ("network", "orchestration", "load-balancer")
        assert (await facts(cloud)).services == set(double.services)
