"""A real Heat in which we are not alone: changes of others are waited for, what was there is taken.

Heat's own ``abandon`` is not used: most clouds forbid it, and what it lets go bears no mark of
anybody. What an object leaves (``deletionPolicy: Retain``) stays a stack, for others to adopt.
"""

from dataclasses import replace

import pytest

from isthmus.api.meta import Adopt, Json
from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import TAG_UID
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import AlreadyExists, Forbidden, NotFound, NotYet
from isthmus.ports import Endpoint, StackEngine
from tests.contract.test_stack_engine import SECONDS, applied, deleted, settled
from tests.openstack_lab import OpenStackLab
from tests.openstack_stacks import NET, hot, stack_of, with_template
from tests.polling import eventually

pytestmark = [pytest.mark.labs, pytest.mark.openstack]


async def test_a_change_of_somebody_else_is_waited_for(
    endpoint: Endpoint, engine: StackEngine, cloud: Cloud, openstack_lab: OpenStackLab
) -> None:
    native = stack_of(endpoint, hot({"net": NET}))
    wanted = with_template(native, hot({"net": NET, "ours": NET}))
    first = await applied(engine, native)
    openstack_lab.faults(
        {"service": "neutron", "method": "POST", "path": r"/networks$", "hold": True, "times": 1}
    )
    body: Json = {"template": hot({"net": NET, "theirs": NET})}
    path = f"/stacks/{native.name}/{first.native_id}"
    await cloud.ask("orchestration", "PATCH", path, body=body)

    async def begun() -> bool:
        return (await engine.observe(native.name)).native_status == "UPDATE_IN_PROGRESS"

    await eventually(begun, within=SECONDS)
    with pytest.raises(NotYet):
        await engine.preview(wanted)
    await engine.apply(wanted)
    now = await engine.observe(native.name)
    assert (now.phase, now.digest) == (Phase.WORKING, native.digest)
    openstack_lab.faults()
    theirs = await settled(engine, native)
    assert {r.logical_id for r in theirs.resources} == {"net", "theirs"}
    after = await applied(engine, wanted)
    assert (after.phase, after.digest) == (Phase.READY, wanted.digest)
    assert {r.logical_id for r in after.resources} == {"net", "ours"}
    await deleted(engine, wanted)


async def test_what_an_object_has_left_is_adopted_by_the_next(
    endpoint: Endpoint, engine: StackEngine
) -> None:
    left = stack_of(endpoint, hot({"net": NET}))
    before = await applied(engine, left)
    heir = replace(stack_of(endpoint, left.template), name=left.name, adopted=True)
    adopt = Adopt(external_name=left.name)
    with pytest.raises(AlreadyExists):  # As long as there is the object that it is of.
        await engine.adopt(heir, adopt)
    heir = replace(heir, former_owner=left.tags[TAG_UID])
    await engine.adopt(heir, adopt)
    taken = await settled(engine, heir)
    assert (taken.phase, taken.owner_uid) == (Phase.READY, heir.tags[TAG_UID])
    after = await applied(engine, heir)
    assert (after.phase, after.digest) == (Phase.READY, heir.digest)
    assert [r.physical_id for r in after.resources] == [r.physical_id for r in before.resources]
    with pytest.raises(Forbidden):
        await engine.delete(left)
    assert (await deleted(engine, heir)).phase is Phase.ABSENT


async def test_a_resource_that_is_in_no_stack_is_imported(
    endpoint: Endpoint, engine: StackEngine, cloud: Cloud
) -> None:
    body: Json = {"network": {"name": "theirs"}}
    network = (await cloud.ask("network", "POST", "/networks", body=body))["network"]["id"]
    native = stack_of(endpoint, hot({"net": NET}), adopted=True)
    adopt = Adopt(external_name=native.name, resources={"net": {"id": network}})
    await engine.adopt(native, adopt)
    taken = await settled(engine, native)
    assert (taken.phase, taken.native_status) == (Phase.READY, "ADOPT_COMPLETE"), taken.message
    assert [r.physical_id for r in taken.resources] == [network]
    larger = with_template(native, hot({"net": NET, "more": NET}))
    after = await applied(engine, larger)
    assert (after.phase, after.digest) == (Phase.READY, larger.digest)
    assert network in {r.physical_id for r in after.resources}
    assert (await deleted(engine, larger)).phase is Phase.ABSENT
    with pytest.raises(NotFound):
        await cloud.get("network", f"/networks/{network}")
