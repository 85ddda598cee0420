"""What Heat says of a stack in work, as far as it decides when we look again."""

from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Phase
from isthmus.drivers.openstack.observation import Observer
from tests.openstack_double import Double, serving

STACK = "/stacks/pool/1"
HREF = "http://heat/v1/p/stacks"


def stack(status: str, *, seconds: float) -> Json:
    """A stack whose operation began so many seconds ago."""
    began = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "stack": {"stack_name": "pool", "id": "1", "stack_status": status, "creation_time": began}
    }


def resource(name: str, status: str, *, inside: str = "pool/1", nested: str = "") -> Json:
    links = [{"rel": "stack", "href": f"{HREF}/{inside}"}]
    if nested:
        links.append({"rel": "nested", "href": f"{HREF}/{nested}"})
    return {
        "resource_name": name, "resource_type": "OS::T", "resource_status": status, "links": links,
    }  # fmt: skip


def a_heat(status: str, own: list[Json], *, below: int, seconds: float) -> Double:
    """A stack with its own resources, and so many at work in the stack that one of them is."""
    deep = [r for r in own if r["resource_status"].endswith("IN_PROGRESS")]
    deep += [resource(str(n), "CREATE_IN_PROGRESS", inside="nodes/2") for n in range(below)]
    return Double(
        heat={
            "/stacks/pool": stack(status, seconds=seconds),
            f"{STACK}/resources": {"resources": own},
            f"{STACK}/resources?nested_depth=5&status=IN_PROGRESS": {"resources": deep},
            f"{STACK}/events?limit=40&sort_dir=desc": {"events": []},
        }
    )


DONE = resource("hosts", "CREATE_COMPLETE")
BEGUN = resource("port", "CREATE_IN_PROGRESS")
LATER = resource("server", "INIT_COMPLETE")
GROUP = resource("nodes", "CREATE_IN_PROGRESS", nested="nodes/2")


@pytest.mark.parametrize(
    ("status", "own", "below", "seconds", "left", "reason"),
    [
        ("CREATE_IN_PROGRESS", [DONE, BEGUN, LATER], 0, 60, 2, "in work, and not begun"),
        ("CREATE_IN_PROGRESS", [DONE, GROUP], 100, 60, 100, "the members of a group count"),
        ("CREATE_IN_PROGRESS", [DONE, GROUP], 0, 60, 1, "only the group itself is to end"),
        ("CREATE_IN_PROGRESS", [DONE, GROUP], 100, 5, 1, "at first nobody asks for members"),
        ("UPDATE_IN_PROGRESS", [DONE, BEGUN], 0, 60, 1, "what an update leaves alone is done"),
        ("DELETE_IN_PROGRESS", [DONE, BEGUN], 0, 60, 2, "what is there is to be deleted"),
        ("CREATE_COMPLETE", [DONE], 0, 60, None, "nothing is in work"),
    ],
)
async def test_how_much_is_left(status, own, below, seconds, left, reason):
    with serving(a_heat(status, own, below=below, seconds=seconds)) as cloud:
        observer = Observer(cloud)
        native = await observer.find("pool")
        assert native is not None
        observed = await observer.observe(native)
    assert (observed.left, observed.phase is Phase.WORKING) == (left, left is not None), reason


async def test_a_question_about_members_that_fails_fails_nothing_else():
    double = a_heat("CREATE_IN_PROGRESS", [DONE, GROUP], below=9, seconds=60)
    del double.heat[f"{STACK}/resources?nested_depth=5&status=IN_PROGRESS"]
    with serving(double) as cloud:
        native = await Observer(cloud).find("pool")
        assert native is not None
        assert (await Observer(cloud).observe(native)).left == 1


CHECK = f"{STACK}/events?nested_depth=5&limit=1&sort_dir=desc"


def checked(*, minutes: float) -> Double:
    """A stack made long ago, whose check has said something so many minutes ago."""
    double = a_heat("CHECK_IN_PROGRESS", [DONE, GROUP], below=0, seconds=100_000)
    time = (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    double.heat[CHECK] = {"events": [{"event_time": time}]}
    return double


async def test_a_stack_that_is_checked_is_ready_and_looked_at_anew():
    double = checked(minutes=1)
    with serving(double) as cloud:
        observer = Observer(cloud)
        for _ in range(2):
            native = await observer.find("pool")
            assert native is not None
            double.calls.clear()
            observed = await observer.observe(native)
            assert (observed.phase, observed.checking) == (Phase.READY, True)
            assert double.calls


async def test_a_check_that_nobody_goes_on_with_is_asked_for_anew():
    with serving(checked(minutes=600)) as cloud:
        observer = Observer(cloud)
        native = await observer.find("pool")
        assert native is not None
        observed = await observer.observe(native)
    assert (observed.phase, observed.checking, observed.digest) == (Phase.FAILED, False, "")
