"""What CloudFormation checks of a request: templates, tokens, policies, protection, parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError


def queue(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        ({"Type": "AWS::SQS::Queue", "Properties": {"Bogus": 1}}, "Bogus"),
        ({"Type": "AWS::SQS::Queue", "Properties": {"VisibilityTimeout": -5}}, "-5"),
        ({"Type": "AWS::Redshift::ClusterParameterGroup", "Properties": {}}, "required"),
        (
            {
                "Type": "AWS::RDS::DBInstance",
                "Properties": {
                    "Engine": "nosuch",
                    "DBInstanceClass": "db.r6g.large",
                    "AllocatedStorage": "20",
                },
            },
            "nosuch",
        ),
    ],
)
def test_wrong_templates_are_refused(stacks, name, resource, words):
    with pytest.raises(ClientError, match=words) as refusal:
        stacks.begin(name, template(A=resource))
    assert refusal.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="does not exist"):
        stacks.stack(name)


def test_properties_are_checked_once_resolved(stacks, name):
    parameters = {"Forbidden": {"Type": "String", "Default": "x"}}
    resource = {
        "Type": "AWS::SNS::Topic",
        "Properties": {"Fn::If": ["Yes", {"TopicArn": "arn:aws:sns:::x"}, {}]},
    }
    document = {
        **template(A=resource),
        "Parameters": parameters,
        "Conditions": {"Yes": {"Fn::Equals": [{"Ref": "Forbidden"}, "x"]}},
    }
    try:
        status = stacks.create(name, document)
    except ClientError:
        return  # The checker found it already.
    assert status == "ROLLBACK_COMPLETE"


def test_repeated_token_gets_the_first_answer(stacks, name):
    first = stacks.begin(name, template(A=queue(name)), ClientRequestToken=name)
    second = stacks.begin(name, template(A=queue(name)), ClientRequestToken=name)
    assert first == second
    with pytest.raises(ClientError) as refusal:
        stacks.begin(name, template(B=queue(name)), ClientRequestToken=name)
    assert refusal.value.response["Error"]["Code"].startswith("TokenAlreadyExists")
    with pytest.raises(ClientError, match="AlreadyExists"):
        stacks.begin(name, template(A=queue(name)))
    assert stacks.wait(name) == "CREATE_COMPLETE"


def test_stack_policy_forbids_change_and_removal(stacks, name):
    policy = {
        "Statement": [
            {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
            {
                "Effect": "Deny",
                "Action": "Update:*",
                "Principal": "*",
                "Resource": "LogicalResourceId/A",
            },
        ]
    }
    before = template(A=queue(f"{name}-a"), B=queue(f"{name}-b"))
    assert stacks.create(name, before, StackPolicyBody=json.dumps(policy)) == "CREATE_COMPLETE"
    changed = template(A=queue(f"{name}-a", VisibilityTimeout=9), B=queue(f"{name}-b"))
    assert stacks.update(name, changed) == "UPDATE_ROLLBACK_COMPLETE"
    assert "Action denied by stack policy" in stacks.failures(name)["A"]
    with pytest.raises(ClientError, match="Update:Delete"):
        stacks.update(name, template(B=queue(f"{name}-b")))
    free = {"Statement": [{"Effect": "Allow", "Action": "*", "Principal": "*", "Resource": "*"}]}
    during = json.dumps(free)
    assert stacks.update(name, changed, StackPolicyDuringUpdateBody=during) == "UPDATE_COMPLETE"


def test_protected_stack_is_not_deleted(stacks, name):
    stacks.create(name, template(A=queue(name)), EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection"):
        stacks.cf.delete_stack(StackName=name)
    stacks.cf.update_termination_protection(StackName=name, EnableTerminationProtection=False)
    assert stacks.delete(name) == "DELETE_COMPLETE"


def test_secret_parameters_are_masked(stacks, name):
    document = {
        **template(A=queue(name)),
        "Parameters": {"Password": {"Type": "String", "NoEcho": True}},
    }
    given = [{"ParameterKey": "Password", "ParameterValue": "hunter2hunter2"}]
    assert stacks.create(name, document, Parameters=given) == "CREATE_COMPLETE"
    assert stacks.stack(name)["Parameters"][0]["ParameterValue"] == "****"
    assert "hunter2" not in str(stacks.events(name))


@pytest.mark.parametrize(
    ("on_failure", "end"), [("DO_NOTHING", "CREATE_FAILED"), ("DELETE", "DELETE_COMPLETE")]
)
def test_on_failure(aws, stacks, name, on_failure, end):
    aws.faults({"effect": "error", "type": "*", "operation": "create", "logical_id": "B"})
    resources = {"A": queue(f"{name}-a"), "B": {**queue(f"{name}-b"), "DependsOn": "A"}}
    identity = stacks.begin(name, template(**resources), OnFailure=on_failure)
    assert stacks.wait(identity) in (end, "ROLLBACK_COMPLETE")
    assert stacks.wait(identity) == end
    kept = aws.client("sqs").list_queues(QueueNamePrefix=name).get("QueueUrls", [])
    assert len(kept) == (1 if on_failure == "DO_NOTHING" else 0)


def test_update_in_progress_is_not_deleted(aws, stacks, name):
    stacks.create(name, template(A=queue(name)))
    aws.faults({"effect": "delay", "type": "*", "operation": "update", "seconds": 60})
    changed = template(A=queue(name, VisibilityTimeout=9))
    stacks.cf.update_stack(StackName=name, TemplateBody=json.dumps(changed))
    with pytest.raises(ClientError, match="cannot be deleted while in status UPDATE_IN_PROGRESS"):
        stacks.cf.delete_stack(StackName=name)
    aws.faults()
    assert stacks.wait(name) == "UPDATE_COMPLETE"
