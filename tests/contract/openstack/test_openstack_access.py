"""As whom, where and how fast we speak to a real OpenStack, and what Heat undoes if it shall."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from isthmus.api.v1alpha1 import Phase
from isthmus.drivers.openstack import DRIVER
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.settings import parse
from isthmus.errors import Forbidden, Throttled
from isthmus.ports import Endpoint
from tests.contract.test_stack_engine import applied, deleted
from tests.openstack_census import project
from tests.openstack_lab import REGION, OpenStackLab, sweep
from tests.openstack_stacks import NET, hot, stack_of

pytestmark = [pytest.mark.labs, pytest.mark.openstack]

OTHER = "RegionTwo"
SIGNALLED = {"type": "OS::Heat::WaitConditionHandle"}
"""Needs rights that Heat keeps for later: a user of the stack's own domain, or a trust."""


def credential(lab: OpenStackLab, *, unrestricted: bool) -> dict[str, str]:
    """Make an application credential as its owner does, and return the Secret's values."""
    cloud = lab.connect()
    made = cloud.identity.create_application_credential(
        user=cloud.current_user_id,
        name=f"isthmus-{uuid.uuid4().hex[:8]}",
        unrestricted=unrestricted,
    )
    cloud.close()
    return {"application-credential-id": made.id, "application-credential-secret": made.secret}


def as_whom(lab: OpenStackLab, credentials: dict[str, str]) -> Endpoint:
    return replace(lab.endpoint(), settings={"authUrl": lab.url}, credentials=credentials)


@pytest.fixture
def delegating(openstack_lab: OpenStackLab) -> Iterator[None]:
    """A Keystone as all were before 2026.1, and as operators of Heat keep it."""
    file = openstack_lab.state / "etc" / "keystone" / "keystone.conf"
    former = file.read_text()
    wish = "allow_insecure_application_credential_trust_escalation = true"
    file.write_text(f"{former}\n[security_compliance]\n{wish}\n")
    openstack_lab.order("restart", "keystone-api")
    yield
    file.write_text(former)
    openstack_lab.order("restart", "keystone-api")


@pytest.mark.usefixtures("delegating")
async def test_an_application_credential_is_all_we_need(openstack_lab: OpenStackLab) -> None:
    endpoint = as_whom(openstack_lab, credential(openstack_lab, unrestricted=True))
    async with DRIVER.open(endpoint) as opened:
        facts = await opened.probe()
        assert len(facts.account) == 32
        native = stack_of(endpoint, hot({"net": NET, "told": SIGNALLED}))
        made = await applied(opened.engine, native)
        assert made.phase is Phase.READY, made.message
        await deleted(opened.engine, native)


async def test_a_keystone_that_lets_heat_not_act_for_us_is_named_at_once(
    openstack_lab: OpenStackLab,
) -> None:
    endpoint = as_whom(openstack_lab, credential(openstack_lab, unrestricted=True))
    async with DRIVER.open(endpoint) as opened:
        with pytest.raises(Forbidden, match=r"credentialsSecret: .*username and password"):
            await opened.probe()


@pytest.fixture
def other_region(openstack_lab: OpenStackLab) -> Iterator[str]:
    """A second region of the same cloud, without a service for balancers."""
    identity = openstack_lab.connect("lab-admin").identity
    identity.create_region(id=OTHER)
    kinds = {service.id: service.type for service in identity.services()}
    made = [
        identity.create_endpoint(
            service_id=old.service_id, interface=old.interface, url=old.url, region_id=OTHER
        )
        for old in list(identity.endpoints(region_id=REGION))
        if kinds[old.service_id] != "load-balancer"
    ]
    yield OTHER
    for endpoint in made:
        identity.delete_endpoint(endpoint)
    identity.delete_region(OTHER)


async def test_each_region_is_spoken_to_by_its_own_endpoints(
    openstack_lab: OpenStackLab, other_region: str
) -> None:
    here = openstack_lab.endpoint()
    there = replace(here, region=other_region)
    offered = [await services(place) for place in (here, there)]
    assert offered[0] - offered[1] == {"load-balancer"}
    async with DRIVER.open(there) as opened:
        native = stack_of(there, hot({"net": NET}))
        assert (await applied(opened.engine, native)).phase is Phase.READY
        await deleted(opened.engine, native)


async def services(endpoint: Endpoint) -> frozenset[str]:
    cloud = Cloud(parse(endpoint))
    try:
        await cloud.log_in()
        return await cloud.services()
    finally:
        cloud.close()


async def test_each_project_has_its_own(openstack_lab: OpenStackLab) -> None:
    with project(openstack_lab) as other:
        here, there = openstack_lab.endpoint(), openstack_lab.endpoint(projectName=other)
        async with DRIVER.open(here) as ours, DRIVER.open(there) as theirs:
            accounts = {(await opened.probe()).account for opened in (ours, theirs)}
            assert len(accounts) == 2
            native = stack_of(here, hot({"net": NET}))
            made = [await applied(opened.engine, native) for opened in (ours, theirs)]
            assert [seen.phase for seen in made] == [Phase.READY] * 2
            assert made[0].native_id != made[1].native_id
            for opened, seen in zip((ours, theirs), made, strict=True):
                owned = await opened.engine.owned()
                assert [o.native_id for o in owned if o.name == native.name] == [seen.native_id]
            await deleted(ours.engine, native)
            assert (await theirs.engine.observe(native.name)).phase is Phase.READY
            await deleted(theirs.engine, native)


async def test_a_cloud_that_is_asked_too_much_says_when_to_come_again(
    openstack_lab: OpenStackLab,
) -> None:
    endpoint = openstack_lab.endpoint()
    async with DRIVER.open(endpoint) as opened:
        native = stack_of(endpoint, hot({"net": NET}))
        openstack_lab.faults(rule("heat", "POST", r"/stacks$", status=429, retryAfter=7))
        with pytest.raises(Throttled) as caught:
            await opened.engine.apply(native)
        assert caught.value.after == timedelta(seconds=7)
        openstack_lab.faults()
        assert (await applied(opened.engine, native)).phase is Phase.READY
        await deleted(opened.engine, native)


def rule(service: str, method: str, path: str, **answer: Any) -> dict[str, Any]:
    return {"service": service, "method": method, "path": path, **answer}


@pytest.mark.parametrize("rollback", [False, True])
async def test_what_failed_stays_unless_heat_shall_undo_it(
    openstack_lab: OpenStackLab, rollback: bool
) -> None:
    endpoint = openstack_lab.endpoint(rollback=str(rollback).lower())
    bad = {"type": "OS::Neutron::Net", "properties": {"value_specs": {"no luck": "1"}}}
    async with DRIVER.open(endpoint) as opened:
        try:
            native = stack_of(endpoint, hot({"net": NET}))
            first = await applied(opened.engine, native)
            worse = replace(
                native,
                template=hot({"net": NET, "more": NET, "bad": bad | {"depends_on": "more"}}),
                digest="f" * 64,
            )
            failed = await applied(opened.engine, worse)
            assert failed.phase is Phase.FAILED
            assert failed.native_status == ("ROLLBACK_COMPLETE" if rollback else "UPDATE_FAILED")
            assert "no luck" in failed.message
            there = {r.logical_id for r in failed.resources if r.physical_id}
            assert ("more" in there) is not rollback
            mended = replace(native, template=hot({"net": NET, "more": NET}), digest="e" * 64)
            after = await applied(opened.engine, mended)
            assert after.phase is Phase.READY, after.message
            assert {r.physical_id for r in first.resources} < {
                r.physical_id for r in after.resources
            }
        finally:
            await sweep(opened)
