"""What an event of Heat is read as: whose it is, and why."""

import pytest

from isthmus.api.meta import Json
from isthmus.core.why import root_cause
from isthmus.drivers.openstack.readings import STACK_TYPE, read_event

NODES = {"nodes": "OS::Heat::ResourceGroup", "vm": "OS::Nova::Server"}
PROPERTY = "Property error: resources"
UNTOLD = 'Went to status ERROR due to "Message: Unknown, Code: Unknown"'
IMAGE = "Error validating value 'no-such-image': No images matching {'name': 'no-such-image'}."


def event(name: str, reason: str, physical: str = "") -> Json:
    link = {"rel": "stack", "href": "http://heat/v1/p/stacks/s/id-of-s"}
    return {
        "id": "1", "event_time": "2026-01-01T00:00:00Z", "resource_name": name, "links": [link],
        "physical_resource_id": physical, "resource_status": "CREATE_FAILED",
        "resource_status_reason": reason,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "read", "case"),
    [
        (
            event("nodes", f"resources.nodes: {PROPERTY}[0].properties.image: {IMAGE}"),
            ("nodes/0", "", f"Property error: image: {IMAGE}"),
            "a member that cannot be has no event of its own",
        ),
        (
            event("nodes", f"resources.nodes: {PROPERTY}.one.properties.a.b: no"),
            ("nodes/one", "", "Property error: a.b: no"),
            "members of other groups have names",
        ),
        (
            event("vm", f"{PROPERTY}.vm.properties.image: {IMAGE}"),
            ("vm", NODES["vm"], f"{PROPERTY}.vm.properties.image: {IMAGE}"),
            "a resource of the stack itself stays what it is",
        ),
        (
            event("nodes", "resources.nodes.resources[1]: it burns"),
            ("nodes", NODES["nodes"], "it burns"),
            "a member that was begun has an event of its own",
        ),
        (
            event("s", f"{PROPERTY}[0].properties.image: no", "id-of-s"),
            ("s", STACK_TYPE, f"{PROPERTY}[0].properties.image: no"),
            "what is said of the stack is said of nothing in it",
        ),
        (
            event("vm", f"ResourceInError: resources.vm: {UNTOLD}"),
            ("vm", NODES["vm"], "Unknown (server ERROR, code Unknown)"),
            "Nova says that a server failed before it says why",
        ),
    ],
)
def test_an_event_is_read_as_of_whom_it_speaks(said: Json, read: tuple[str, ...], case: str):
    found = read_event(said, NODES)
    assert (found.logical_id, found.type, found.reason) == read, case


def test_a_failure_of_which_nova_has_told_nothing_is_the_cause_where_no_other_tells_more():
    burns = UNTOLD.replace("Unknown", "it burns", 1)
    first, second = event("vm", f"resources.vm: {UNTOLD}"), event("vm", f"resources.vm: {burns}")
    stack = event(
        "s", f"Resource CREATE failed: ResourceInError: resources.vm: {UNTOLD}", "id-of-s"
    )
    untold = [read_event(said, NODES) for said in (first, stack)]
    assert root_cause(untold) == untold[0]
    told = read_event(second, NODES)
    assert root_cause([untold[0], told, untold[1]]) == told
