"""As whom the driver speaks: keys, assumed roles with an external id, a service role, regions."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import TAG_UID, NativeStack, Observed, StackName, digest
from isthmus.drivers.aws import DRIVER
from isthmus.errors import Forbidden, Throttled, Unavailable
from isthmus.ports import Connection, StackEngine
from tests.aws_lab import AwsAccount

SECONDS = 60.0


def role(lab: AwsAccount, name: str, principal: Any, actions: list[str], **condition: Any) -> str:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": "sts:AssumeRole",
    }
    if condition:
        statement["Condition"] = condition
    iam = lab.client("iam")
    made = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    policy = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    iam.put_role_policy(
        RoleName=name,
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [policy]}),
    )
    return made["Role"]["Arn"]


def topic_stack() -> NativeStack:
    uid = str(uuid.uuid4())
    template = {"Resources": {"News": {"Type": "AWS::SNS::Topic", "Properties": {}}}}
    return NativeStack(
        name=StackName(f"isthmus-n-{uid}"),
        template=template,
        digest=digest(template),
        tags={TAG_UID: uid},
    )


async def settled(engine: StackEngine, name: StackName) -> Observed:
    deadline = monotonic() + SECONDS
    while (observed := await engine.observe(name)).phase is Phase.WORKING:
        assert monotonic() < deadline, observed
        await asyncio.sleep(0.05)
    return observed


@pytest.fixture
async def connection(aws_lab: AwsAccount) -> AsyncIterator[Connection]:
    async with DRIVER.open(aws_lab.endpoint()) as opened:
        yield opened


async def test_a_role_in_another_account_is_assumed_with_its_external_id(aws_lab, aws_module_lab):
    trusted = {"AWS": f"arn:aws:iam::{aws_lab.account}:root"}
    other = role(
        aws_module_lab,
        f"r{uuid.uuid4().hex[:8]}",
        trusted,
        ["*"],
        StringEquals={"sts:ExternalId": "6f0c1a52"},
    )
    endpoint = aws_lab.endpoint(roleArn=other, externalId="6f0c1a52")
    async with DRIVER.open(endpoint) as opened:
        assert (await opened.probe()).account == aws_module_lab.account
        native = topic_stack()
        await opened.engine.apply(native)
        assert (await settled(opened.engine, native.name)).phase is Phase.READY
    there = aws_module_lab.client("cloudformation").describe_stacks(StackName=native.name)
    assert f":{aws_module_lab.account}:" in there["Stacks"][0]["StackId"]
    async with DRIVER.open(aws_lab.endpoint(roleArn=other, externalId="wrong")) as opened:
        with pytest.raises(Forbidden, match="sts:AssumeRole"):
            await opened.probe()


async def test_wrong_keys_name_the_remedy_and_not_the_key(aws_lab):
    endpoint = aws_lab.endpoint()
    wrong = {**endpoint.credentials, "secret-access-key": "hunter2hunter2"}
    async with DRIVER.open(replace(endpoint, credentials=wrong)) as opened:
        with pytest.raises(Forbidden, match="does not accept the Provider's secret") as caught:
            await opened.probe()
    assert "hunter2" not in caught.value.message + caught.value.detail


async def test_a_service_role_limits_what_a_stack_can_do(aws_lab):
    service = {"Service": "cloudformation.amazonaws.com"}
    arn = role(aws_lab, "queues-only", service, ["sqs:*"])
    async with DRIVER.open(aws_lab.endpoint(serviceRoleArn=arn)) as opened:
        native = topic_stack()
        await opened.engine.apply(native)
        failed = await settled(opened.engine, native.name)
    assert failed.phase is Phase.FAILED
    assert "not authorized to perform: sns:CreateTopic" in failed.message, failed.message


async def test_regions_are_apart(aws_lab, connection):
    native = topic_stack()
    await connection.engine.apply(native)
    assert (await settled(connection.engine, native.name)).phase is Phase.READY
    async with DRIVER.open(aws_lab.endpoint(region="eu-central-1")) as opened:
        assert (await opened.engine.observe(native.name)).phase is Phase.ABSENT


async def test_throttling_and_silence_pass(aws_lab, connection):
    aws_lab.faults({"service": "sts", "effect": "throttle"})
    with pytest.raises(Throttled):
        await connection.probe()
    aws_lab.faults({"service": "sts", "effect": "reset"})
    with pytest.raises(Unavailable, match=r"AWS sts did not answer \(get_caller_identity\)"):
        await connection.probe()
    assert (await connection.probe()).account == aws_lab.account


async def test_large_templates_go_through_the_bucket(aws_lab):
    aws_lab.client("s3").create_bucket(Bucket="templates")
    native = topic_stack()
    padding = {"Metadata": {"note": "x" * 60_000}}
    native = replace(native, template={**native.template, **padding})
    async with DRIVER.open(aws_lab.endpoint(templateBucket="templates")) as opened:
        await opened.engine.apply(native)
        assert (await settled(opened.engine, native.name)).phase is Phase.READY
