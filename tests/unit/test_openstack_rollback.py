"""Heat rolls back by choice only; what it rolled back has failed, and says why."""

import pytest

from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import TAG_UID, NativeStack, StackName
from isthmus.drivers.openstack.engine import Heat
from tests.openstack_double import Double, serving

HREF = "http://heat/v1/p/stacks/s/1"
PATH = "/stacks/s/1"
LATER = "2999-01-01T00:00:05Z"
CHOICES = [({}, True), ({"rollback": "false"}, True), ({"rollback": "true"}, False)]


def wanted() -> NativeStack:
    template = {"heat_template_version": "2021-04-16", "resources": {"net": {"type": "OS::T"}}}
    return NativeStack(name=StackName("s"), template=template, digest="d", tags={TAG_UID: "u"})


def a_heat(
    status: str = "", reason: str = "", *, rolls_back: bool = False, failed: str = LATER
) -> Double:
    """A Heat that has the stack in this state, or has none, and accepts what it is asked."""
    new = {"resource_name": "net", "resource_type": "OS::T", "properties": {}}
    double = Double(heat={"/stacks/preview": {"stack": {"resources": [new]}}})
    if not status:
        return double
    double.heat["/stacks/s"] = {
        "stack": {
            "stack_name": "s", "id": "1", "stack_status": status, "stack_status_reason": reason,
            "creation_time": "2999-01-01T00:00:00Z", "tags": ["isthmus:uid=u"],
            "disable_rollback": not rolls_back,
        }
    }  # fmt: skip
    resource = {
        "resource_name": "net",
        "resource_type": "OS::T",
        "resource_status": "INIT_COMPLETE",
    }
    failure = {
        "resource_name": "net", "resource_status": "CREATE_FAILED", "logical_resource_id": "net",
        "resource_status_reason": "Quota exceeded for resources: network", "id": "e",
        "event_time": failed, "physical_resource_id": "",
        "links": [{"rel": "stack", "href": HREF}],
    }  # fmt: skip
    events = {"events": [failure]}
    resource |= {"links": [{"rel": "stack", "href": HREF}]}
    double.heat |= {
        f"{PATH}": {},
        f"{PATH}/preview": {"resource_changes": {}},
        f"{PATH}/resources": {"resources": [resource]},
        f"{PATH}/resources?nested_depth=5&status=FAILED": {"resources": []},
        f"{PATH}/events?limit=40&sort_dir=desc": events,
        f"{PATH}/events?nested_depth=5&limit=1&sort_dir=desc": events,
        f"{PATH}/events?nested_depth=5&resource_status=FAILED&limit=100&sort_dir=desc": events,
    }
    return double


@pytest.mark.parametrize(("settings", "disabled"), CHOICES)
async def test_a_creation_says_whether_heat_rolls_back(settings, disabled):
    double = a_heat()
    double.heat["/stacks"] = {"stack": {"id": "1"}}
    with serving(double, **settings) as cloud:
        await Heat(cloud).apply(wanted())
    (order,) = double.orders
    assert (order["stack_name"], order["disable_rollback"]) == ("s", disabled)


@pytest.mark.parametrize(("settings", "disabled"), CHOICES)
async def test_so_does_the_update_that_goes_on_after_a_rollback(settings, disabled):
    double = a_heat("ROLLBACK_COMPLETE")
    with serving(double, **settings) as cloud:
        await Heat(cloud).apply(wanted())
    (order,) = double.orders
    assert order["disable_rollback"] is disabled


@pytest.mark.parametrize(
    ("status", "phase", "says"),
    [
        ("ROLLBACK_IN_PROGRESS", Phase.WORKING, "it failed; Heat is rolling it back"),
        ("ROLLBACK_COMPLETE", Phase.FAILED, "it failed and was rolled back"),
        ("ROLLBACK_FAILED", Phase.FAILED, "it failed, and so did its rollback"),
    ],
)
async def test_what_was_rolled_back_has_failed_and_says_why(status, phase, says):
    double = a_heat(
        status, reason="Resource CREATE failed: Conflict: resources.net: Quota exceeded"
    )
    with serving(double) as cloud:
        heat = Heat(cloud)
        seen = await heat.observe(StackName("s"))
        if phase is Phase.WORKING:
            await heat.apply(wanted())
            assert double.orders == []  # It would meet Heat's lock.
    assert (seen.phase, seen.native_status) == (phase, status)
    assert says in seen.message
    if phase is Phase.FAILED:
        assert "Quota exceeded" in seen.message


@pytest.mark.parametrize("status", ["CREATE_FAILED", "UPDATE_FAILED"])
@pytest.mark.parametrize(
    ("rolls_back", "failed", "phase"),
    [
        (True, LATER, Phase.WORKING),
        (True, "2020-01-01T00:00:00Z", Phase.FAILED),
        (False, LATER, Phase.FAILED),
    ],
    ids=["it is about to", "its engine was killed before it could", "it shall not"],
)
async def test_a_failure_that_heat_is_about_to_undo_is_waited_for(
    status, rolls_back, failed, phase
):
    double = a_heat(status, rolls_back=rolls_back, failed=failed)
    with serving(double, rollback=str(rolls_back).lower()) as cloud:
        seen = await Heat(cloud).observe(StackName("s"))
        await Heat(cloud).apply(wanted())
    assert (seen.phase, bool(double.orders)) == (phase, phase is Phase.FAILED)
