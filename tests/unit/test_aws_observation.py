"""What a stack's state means: the cause, the digest, the drift; from answers as AWS gives them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.stub import Stubber

from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import TAG_UID, NativeStack, StackName
from isthmus.drivers.aws.changesets import read_change
from isthmus.drivers.aws.observation import Native, Observer, drifted_fields, read_stack
from isthmus.drivers.aws.session import Aws
from isthmus.drivers.aws.settings import AccessKey, Settings
from isthmus.drivers.aws.template import DIGEST_OUTPUT, Verb, token

START = datetime(2026, 1, 1, tzinfo=UTC)
STACK = "arn:aws:cloudformation:eu-central-1:123456789012:stack/s/1"
CHILD = "arn:aws:cloudformation:eu-central-1:123456789012:stack/s-Child/2"
EMBEDDED = f"Embedded stack {CHILD} was not successfully created: The following resource(s) failed"


def event(minute: int, stack: str, logical_id: str, status: str, **more: Any) -> dict[str, Any]:
    return {
        "StackId": stack,
        "EventId": f"{stack[-1]}-{minute}",
        "StackName": "s",
        "LogicalResourceId": logical_id,
        "ResourceType": "AWS::CloudFormation::Stack",
        "ResourceStatus": status,
        "Timestamp": START + timedelta(minutes=minute),
        **more,
    }


@contextmanager
def answering(*answers: tuple[str, dict[str, Any], dict[str, Any]]) -> Iterator[Observer]:
    """Return an observer whose SDK answers from a script, checked by the SDK's own model."""
    key = AccessKey(id="AKIA", secret="x")
    aws = Aws(Settings(region="eu-central-1", access_key=key))
    with Stubber(aws.client("cloudformation")) as stub:
        for operation, arguments, answer in answers:
            stub.add_response(operation, answer, arguments)
        yield Observer(aws)
        stub.assert_no_pending_responses()
    aws.close()


def native(status: str, digest: str = "", **more: Any) -> Native:
    outputs = {DIGEST_OUTPUT: digest, "Url": "u"} if digest else {}
    return Native(name="s", id=STACK, status=status, outputs=outputs, **more)


def own_token(verb: Verb, digest: str) -> str:
    return token(verb, NativeStack(name=StackName("s"), template={}, digest=digest), ())


RESOURCES = ("list_stack_resources", {"StackName": STACK}, {"StackResourceSummaries": []})


def events(*rows: dict[str, Any], stack: str = STACK) -> Any:
    newest_first = sorted(rows, key=lambda e: e["Timestamp"], reverse=True)
    return "describe_stack_events", {"StackName": stack}, {"StackEvents": newest_first}


async def test_the_cause_is_found_in_the_nested_stack():
    outer = events(
        event(0, STACK, "s", "CREATE_IN_PROGRESS", PhysicalResourceId=STACK),
        event(1, STACK, "Child", "CREATE_IN_PROGRESS", PhysicalResourceId=CHILD),
        event(
            6,
            STACK,
            "Child",
            "CREATE_FAILED",
            PhysicalResourceId=CHILD,
            ResourceStatusReason=EMBEDDED,
        ),
        event(7, STACK, "s", "ROLLBACK_IN_PROGRESS", PhysicalResourceId=STACK),
        event(9, STACK, "s", "ROLLBACK_COMPLETE", PhysicalResourceId=STACK),
    )
    inner = events(
        event(2, CHILD, "s-Child", "CREATE_IN_PROGRESS", PhysicalResourceId=CHILD),
        event(
            3,
            CHILD,
            "Bucket",
            "CREATE_FAILED",
            PhysicalResourceId="b",
            ResourceType="AWS::S3::Bucket",
            ResourceStatusReason="b already exists",
        ),
        event(
            4,
            CHILD,
            "Other",
            "CREATE_FAILED",
            PhysicalResourceId="o",
            ResourceType="AWS::S3::Bucket",
            ResourceStatusReason="Resource creation cancelled",
        ),
        event(5, CHILD, "s-Child", "CREATE_FAILED", PhysicalResourceId=CHILD),
        stack=CHILD,
    )
    with answering(RESOURCES, outer, inner) as observer:
        seen = await observer.observe(native("ROLLBACK_COMPLETE"))
    assert seen.message == (
        "the creation failed and was rolled back: Child/Bucket (AWS::S3::Bucket): b already exists"
    )
    assert "Child/Bucket" in [e.logical_id for e in seen.events]


