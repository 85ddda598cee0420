"""CloudFormation as a StackEngine: what is there already, and what others change."""

import asyncio
import json
import uuid
from dataclasses import replace
from time import monotonic

import pytest

from isthmus.api.meta import Adopt
from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import (
    TAG_UID,
    StackName,
)
from isthmus.errors import (
    AlreadyExists,
    Forbidden,
    NotFound,
)
from tests.aws_stacks import (
    SECONDS,
    applied,
    changed,
    queue,
    queues,
    settled,
    stack,
    topic,
)


async def test_a_foreign_stack_is_neither_changed_nor_deleted(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("mine"))
    await applied(engine, native)
    other = replace(native, tags={**native.tags, TAG_UID: str(uuid.uuid4())}, digest="1" * 64)
    with pytest.raises(AlreadyExists, match="belongs to another object"):
        await engine.apply(other)
    with pytest.raises(Forbidden, match="does not bear our tag"):
        await engine.delete(other)
    assert queues(aws_lab) == {"mine"}


async def test_an_existing_stack_is_adopted_without_being_changed(engine, aws_lab):
    name = f"by-hand-{uuid.uuid4().hex[:8]}"
    cloudformation = aws_lab.client("cloudformation")
    native = replace(stack(aws_lab, Jobs=queue("theirs")), name=StackName(name), adopted=True)
    body = json.dumps({"Resources": {"Jobs": queue("theirs")}})
    cloudformation.create_stack(
        StackName=name, TemplateBody=body, Tags=[{"Key": "team", "Value": "a"}]
    )
    seen = await settled(engine, native.name)
    assert (seen.phase, seen.owner_uid, seen.digest) == (Phase.READY, "", "")
    with pytest.raises(AlreadyExists, match="adopt it"):
        await engine.apply(replace(native, adopted=False))

    await engine.adopt(native, Adopt(external_name=name))
    taken = await settled(engine, native.name)
    assert (taken.phase, taken.owner_uid) == (Phase.READY, native.tags[TAG_UID])
    tags = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["Tags"]
    assert {"Key": "team", "Value": "a"} in tags
    after = await applied(engine, native)
    assert (after.phase, after.digest) == (Phase.READY, native.digest)
    assert queues(aws_lab) == {"theirs"}


async def test_what_a_gone_object_left_is_adopted(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("left"))
    await applied(engine, native)
    heir = replace(native, tags={**native.tags, TAG_UID: str(uuid.uuid4())}, adopted=True)
    adopt = Adopt(external_name=native.name)
    with pytest.raises(AlreadyExists, match="belongs to another object"):
        await engine.adopt(heir, adopt)
    await engine.adopt(replace(heir, former_owner=native.tags[TAG_UID]), adopt)
    taken = await settled(engine, native.name)
    assert (taken.phase, taken.owner_uid) == (Phase.READY, heir.tags[TAG_UID])
    assert queues(aws_lab) == {"left"}


async def test_adopting_what_is_not_there_says_so(engine, aws_lab):
    native = replace(stack(aws_lab, Jobs=queue("none")), name=StackName("nowhere"), adopted=True)
    with pytest.raises(NotFound, match=r"spec\.adopt\.externalName.*'nowhere'"):
        await engine.adopt(native, Adopt(external_name="nowhere"))


async def test_existing_resources_are_imported(engine, aws_lab):
    aws_lab.client("sqs").create_queue(QueueName="before")
    url = aws_lab.client("sqs").get_queue_url(QueueName="before")["QueueUrl"]
    native = replace(stack(aws_lab, Jobs=queue("before"), News=topic()), adopted=True)
    adopt = Adopt(external_name="before", resources={"Jobs": {"QueueUrl": url}})
    await engine.adopt(native, adopt)
    made = await settled(engine, native.name)
    assert (made.phase, made.native_status) == (Phase.READY, "IMPORT_COMPLETE"), made.message
    await engine.adopt(native, adopt)  # The controller sees that it is not ours yet.
    taken = await settled(engine, native.name)
    assert (taken.owner_uid, taken.digest) == (native.tags[TAG_UID], "")
    after = await applied(engine, native)
    assert (after.phase, after.digest) == (Phase.READY, native.digest)
    assert {r.logical_id for r in after.resources} == {"Jobs", "News"}


async def test_ignored_fields_stay_as_they_are_deployed(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("scaled", VisibilityTimeout=10))
    await applied(engine, native)
    other = replace(
        changed(native, Jobs=queue("scaled", VisibilityTimeout=99, DelaySeconds=3)),
        ignore_fields=("Resources.Jobs.Properties.VisibilityTimeout",),
    )
    assert (await applied(engine, other)).phase is Phase.READY
    sqs = aws_lab.client("sqs")
    url = sqs.get_queue_url(QueueName="scaled")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert (attributes["VisibilityTimeout"], attributes["DelaySeconds"]) == ("10", "3")


async def test_drift_is_found(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("drifting", VisibilityTimeout=10))
    assert (await applied(engine, native)).drift is None
    sqs = aws_lab.client("sqs")
    url = sqs.get_queue_url(QueueName="drifting")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "77"})
    await engine.check_drift(native.name)
    deadline = monotonic() + SECONDS
    while (drift := (await engine.observe(native.name)).drift) is None or not drift.drifted:
        assert monotonic() < deadline
        await asyncio.sleep(0.05)
    assert drift.resources == ("Jobs.Properties.VisibilityTimeout",)


async def test_owned_lists_what_bears_our_tag(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("owned"))
    await applied(engine, native)
    aws_lab.client("cloudformation").create_stack(
        StackName="foreign", TemplateBody='{"Resources": {"T": {"Type": "AWS::SNS::Topic"}}}'
    )
    assert [(o.uid, o.namespace, o.object_name) for o in await engine.owned()] == [
        (native.tags[TAG_UID], "team-a", "test")
    ]
    assert [o.name for o in await engine.adoptable()] == ["foreign"]
