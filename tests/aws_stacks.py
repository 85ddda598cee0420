"""Small stacks of queues and topics, and how to wait for them, for tests of the AWS engine."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic
from typing import Any

import pytest

from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    NativeStack,
    Observed,
    StackName,
    digest,
)
from isthmus.drivers.aws import DRIVER
from isthmus.ports import Connection, StackEngine
from tests.aws_lab import AwsAccount
from tests.polling import accepted

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
    await accepted(lambda: engine.apply(native), within=SECONDS)
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
