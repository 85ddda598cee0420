"""A stack's life as CloudFormation tells it: in progress, complete, failed, rolled back, gone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError


def queue(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def held(operation: str) -> dict[str, Any]:
    """A fault: the first such step waits until the faults are taken away."""
    return {"effect": "delay", "type": "*", "operation": operation, "seconds": 60}


@pytest.fixture
def queues(aws):
    sqs = aws.client("sqs")

    def exists(name: str) -> bool:
        return any(
            url.endswith(f"/{name}")
            for url in sqs.list_queues(QueueNamePrefix=name).get("QueueUrls", [])
        )

    return exists


def test_create_takes_time_and_tells_each_resource(aws, stacks, name):
    aws.faults(held("create"))
    first = {"A": queue(f"{name}-a"), "B": {**queue(f"{name}-b"), "DependsOn": "A"}}
    identity = stacks.begin(name, template(**first))
    assert stacks.stack(identity)["StackStatus"] == "CREATE_IN_PROGRESS"
    aws.faults()
    assert stacks.wait(identity) == "CREATE_COMPLETE"
    told = [(who, status) for who, status, _ in stacks.events(name)]
    assert told == [
        (name, "CREATE_IN_PROGRESS"),
        ("A", "CREATE_IN_PROGRESS"),
        ("A", "CREATE_IN_PROGRESS"),  # "Resource creation Initiated", with the physical id.
        ("A", "CREATE_COMPLETE"),
        ("B", "CREATE_IN_PROGRESS"),
        ("B", "CREATE_IN_PROGRESS"),
        ("B", "CREATE_COMPLETE"),
        (name, "CREATE_COMPLETE"),
    ]
    assert stacks.delete(name) == "DELETE_COMPLETE"


def test_failed_create_rolls_back_and_leaves_nothing(aws, stacks, queues, name):
    aws.faults({"effect": "error", "type": "AWS::SQS::Queue", "logical_id": "B", "message": "boom"})
    resources = {"A": queue(f"{name}-a"), "B": {**queue(f"{name}-b"), "DependsOn": "A"}}
    assert stacks.create(name, template(**resources)) == "ROLLBACK_COMPLETE"
    assert "boom" in stacks.failures(name)["B"]
    assert not queues(name)
    assert stacks.delete(name) == "DELETE_COMPLETE"


def test_failure_after_the_work_was_done_leaves_nothing(aws, stacks, queues, name):
    aws.faults({"effect": "lose", "type": "AWS::SQS::Queue", "operation": "create"})
    assert stacks.create(name, template(A=queue(f"{name}-a"))) == "ROLLBACK_COMPLETE"
    assert not queues(name)


def test_existing_name_refuses_a_create(aws, stacks, name):
    aws.client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    table = {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "TableName": name,
            "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    }
    assert stacks.create(name, template(T=table)) == "ROLLBACK_COMPLETE"
    assert "already exists" in stacks.failures(name)["T"]
    assert "AlreadyExists" in stacks.failures(name)["T"]
    assert name in aws.client("dynamodb").list_tables()["TableNames"]


def test_non_empty_bucket_refuses_its_delete(aws, stacks, name):
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}
    assert stacks.create(name, template(B=bucket)) == "CREATE_COMPLETE"
    s3 = aws.client("s3")
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    assert stacks.delete(name) == "DELETE_FAILED"
    assert "not empty" in stacks.failures(name)["B"]
    assert s3.get_object(Bucket=name, Key="k")["Body"].read() == b"x"
    s3.delete_object(Bucket=name, Key="k")
    assert stacks.delete(name) == "DELETE_COMPLETE"


def test_failed_delete_leaves_what_it_needs_untouched(aws, stacks, queues, name):
    resources = {
        "Base": queue(f"{name}-base"),
        "Middle": queue(f"{name}-middle", Tags=[{"Key": "k", "Value": {"Ref": "Base"}}]),
        "Stuck": {**queue(f"{name}-stuck"), "DependsOn": "Middle"},
        "User": {**queue(f"{name}-user"), "DependsOn": "Stuck"},
        "Apart": queue(f"{name}-apart"),
    }
    assert stacks.create(name, template(**resources)) == "CREATE_COMPLETE"
    aws.faults({"effect": "error", "type": "*", "operation": "delete", "logical_id": "Stuck"})
    assert stacks.delete(name) == "DELETE_FAILED"
    assert stacks.stack(name)["StackStatusReason"].endswith("[Stuck].")
    found = stacks.cf.describe_stack_resources(StackName=name)["StackResources"]
    assert {one["LogicalResourceId"]: one["ResourceStatus"] for one in found} == {
        "Base": "CREATE_COMPLETE",
        "Middle": "CREATE_COMPLETE",
        "Stuck": "DELETE_FAILED",
    }
    attempted = {who for who, status, _ in stacks.events(name) if status == "DELETE_IN_PROGRESS"}
    assert attempted == {name, "User", "Stuck", "Apart"}
    aws.faults()
    assert stacks.delete(name) == "DELETE_COMPLETE"
    assert not any(queues(f"{name}-{one}") for one in ("base", "middle", "stuck"))


def test_failed_delete_in_a_nested_stack_fails_its_parent(aws, stacks, queues, name):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=name)
    child = template(A=queue(f"{name}-a"), B={**queue(f"{name}-b"), "DependsOn": "A"})
    s3.put_object(Bucket=name, Key="child.json", Body=json.dumps(child).encode())
    nested = {
        "Type": "AWS::CloudFormation::Stack",
        "DependsOn": "C",
        "Properties": {"TemplateURL": f"{aws.url}/{name}/child.json"},
    }
    parent = template(N=nested, C=queue(f"{name}-c"))
    assert stacks.create(name, parent) == "CREATE_COMPLETE"
    aws.faults({"effect": "error", "type": "*", "operation": "delete", "logical_id": "B"})
    assert stacks.delete(name) == "DELETE_FAILED"
    assert "was not successfully deleted" in stacks.failures(name)["N"]
    assert "[B]" in stacks.failures(name)["N"]
    assert all(queues(f"{name}-{one}") for one in "abc")
    aws.faults()
    assert stacks.delete(name) == "DELETE_COMPLETE"
    assert not any(queues(f"{name}-{one}") for one in "abc")


def test_update_changes_in_place_and_rolls_back_on_failure(aws, stacks, queues, name):
    before = template(A=queue(f"{name}-a", VisibilityTimeout=10))
    assert stacks.create(name, before) == "CREATE_COMPLETE"
    after = template(A=queue(f"{name}-a", VisibilityTimeout=20))
    assert stacks.update(name, after) == "UPDATE_COMPLETE"
    aws.faults({"effect": "error", "type": "AWS::SQS::Queue", "logical_id": "B"})
    bad = template(
        A=queue(f"{name}-a", VisibilityTimeout=30), B={**queue(f"{name}-b"), "DependsOn": "A"}
    )
    assert stacks.update(name, bad) == "UPDATE_ROLLBACK_COMPLETE"
    sqs = aws.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{name}-a")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert attributes["Attributes"]["VisibilityTimeout"] == "20"
    assert not queues(f"{name}-b")


def test_update_tells_only_what_it_does(stacks, name):
    kept, gone = queue(f"{name}-kept"), queue(f"{name}-gone")
    changed, fresh = queue(f"{name}-c", VisibilityTimeout=5), queue(f"{name}-new")
    before = template(K=kept, C=queue(f"{name}-c"), G=gone)
    assert stacks.create(name, before) == "CREATE_COMPLETE"
    count = len(stacks.events(name))
    after = template(K=kept, C=changed, N={**fresh, "DependsOn": "C"})
    assert stacks.update(name, after) == "UPDATE_COMPLETE"
    told = [(who, status) for who, status, _ in stacks.events(name)[count:]]
    assert told == [
        (name, "UPDATE_IN_PROGRESS"),
        ("C", "UPDATE_IN_PROGRESS"),
        ("C", "UPDATE_COMPLETE"),
        ("N", "CREATE_IN_PROGRESS"),
        ("N", "CREATE_IN_PROGRESS"),
        ("N", "CREATE_COMPLETE"),
        (name, "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"),
        ("G", "DELETE_IN_PROGRESS"),
        ("G", "DELETE_COMPLETE"),
        (name, "UPDATE_COMPLETE"),
    ]
    rows = stacks.cf.describe_stack_resources(StackName=name)["StackResources"]
    assert {row["LogicalResourceId"]: row["ResourceStatus"] for row in rows} == {
        "K": "CREATE_COMPLETE",
        "C": "UPDATE_COMPLETE",
        "N": "CREATE_COMPLETE",
    }


def test_delete_overtakes_a_create(aws, stacks, queues, name):
    aws.faults(held("create"))
    identity = stacks.begin(name, template(**{f"Q{i}": queue(f"{name}-{i}") for i in range(4)}))
    stacks.cf.delete_stack(StackName=name)
    assert stacks.stack(identity)["StackStatus"].startswith("DELETE_")
    stacks.cf.delete_stack(StackName=name)  # A second request changes nothing.
    assert stacks.wait(identity) == "DELETE_COMPLETE"
    assert not queues(name)


def test_change_set_shows_replacement_and_executes(stacks, queues, name):
    assert stacks.create(name, template(A=queue(f"{name}-1"))) == "CREATE_COMPLETE"
    changes = stacks.change_set(name, template(A=queue(f"{name}-2")))
    assert changes["Changes"][0]["ResourceChange"]["Replacement"] == "True"
    assert queues(f"{name}-1")
    stacks.cf.execute_change_set(StackName=name, ChangeSetName="changes")
    assert stacks.wait(name) == "UPDATE_COMPLETE"
    assert queues(f"{name}-2")
    assert not queues(f"{name}-1")


def test_change_set_leaves_out_what_a_condition_leaves_out(stacks, name):
    conditional = {
        "Parameters": {"More": {"Type": "String", "Default": "no"}},
        "Conditions": {"More": {"Fn::Equals": [{"Ref": "More"}, "yes"]}},
        "Resources": {
            "A": queue(f"{name}-a"),
            "B": {**queue(f"{name}-b"), "Condition": "More"},
        },
    }
    described = stacks.change_set(name, conditional, "CREATE")
    told = [c["ResourceChange"]["LogicalResourceId"] for c in described["Changes"]]
    assert told == ["A"]


def test_failed_rollback_is_continued(aws, stacks, name):
    before = template(A=queue(f"{name}-a", VisibilityTimeout=10), B=queue(f"{name}-b"))
    assert stacks.create(name, before) == "CREATE_COMPLETE"
    aws.faults(
        {"effect": "error", "type": "AWS::SQS::Queue", "logical_id": "B", "operation": "update"},
        {"effect": "error", "type": "*", "logical_id": "A", "operation": "update", "skip": 1},
    )
    bad = template(
        A=queue(f"{name}-a", VisibilityTimeout=20),
        B={**queue(f"{name}-b", VisibilityTimeout=5), "DependsOn": "A"},
    )
    assert stacks.update(name, bad) == "UPDATE_ROLLBACK_FAILED"
    stacks.cf.continue_update_rollback(StackName=name)
    assert stacks.wait(name) == "UPDATE_ROLLBACK_COMPLETE"


def test_cancelled_update_rolls_back(aws, stacks, queues, name):
    assert stacks.create(name, template(A=queue(f"{name}-a"))) == "CREATE_COMPLETE"
    aws.faults(held("create"))
    more = {f"Q{i}": queue(f"{name}-{i}") for i in range(4)}
    stacks.cf.update_stack(
        StackName=name, TemplateBody=json.dumps(template(A=queue(f"{name}-a"), **more))
    )
    stacks.cf.cancel_update_stack(StackName=name)
    aws.faults()
    assert stacks.wait(name) == "UPDATE_ROLLBACK_COMPLETE"
    assert not queues(f"{name}-3")


def test_nested_stack_is_made_and_cleaned_up(aws, stacks, queues, name):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=name)
    child = template(Q=queue(f"{name}-child"))
    s3.put_object(Bucket=name, Key="child.json", Body=json.dumps(child).encode())
    nested = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": f"{aws.url}/{name}/child.json"},
    }
    assert stacks.create(name, template(N=nested)) == "CREATE_COMPLETE"
    assert queues(f"{name}-child")
    assert stacks.delete(name) == "DELETE_COMPLETE"
    assert not queues(f"{name}-child")
    aws.faults({"effect": "error", "type": "AWS::SNS::Topic"})
    failing = template(Q=queue(f"{name}-child"), T={"Type": "AWS::SNS::Topic", "DependsOn": "Q"})
    s3.put_object(Bucket=name, Key="child.json", Body=json.dumps(failing).encode())
    assert stacks.create(f"{name}-2", template(N=nested)) == "ROLLBACK_COMPLETE"
    assert not queues(f"{name}-child")


def test_unknown_type_is_refused(stacks, name):
    with pytest.raises(ClientError, match="ValidationError"):
        stacks.begin(name, template(A={"Type": "AWS::Nothing::Here"}))


def test_drift_names_what_was_changed_and_what_is_gone(aws, stacks, until, name):
    document = template(A=queue(f"{name}-a", VisibilityTimeout=10), B=queue(f"{name}-b"))
    assert stacks.create(name, document) == "CREATE_COMPLETE"
    sqs = aws.client("sqs")
    first, second = (sqs.get_queue_url(QueueName=f"{name}-{x}")["QueueUrl"] for x in "ab")
    sqs.set_queue_attributes(QueueUrl=first, Attributes={"VisibilityTimeout": "99"})
    sqs.delete_queue(QueueUrl=second)
    detection = stacks.cf.detect_stack_drift(StackName=name)["StackDriftDetectionId"]
    found = until(
        lambda: stacks.cf.describe_stack_drift_detection_status(StackDriftDetectionId=detection),
        lambda answer: answer["DetectionStatus"] != "DETECTION_IN_PROGRESS",
    )
    assert found["StackDriftStatus"] == "DRIFTED"
    drifts = stacks.cf.describe_stack_resource_drifts(StackName=name)["StackResourceDrifts"]
    assert {d["LogicalResourceId"]: d["StackResourceDriftStatus"] for d in drifts} == {
        "A": "MODIFIED",
        "B": "DELETED",
    }
    changed = next(d for d in drifts if d["LogicalResourceId"] == "A")["PropertyDifferences"][0]
    assert (changed["PropertyPath"], changed["ExpectedValue"], changed["ActualValue"]) == (
        "/VisibilityTimeout",
        "10",
        "99",
    )


def test_existing_resource_is_imported(aws, stacks, name):
    bucket = {
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "Properties": {"BucketName": name},
    }
    wanted = [
        {
            "ResourceType": "AWS::S3::Bucket",
            "LogicalResourceId": "B",
            "ResourceIdentifier": {"BucketName": name},
        }
    ]
    missing = stacks.change_set(name, template(B=bucket), "IMPORT", ResourcesToImport=wanted)
    assert missing["Status"] == "FAILED"
    aws.client("s3").create_bucket(Bucket=name)
    stacks.cf.delete_change_set(StackName=name, ChangeSetName="changes")
    stacks.change_set(name, template(B=bucket), "IMPORT", ResourcesToImport=wanted)
    stacks.cf.execute_change_set(StackName=name, ChangeSetName="changes")
    assert stacks.wait(name) == "IMPORT_COMPLETE"
    assert stacks.delete(name) == "DELETE_COMPLETE"
    aws.client("s3").head_bucket(Bucket=name)


def test_throttled_and_slow_api_does_not_stop_a_stack(aws, stacks, name):
    aws.faults({"service": "sqs", "effect": "throttle", "times": -1})
    assert stacks.create(name, template(A=queue(name))) == "CREATE_COMPLETE"
