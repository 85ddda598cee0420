"""CloudFormation as a StackEngine: what is in the way of a deletion, and the steps before it."""

import uuid
from dataclasses import replace

import pytest

from isthmus.api.v1alpha1 import Phase
from isthmus.errors import (
    DeletionBlocked,
    Forbidden,
    InvalidSpec,
)
from tests.aws_stacks import (
    applied,
    deleted,
    queue,
    queues,
    stack,
    topic,
)


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
