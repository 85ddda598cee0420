"""Heat replaces what its check has marked: servers that are there stay all the same."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from isthmus.api.meta import Adopt, Json
from isthmus.core.stacks import TAG_UID, NativeStack, Observed, StackName, Verb, digest
from isthmus.drivers.openstack.engine import Heat
from isthmus.errors import ApprovalRequired
from tests.heat_double import GROUP, SERVER, Stacks
from tests.openstack_double import Double, serving

GONE = ""


def server(**properties: object) -> Json:
    return {"type": SERVER, "properties": {"image": "debian", "flavor": "m1"} | properties}


def pool(count: int, **properties: object) -> Json:
    return {
        "nodes": {
            "type": GROUP,
            "properties": {"count": count, "resource_def": server(**properties)},
        }
    }


def native(resources: Json, *stateful: str) -> NativeStack:
    template: Json = {"heat_template_version": "2021-04-16", "resources": resources}
    return NativeStack(
        name=StackName("s"),
        template=template,
        digest=digest(template),
        tags={TAG_UID: "uid-1"},
        stateful=stateful,
    )


class Scene:
    """An engine, and the cloud that it works on."""

    def __init__(self, engine: Heat, double: Double) -> None:
        self.engine, self.double = engine, double
        assert double.stacks is not None
        self.heat = double.stacks

    async def made(self, stack: NativeStack) -> None:
        await self.engine.apply(stack)

    async def checked(self, **states: str) -> Observed:
        """Bring servers into these states, or away, and have Heat check."""
        for path, state in states.items():
            physical = self.heat.part(path.replace("_of_", "/")).physical
            found = next(s for s in self.double.servers if s["id"] == physical)
            found["status"] = state
            if state is GONE:
                self.double.servers.remove(found)
        await self.engine.check_drift(StackName("s"))
        return await self.engine.observe(StackName("s"))


@pytest.fixture
def here() -> Iterator[Scene]:
    with scene() as found:
        yield found


@contextmanager
def scene() -> Generator[Scene]:
    servers: list[Json] = []
    limits: Json = dict.fromkeys(("maxTotalInstances", "maxTotalCores", "maxTotalRAMSize"), -1)
    double = Double(servers=servers, stacks=Stacks(servers), limits=limits)
    with serving(double) as cloud:
        yield Scene(Heat(cloud), double)


STATES = ["SHUTOFF", "REBOOT", "VERIFY_RESIZE", "PAUSED", "ERROR"]


@pytest.mark.parametrize("state", STATES)
async def test_a_server_that_is_there_is_never_made_anew(here: Scene, state: str):
    await here.made(native({"vm": server()}, "vm"))
    await here.checked(vm=state)
    edited = native({"vm": server(metadata={"a": "b"})}, "vm")
    [change] = (await here.engine.preview(edited)).changes
    assert (change.verb, here.heat.part("vm").status) == (Verb.UPDATE, "CHECK_FAILED")
    await here.engine.apply(edited)
    assert (here.heat.replaced, here.heat.updated) == ([], ["server-1"])


async def test_what_is_not_edited_is_not_foreseen_to_change(here: Scene):
    both: Json = {"one": server(), "two": server()}
    await here.made(native(both, "one"))
    await here.checked(one="SHUTOFF")
    edited = native(both | {"two": server(metadata={"a": "b"})}, "one")
    assert [c.logical_id for c in (await here.engine.preview(edited)).changes] == ["two"]
    await here.engine.apply(edited)
    assert (here.heat.replaced, here.heat.updated) == ([], ["server-2"])


async def test_a_server_that_is_gone_is_made_anew_once_that_is_approved(here: Scene):
    await here.made(native({"vm": server(), "other": server()}, "vm", "other"))
    seen = await here.checked(vm=GONE, other="SHUTOFF")
    assert seen.drift is not None
    assert (seen.drift.drifted, seen.drift.resources) == (True, ("vm",))
    edited = native({"vm": server(metadata={"a": "b"}), "other": server()}, "vm", "other")
    with pytest.raises(ApprovalRequired, match="replace vm"):
        await here.engine.apply(edited)
    await here.engine.apply(replace(edited, replacement_approved=True))
    assert here.heat.replaced == ["server-1"]


async def test_members_of_a_pool_that_are_there_stay_when_it_grows(here: Scene):
    await here.made(native(pool(3)))
    await here.checked(nodes_of_0="SHUTOFF", nodes_of_1=GONE)
    await here.engine.apply(native(pool(4)))
    assert here.heat.replaced == ["server-2"]
    assert here.heat.part("nodes/0").physical == "server-1"


async def test_a_mark_that_somebody_set_by_hand_is_his_will(here: Scene):
    await here.made(native({"vm": server()}))
    here.heat.part("vm").status = "CHECK_FAILED"
    await here.engine.apply(native({"vm": server(metadata={"a": "b"})}))
    assert here.heat.replaced == ["server-1"]


async def test_a_check_that_was_broken_off_is_ended_by_an_update(here: Scene):
    stack = native({"vm": server()})
    await here.made(stack)
    await here.checked(vm="SHUTOFF")
    here.heat.stacks["s"].status = "CHECK_IN_PROGRESS"
    await here.engine.apply(stack)
    assert (here.heat.stacks["s"].status, here.heat.replaced) == ("UPDATE_COMPLETE", [])


async def test_taking_over_a_stack_replaces_nothing(here: Scene):
    stack = native({"vm": server()})
    await here.made(replace(stack, tags={}))
    await here.checked(vm="SHUTOFF")
    await here.engine.adopt(replace(stack, adopted=True), Adopt(external_name="s"))
    assert (here.heat.replaced, here.heat.part("vm").status) == ([], "UPDATE_COMPLETE")


@pytest.mark.parametrize(
    ("state", "drifted", "reason"),
    [
        ("SHUTOFF", False, "no template says that a server is to run"),
        ("VERIFY_RESIZE", False, "a resize by an Operation waits to be confirmed"),
        ("REBOOT", False, "it will be back"),
        ("ERROR", True, "Nova itself says that it is broken"),
        (GONE, True, "somebody has deleted it"),
    ],
)
async def test_only_what_is_gone_or_broken_counts_as_changed_behind_our_back(
    here: Scene, state: str, drifted: bool, reason: str
):
    await here.made(native({"vm": server()}))
    seen = await here.checked(vm=state)
    assert seen.drift is not None, reason
    assert seen.drift.drifted is drifted, reason
    assert [r.drifted for r in seen.resources] == [drifted], reason
