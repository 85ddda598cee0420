"""The CloudFormation engine against the lab: every promise of StackEngine, and every sad state."""

import json
import uuid
from dataclasses import replace
from typing import Any

import pytest

from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import (
    TAG_UID,
    Verb,
)
from isthmus.errors import (
    ApprovalRequired,
    InvalidSpec,
)
from tests.aws_lab import AwsAccount
from tests.aws_stacks import (
    BAD,
    applied,
    bad,
    changed,
    deleted,
    queue,
    queues,
    settled,
    stack,
    topic,
)
from tests.polling import eventually


async def test_probe_says_the_account(connection, aws_lab):
    facts = await connection.probe()
    assert (facts.account, facts.engine) == (aws_lab.account, "CloudFormation")


async def test_a_stack_is_created_updated_and_deleted(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("jobs", VisibilityTimeout=10))
    assert (await engine.observe(native.name)).phase is Phase.ABSENT

    first = await applied(engine, native)
    assert (first.phase, first.native_status) == (Phase.READY, "CREATE_COMPLETE")
    assert first.digest == native.digest
    assert first.owner_uid == native.tags[TAG_UID]
    assert set(first.outputs) == {"Jobs"}
    assert [(r.logical_id, r.type) for r in first.resources] == [("Jobs", "AWS::SQS::Queue")]
    assert first.events[-1].status == "CREATE_COMPLETE"
    assert sorted(e.time for e in first.events) == [e.time for e in first.events]

    second = changed(native, Jobs=queue("jobs", VisibilityTimeout=20), More=topic())
    after = await applied(engine, second)
    assert (after.phase, after.digest) == (Phase.READY, second.digest)
    assert after.native_status == "UPDATE_COMPLETE"

    assert (await deleted(engine, second)).phase is Phase.ABSENT
    assert queues(aws_lab) == set()
    await engine.delete(second)  # Of an absent stack: nothing happens.


async def test_apply_of_an_unchanged_stack_does_nothing(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("same"))
    first = await applied(engine, native)
    second = await applied(engine, native)
    assert [e.id for e in second.events] == [e.id for e in first.events]


async def test_a_digest_alone_changes_no_resource(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("digest"))
    first = await applied(engine, native)
    after = await applied(engine, replace(native, digest="f" * 64))
    assert (after.phase, after.digest) == (Phase.READY, "f" * 64)
    assert [r.physical_id for r in after.resources] == [r.physical_id for r in first.resources]


async def test_preview_of_a_new_stack_leaves_nothing(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("planned"), News=topic())
    changes = await engine.preview(native)
    assert {(c.verb, c.logical_id) for c in changes.changes} == {
        (Verb.CREATE, "Jobs"),
        (Verb.CREATE, "News"),
    }
    assert changes.digest == native.digest
    await eventually(lambda: gone(aws_lab), within=60)
    assert queues(aws_lab) == set()


async def gone(aws_lab: AwsAccount) -> bool:
    """Whether no stack is there; one that was only a preview's may still be being deleted."""
    found = aws_lab.client("cloudformation").list_stacks()["StackSummaries"]
    return {s["StackStatus"] for s in found} <= {"DELETE_COMPLETE"}


async def test_preview_of_a_change_names_replacement_and_state(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("old-name"), News=topic())
    await applied(engine, native)
    other = changed(native, Jobs=queue("new-name"))
    changes = await engine.preview(other)
    found = {c.logical_id: c for c in changes.changes}
    assert found["Jobs"].verb is Verb.REPLACE
    assert found["Jobs"].stateful
    assert found["Jobs"].properties == ("QueueName",)
    assert found["News"].verb is Verb.DELETE
    assert [c.logical_id for c in changes.losing_data] == ["Jobs"]
    left = aws_lab.client("cloudformation").list_change_sets(StackName=native.name)["Summaries"]
    assert left == []
    assert (await engine.preview(native)).changes == ()


async def test_replacing_state_needs_approval(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("keep"))
    await applied(engine, native)
    other = changed(native, Jobs=queue("replaced"))
    with pytest.raises(ApprovalRequired, match=r"replace Jobs \(AWS::SQS::Queue.*QueueName"):
        await engine.apply(other)
    assert queues(aws_lab) == {"keep"}
    after = await applied(engine, replace(other, replacement_approved=True))
    assert (after.phase, queues(aws_lab)) == (Phase.READY, {"replaced"})


async def test_a_named_resource_counts_as_stateful(engine, aws_lab):
    native = replace(stack(aws_lab, News=topic(TopicName="one")), stateful=("News",))
    await applied(engine, native)
    with pytest.raises(ApprovalRequired, match="replace News"):
        await engine.apply(changed(native, News=topic(TopicName="two")))


async def test_a_failed_creation_names_the_cause_and_is_made_again_when_changed(engine, aws_lab):
    aws_lab.faults(BAD | {"times": -1})
    native = stack(aws_lab, Jobs=queue("rolled"), Bad=bad("Jobs"))
    failed = await applied(engine, native)
    assert (failed.phase, failed.native_status) == (Phase.FAILED, "ROLLBACK_COMPLETE")
    assert failed.digest == native.digest
    assert "Bad (AWS::SNS::Topic): no luck" in failed.message
    assert queues(aws_lab) == set()

    good = changed(native, Jobs=queue("rolled"))
    await engine.apply(good)  # Deletes what cannot be updated.
    assert (await settled(engine, native.name)).phase is Phase.ABSENT
    again = await applied(engine, good)
    assert (again.phase, again.digest) == (Phase.READY, good.digest)
    assert queues(aws_lab) == {"rolled"}