@pytest.mark.parametrize(
    ("status", "marked", "tried", "expected", "reason"),
    [
        ("CREATE_IN_PROGRESS", "", (Verb.CREATE, "new"), ("Working", "new"), "being created"),
        ("UPDATE_COMPLETE", "new", (Verb.UPDATE, "new"), ("Ready", "new"), "what it has"),
        ("UPDATE_COMPLETE", "old~2", (Verb.UPDATE, "old"), ("Ready", "old"), "a second mark"),
        ("UPDATE_IN_PROGRESS", "old", (Verb.UPDATE, "new"), ("Working", "new"), "on its way"),
        (
            "UPDATE_ROLLBACK_COMPLETE",
            "old",
            (Verb.UPDATE, "new"),
            ("Failed", "new"),
            "remembered, so that it is not tried again",
        ),
        (
            "UPDATE_ROLLBACK_COMPLETE",
            "old",
            None,
            ("Ready", "old"),
            "somebody else's update failed: ours serves on",
        ),
        (
            "UPDATE_ROLLBACK_COMPLETE",
            "old",
            (Verb.CONTINUE, "new"),
            ("Failed", ""),
            "healthy again, and the wanted state untried",
        ),
        (
            "UPDATE_ROLLBACK_FAILED",
            "old",
            (Verb.CONTINUE, "new"),
            ("Failed", "new"),
            "continued in vain: not again for the same",
        ),
        ("ROLLBACK_COMPLETE", "", (Verb.CREATE, "new"), ("Failed", "new"), "tried"),
        ("DELETE_IN_PROGRESS", "old", (Verb.DELETE, "old"), ("Working", ""), "going"),
        ("IMPORT_COMPLETE", "", (Verb.IMPORT, "new"), ("Ready", ""), "an apply must follow"),
    ],
)
async def test_the_digest_is_what_the_engine_has_or_tried(status, marked, tried, expected, reason):
    request_token = own_token(*tried) if tried else "somebody-elses"
    row = event(0, STACK, "s", status, PhysicalResourceId=STACK, ClientRequestToken=request_token)
    with answering(RESOURCES, events(row)) as observer:
        seen = await observer.observe(native(status, marked))
    assert (seen.phase, seen.digest) == (Phase(expected[0]), expected[1]), reason
    assert DIGEST_OUTPUT not in seen.outputs


async def test_a_blocked_deletion_names_each_blocker():
    summary = {
        "LogicalResourceId": "Bucket",
        "ResourceType": "AWS::S3::Bucket",
        "PhysicalResourceId": "b",
        "ResourceStatus": "DELETE_FAILED",
        "ResourceStatusReason": "The bucket is not empty",
        "LastUpdatedTimestamp": START,
    }
    resources = (RESOURCES[0], RESOURCES[1], {"StackResourceSummaries": [summary]})
    row = event(0, STACK, "s", "DELETE_FAILED", PhysicalResourceId=STACK)
    with answering(resources, events(row)) as observer:
        seen = await observer.observe(native("DELETE_FAILED"))
    assert seen.blockers == ("Bucket (AWS::S3::Bucket): The bucket is not empty",)


async def test_work_in_progress_says_on_what():
    summary = {
        "LogicalResourceId": "Cluster",
        "ResourceType": "AWS::RDS::DBCluster",
        "ResourceStatus": "CREATE_IN_PROGRESS",
        "LastUpdatedTimestamp": START,
    }
    resources = (RESOURCES[0], RESOURCES[1], {"StackResourceSummaries": [summary]})
    row = event(0, STACK, "s", "CREATE_IN_PROGRESS", PhysicalResourceId=STACK)
    with answering(resources, events(row)) as observer:
        seen = await observer.observe(native("CREATE_IN_PROGRESS"))
    assert seen.message == "CloudFormation is creating Cluster (AWS::RDS::DBCluster)"


def test_drift_names_the_fields_as_the_template_does():
    difference = {"PropertyPath": "/Tags/0/Value"}
    resource = {"LogicalResourceId": "Q", "StackResourceDriftStatus": "MODIFIED"}
    assert drifted_fields(resource | {"PropertyDifferences": [difference]}) == [
        "Q.Properties.Tags.0.Value"
    ]
    assert drifted_fields(resource | {"StackResourceDriftStatus": "DELETED"}) == ["Q (deleted)"]


def test_a_stack_that_is_only_a_change_set_is_ours_by_its_name():
    uid = "0f0e0d0c-0b0a-4908-8706-050403020100"
    found = {"StackName": f"isthmus-db-{uid}", "StackStatus": "REVIEW_IN_PROGRESS"}
    assert read_stack(found).owner_uid == uid
    assert read_stack(found | {"StackStatus": "CREATE_COMPLETE"}).owner_uid == ""
    assert read_stack(found | {"StackName": "by-hand"}).owner_uid == ""
    tags = [{"Key": TAG_UID, "Value": "u"}]
    assert read_stack(found | {"Tags": tags}).owner_uid == "u"


@pytest.mark.parametrize(
    ("change", "verb"),
    [
        ({"Action": "Add"}, "create"),
        ({"Action": "Remove"}, "delete"),
        ({"Action": "Import"}, "import"),
        ({"Action": "Modify", "Replacement": "False"}, "update"),
        ({"Action": "Modify", "Replacement": "True"}, "replace"),
        ({"Action": "Modify", "Replacement": "Conditional"}, "may-replace"),
        ({"Action": "Dynamic"}, "may-replace"),
    ],
)
def test_a_change_is_read(change, verb):
    details = [{"Target": {"Attribute": "Properties", "Name": "Engine"}}, {"Target": {}}]
    row = {"LogicalResourceId": "C", "ResourceType": "AWS::RDS::DBCluster", "Details": details}
    found = read_change(row | change, frozenset())
    assert (found.verb, found.properties, found.stateful) == (verb, ("Engine",), True)
