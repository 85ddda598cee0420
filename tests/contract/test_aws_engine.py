"""The CloudFormation engine against the lab: every promise of StackEngine, and every sad state."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from isthmus.api.meta import Adopt
from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    NativeStack,
    Observed,
    StackName,
    Verb,
    digest,
)
from isthmus.drivers.aws import DRIVER
from isthmus.errors import (
    AlreadyExists,
    ApprovalRequired,
    DeletionBlocked,
    Forbidden,
    InvalidSpec,
    NotFound,
)
from isthmus.ports import Connection, StackEngine
from tests.aws_lab import AwsAccount

SECONDS = 60.0


@pytest.fixture
async def connection(aws_lab: AwsAccount) -> AsyncIterator[Connection]:
    async with DRIVER.open(aws_lab.endpoint()) as opened:
        yield opened


@pytest.fixture
def engine(connection: Connection) -> StackEngine:
    return connection.engine


def queue(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def topic(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "Properties": properties}


BAD = {"effect": "error", "type": "AWS::SNS::Topic", "logical_id": "Bad", "message": "no luck"}
"""A fault of the lab: the topic ``Bad`` cannot be created."""


def bad(after: str) -> dict[str, Any]:
    return {"Type": "AWS::SNS::Topic", "DependsOn": after, "Properties": {}}


def stack(lab: AwsAccount, uid: str = "", **resources: dict[str, Any]) -> NativeStack:
    uid = uid or str(uuid.uuid4())
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": resources,
        "Outputs": {name: {"Value": {"Ref": name}} for name in resources},
    }
    return changed(
        NativeStack(
            name=StackName(f"isthmus-test-{uid}"),
            template=template,
            tags={
                TAG_UID: uid,
                TAG_NAMESPACE: "team-a",
                TAG_NAME: "test",
                TAG_INSTALLATION: f"test-{lab.account}",
            },
        )
    )


def changed(native: NativeStack, **resources: dict[str, Any]) -> NativeStack:
    """Return the stack with other resources and the digest that fits."""
    template = dict(native.template)
    if resources:
        template["Resources"] = resources
        template["Outputs"] = {name: {"Value": {"Ref": name}} for name in resources}
    return replace(native, template=template, digest=digest(template, dict(native.parameters)))


async def settled(engine: StackEngine, name: StackName) -> Observed:
    """Look until the engine does not work any more."""
    deadline = monotonic() + SECONDS
    while True:
        observed = await engine.observe(name)
        if observed.phase is not Phase.WORKING:
            return observed
        assert monotonic() < deadline, observed
        await asyncio.sleep(0.05)


async def applied(engine: StackEngine, native: NativeStack) -> Observed:
    await engine.apply(native)
    return await settled(engine, native.name)


async def deleted(engine: StackEngine, native: NativeStack) -> Observed:
    """Delete until nothing is left or CloudFormation refuses."""
    deadline = monotonic() + SECONDS
    while True:
        await engine.delete(native)
        observed = await settled(engine, native.name)
        if observed.phase is Phase.ABSENT or observed.blockers:
            return observed
        assert monotonic() < deadline, observed


def queues(lab: AwsAccount) -> set[str]:
    urls = lab.client("sqs").list_queues().get("QueueUrls", [])
    return {url.rsplit("/", 1)[-1] for url in urls}


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
    cloudformation = aws_lab.client("cloudformation")
    live = [
        s
        for s in cloudformation.list_stacks()["StackSummaries"]
        if s["StackStatus"] != "DELETE_COMPLETE"
    ]
    assert live == []
    assert queues(aws_lab) == set()


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


async def test_a_blocked_deletion_names_the_blocker_and_a_step_clears_it(engine, aws_lab):
    bucket = f"full-{uuid.uuid4().hex[:10]}"
    resource = {
        "Type": "AWS::S3::Bucket",
        "Properties": {
            "BucketName": bucket,
            "VersioningConfiguration": {"Status": "Enabled"},
        },
    }
    native = stack(aws_lab, Logs=resource)
    await applied(engine, native)
    s3 = aws_lab.client("s3")
    for body in (b"one", b"two"):
        s3.put_object(Bucket=bucket, Key="k", Body=body)
    s3.delete_object(Bucket=bucket, Key="k")
    blocked = await deleted(engine, native)
    assert (blocked.phase, blocked.native_status) == (Phase.FAILED, "DELETE_FAILED")
    assert len(blocked.blockers) == 1
    assert blocked.blockers[0].startswith("Logs (AWS::S3::Bucket):")

    step = {"step": "empty-bucket", "bucket": "${resources.Logs}"}
    assert (await deleted(engine, replace(native, pre_delete=(step,)))).phase is Phase.ABSENT


async def test_a_step_leaves_what_is_not_of_the_stack_alone(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("alone"))
    await applied(engine, native)
    step = {"step": "empty-bucket", "bucket": "somebody-elses"}
    with pytest.raises(Forbidden, match="somebody-elses is not a resource of this stack"):
        await engine.delete(replace(native, pre_delete=(step,)))


async def test_a_stack_can_be_deleted_while_it_is_created(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("brief"), News=topic())
    await engine.apply(native)
    assert (await deleted(engine, native)).phase is Phase.ABSENT
    assert queues(aws_lab) == set()


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


async def test_what_protects_itself_is_unprotected_by_a_step(engine, aws_lab):
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "DeletionProtectionEnabled": True,
        },
    }
    native = stack(aws_lab, Table=table)
    assert (await applied(engine, native)).phase is Phase.READY
    blocked = await deleted(engine, native)
    assert blocked.blockers
    call = {
        "service": "dynamodb",
        "operation": "update_table",
        "arguments": {"TableName": "${outputs.Table}", "DeletionProtectionEnabled": False},
    }
    step = {"step": "disable-protection", "call": call}
    assert (await deleted(engine, replace(native, pre_delete=(step,)))).phase is Phase.ABSENT
    elsewhere = {**call, "arguments": {**call["arguments"], "TableName": "other"}}
    other = stack(aws_lab, Jobs=queue("protected"))
    await applied(engine, other)
    with pytest.raises(Forbidden, match=r"dynamodb\.update_table names no resource of this stack"):
        await engine.delete(
            replace(other, pre_delete=({"step": "disable-protection", "call": elsewhere},))
        )


async def test_a_zone_is_purged_of_foreign_records(engine, aws_lab):
    zone = {"Type": "AWS::Route53::HostedZone", "Properties": {"Name": "shop.test."}}
    record = {
        "Type": "AWS::Route53::RecordSet",
        "Properties": {
            "HostedZoneId": {"Ref": "Zone"},
            "Name": "own.shop.test.",
            "Type": "A",
            "TTL": "60",
            "ResourceRecords": ["192.0.2.1"],
        },
    }
    native = stack(aws_lab, Zone=zone, Record=record)
    made = await applied(engine, native)
    assert made.phase is Phase.READY, made.message
    route53 = aws_lab.client("route53")
    foreign = {
        "Name": "theirs.shop.test.",
        "Type": "A",
        "TTL": 60,
        "ResourceRecords": [{"Value": "192.0.2.2"}],
    }
    route53.change_resource_record_sets(
        HostedZoneId=made.outputs["Zone"],
        ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": foreign}]},
    )
    assert (await deleted(engine, native)).blockers
    step = {"step": "purge-zone", "zone": "${outputs.Zone}"}
    assert (await deleted(engine, replace(native, pre_delete=(step,)))).phase is Phase.ABSENT


async def test_an_unknown_step_names_the_known_ones(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("stepping"))
    await applied(engine, native)
    with pytest.raises(InvalidSpec, match=r"preDelete\[0\]\.step: 'dance'.*known are: disable-"):
        await engine.delete(replace(native, pre_delete=({"step": "dance"},)))


async def test_termination_protection_is_named(engine, aws_lab):
    native = stack(aws_lab, Jobs=queue("locked"))
    await applied(engine, native)
    aws_lab.client("cloudformation").update_termination_protection(
        StackName=native.name, EnableTerminationProtection=True
    )
    with pytest.raises(DeletionBlocked, match="termination protection; switch it off"):
        await engine.delete(native)


async def test_a_distribution_is_disabled_before_it_goes(engine, aws_lab):
    """The step works by itself: it disables, waits for the deployment, and then is done."""
    distribution = {
        "Type": "AWS::CloudFront::Distribution",
        "Properties": {
            "DistributionConfig": {
                "Enabled": True,
                "Comment": "site",
                "Origins": [
                    {
                        "Id": "o",
                        "DomainName": "origin.test",
                        "CustomOriginConfig": {
                            "OriginProtocolPolicy": "https-only",
                            "HTTPPort": 80,
                            "HTTPSPort": 443,
                        },
                    }
                ],
                "DefaultCacheBehavior": {
                    "TargetOriginId": "o",
                    "ViewerProtocolPolicy": "https-only",
                    "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
                },
            }
        },
    }
    native = stack(aws_lab, Site=distribution)
    made = await applied(engine, native)
    assert made.phase is Phase.READY, made.message
    step = {"step": "disable-distribution", "distribution": "${resources.Site}"}
    protected = replace(native, pre_delete=(step,))
    await engine.delete(protected)
    found = aws_lab.client("cloudfront").get_distribution(Id=made.outputs["Site"])
    assert found["Distribution"]["DistributionConfig"]["Enabled"] is False
    assert (await deleted(engine, protected)).phase is Phase.ABSENT