async def test_a_failed_update_is_remembered_and_can_be_taken_back(engine, aws_lab):
    aws_lab.faults(BAD | {"times": -1})
    native = stack(aws_lab, Jobs=queue("served"))
    await applied(engine, native)
    worse = changed(native, Jobs=queue("served", DelaySeconds=5), Bad=bad("Jobs"))
    failed = await applied(engine, worse)
    assert (failed.phase, failed.native_status) == (Phase.FAILED, "UPDATE_ROLLBACK_COMPLETE")
    assert failed.digest == worse.digest, "so that the controller does not try it again"
    assert "Bad (AWS::SNS::Topic): no luck" in failed.message

    back = await applied(engine, native)
    assert (back.phase, back.digest) == (Phase.READY, native.digest)
    assert back.native_status == "UPDATE_COMPLETE"
    # A second time: the mark differs from the one before.
    assert (await applied(engine, worse)).phase is Phase.FAILED
    assert (await applied(engine, native)).digest == native.digest


async def test_secret_parameters_are_hidden(engine, aws_lab):
    native = stack(aws_lab, News=topic(DisplayName={"Ref": "Word"}))
    template = {**native.template, "Parameters": {"Word": {"Type": "String"}}}
    native = replace(
        native,
        template=template,
        parameters={"Word": "hunter2"},
        secret_parameters=frozenset({"Word"}),
    )
    assert (await applied(engine, native)).phase is Phase.READY
    seen = aws_lab.client("cloudformation").describe_stacks(StackName=native.name)
    assert "hunter2" not in str(seen)
    short = dict(template, Parameters={"Word": {"Type": "String", "AllowedValues": ["a"]}})
    with pytest.raises(InvalidSpec) as caught:
        await engine.apply(replace(native, template=short, digest="4" * 64))
    assert "hunter2" not in caught.value.message + caught.value.detail + str(caught.value)
    undeclared = replace(native, template=stack(aws_lab, News=topic()).template, digest="2" * 64)
    with pytest.raises(InvalidSpec, match=r"template\.Parameters\.Word: declare it"):
        await engine.apply(undeclared)


async def test_an_invalid_template_is_refused_with_the_words_of_aws(engine, aws_lab):
    native = stack(aws_lab, Jobs={"Type": "AWS::SQS::Queue", "Properties": {"Nonsense": 1}})
    failed = await applied(engine, native)
    assert failed.phase is Phase.FAILED
    assert "Nonsense" in failed.message
    wordless = stack(aws_lab, News=topic())
    wordless = replace(
        wordless, template={**wordless.template, "Parameters": {"Word": {"Type": "String"}}}
    )
    with pytest.raises(InvalidSpec, match="Word"):
        await engine.apply(wordless)


async def test_a_large_template_names_the_limit(engine, aws_lab):
    many = {
        f"Q{n}": queue(f"many-{n}", Tags=[{"Key": "k", "Value": "v" * 250}]) for n in range(150)
    }
    with pytest.raises(InvalidSpec, match=r"takes 51,200 in a request.*templateBucket"):
        await engine.apply(stack(aws_lab, **many))


def bucket_template(aws_lab: AwsAccount, name: str, document: dict[str, Any]) -> str:
    s3 = aws_lab.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="nested.json", Body=json.dumps(document).encode())
    return f"{aws_lab.url}/{name}/nested.json"


async def test_a_failure_in_a_nested_stack_is_told(engine, aws_lab):
    inner = {"Resources": {"Good": queue("inner"), "Bad": bad("Good")}}
    url = bucket_template(aws_lab, f"nested-{uuid.uuid4().hex[:8]}", inner)
    native = stack(
        aws_lab,
        Child={"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": url}},
    )
    aws_lab.faults(BAD | {"times": -1})
    failed = await applied(engine, native)
    assert failed.phase is Phase.FAILED
    assert "no luck" in failed.message


async def test_a_rollback_that_failed_is_continued_by_the_next_change(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("stuck", DelaySeconds=1))
    await applied(engine, native)
    worse = changed(native, Jobs=queue("stuck", DelaySeconds=2), Bad=bad("Jobs"))
    stuck = {"effect": "error", "type": "AWS::SQS::Queue", "operation": "update", "skip": 1}
    aws_lab.faults(BAD | {"times": -1}, stuck | {"message": "no way back", "times": -1})
    failed = await applied(engine, worse)
    assert (failed.phase, failed.native_status) == (Phase.FAILED, "UPDATE_ROLLBACK_FAILED")
    assert failed.digest == worse.digest
    assert "the update failed, and so did its rollback" in failed.message

    aws_lab.faults(stuck | {"skip": 0, "times": 1})
    better = changed(native, Jobs=queue("stuck", DelaySeconds=3))
    again = await applied(engine, better)  # Continues the rollback, in vain.
    assert (again.phase, again.native_status) == (Phase.FAILED, "UPDATE_ROLLBACK_FAILED")
    assert again.digest == better.digest, "so that the controller does not try for ever"

    best = changed(native, Jobs=queue("stuck", DelaySeconds=4))
    back = await applied(engine, best)
    assert (back.native_status, back.digest) == ("UPDATE_ROLLBACK_COMPLETE", "")
    done = await applied(engine, best)
    assert (done.phase, done.digest) == (Phase.READY, best.digest)
