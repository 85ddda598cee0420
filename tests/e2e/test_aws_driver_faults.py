"""Every outward call of a whole life failed once: it converges, nothing twice, nothing left.

The driver is led as the controllers lead it: look, take the one step that is missing, and come
back after an error that may pass.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
    StackName,
    digest,
)
from isthmus.drivers.aws import DRIVER
from isthmus.errors import Retryable
from isthmus.ports import Connection, Grant
from tests.aws_lab import AwsAccount

pytestmark = pytest.mark.slow

SECONDS = 60.0
READING = ("Describe", "List", "Get")
POLICY = {"Statement": [{"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}]}


@pytest.fixture
def instant(aws_lab: AwsAccount):
    """The lab without its delays: the number of calls, not their duration, is what counts here."""
    former = aws_lab.page("time")["scale"]
    aws_lab.page("time", {"scale": 0})
    yield
    aws_lab.page("time", {"scale": former})


async def persist(step: Callable[[], Awaitable[Any]]) -> Any:
    """Try again after what may pass, as the runtime does; anything else is a failure."""
    deadline = monotonic() + SECONDS
    while True:
        try:
            return await step()
        except Retryable:
            assert monotonic() < deadline
            await asyncio.sleep(0.01)


def queue_stack(uid: str, installation: str, seconds: int) -> NativeStack:
    properties = {"QueueName": f"q-{uid}", "VisibilityTimeout": seconds}
    template = {"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": properties}}}
    return NativeStack(
        name=StackName(f"isthmus-q-{uid}"),
        template=template,
        digest=digest(template),
        tags={
            TAG_UID: uid,
            TAG_NAMESPACE: "team-a",
            TAG_NAME: "q",
            TAG_INSTALLATION: installation,
        },
    )


async def reach(connection: Connection, stack: NativeStack) -> None:
    """Apply until the engine says that it has exactly this."""
    deadline = monotonic() + SECONDS
    while monotonic() < deadline:
        observed = await persist(lambda: connection.engine.observe(stack.name))
        if observed.phase is Phase.READY and observed.digest == stack.digest:
            return
        assert observed.phase is not Phase.FAILED, observed.message
        if observed.phase is not Phase.WORKING:
            await persist(lambda: connection.engine.apply(stack))
        await asyncio.sleep(0.02)
    raise AssertionError("it does not converge")


async def remove(connection: Connection, stack: NativeStack) -> None:
    deadline = monotonic() + SECONDS
    while monotonic() < deadline:
        observed = await persist(lambda: connection.engine.observe(stack.name))
        if observed.phase is Phase.ABSENT:
            return
        if observed.phase is not Phase.WORKING:
            await persist(lambda: connection.engine.delete(stack))
        await asyncio.sleep(0.02)
    raise AssertionError("it does not go")


async def life(connection: Connection, lab: AwsAccount) -> None:
    """Plan, create, bind, change, unbind, delete; everything is there once in the middle."""
    uid, installation = str(uuid.uuid4()), f"test-{lab.account}"
    first, second = (queue_stack(uid, installation, seconds) for seconds in (10, 20))
    binding = Grant(id=f"b-{uid[:8]}", spec={"policy": POLICY}, parameters={}, tags=first.tags)
    await persist(lambda: connection.engine.preview(first))
    await reach(connection, first)
    await persist(lambda: connection.engine.preview(second))
    for strategy in ("iam-user", "iam-role"):
        source = connection.credentials[strategy]
        values: Mapping[str, str] = await persist(lambda s=source: s.grant(binding))
        assert values
    await reach(connection, second)
    await persist(lambda: connection.engine.adoptable())
    owned = await persist(lambda: connection.engine.owned())
    assert sorted(o.type for o in owned) == [
        "AWS::CloudFormation::Stack",
        "AWS::IAM::Role",
        "AWS::IAM::User",
    ]
    for strategy in ("iam-user", "iam-role"):
        source = connection.credentials[strategy]
        await persist(lambda s=source: s.revoke(binding))
    await remove(connection, replace(second, pre_delete=()))
    assert await persist(lambda: connection.engine.owned()) == ()


def leftovers(lab: AwsAccount) -> list[Any]:
    resources = lab.page("state")["resources"]
    stacks = lab.client("cloudformation").list_stacks()["StackSummaries"]
    alive = [s["StackName"] for s in stacks if s["StackStatus"] != "DELETE_COMPLETE"]
    return [r for r in resources if r.get("account") == lab.account] + alive


@pytest.fixture
async def connection(aws_lab: AwsAccount) -> AsyncIterator[Connection]:
    async with DRIVER.open(aws_lab.endpoint()) as opened:
        yield opened


async def calls_of(connection: Connection, lab: AwsAccount) -> tuple[Any, Any]:
    """Live once without a fault; return the calls that read and those that change."""
    await life(connection, lab)
    calls = [c for c in lab.page("calls")["calls"] if c["account"] == lab.account]
    kinds = sorted({(c["service"], c["action"]) for c in calls})
    reading = [kind for kind in kinds if kind[1].startswith(READING)]
    return reading, [kind for kind in kinds if kind not in reading]


@pytest.mark.timeout(300)
async def test_every_reading_call_throttled(aws_lab, connection, instant):
    before = leftovers(aws_lab)
    reading, _ = await calls_of(connection, aws_lab)
    assert ("cloudformation", "DescribeStacks") in reading
    aws_lab.faults(*({"service": s, "action": a, "effect": "throttle"} for s, a in reading))
    await life(connection, aws_lab)
    rules = aws_lab.page("faults")["rules"]
    assert [r["action"] for r in rules if not r["hits"]] == []
    assert leftovers(aws_lab) == before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("effect", ["reset", "lose"])
async def test_every_changing_call_failed_in_turn(aws_lab, connection, instant, effect):
    """``reset``: nothing was done; ``lose``: it was done, and we never heard of it."""
    before = leftovers(aws_lab)
    _, changing = await calls_of(connection, aws_lab)
    assert {"CreateStack", "ExecuteChangeSet", "DeleteStack", "CreateAccessKey"} <= {
        action for _, action in changing
    }
    for service, action in changing:
        aws_lab.faults({"service": service, "action": action, "effect": effect})
        await life(connection, aws_lab)
        [rule] = aws_lab.page("faults")["rules"]
        assert rule["hits"] >= 1, f"{action} was not called"
        assert leftovers(aws_lab) == before, f"{action} {effect}"
