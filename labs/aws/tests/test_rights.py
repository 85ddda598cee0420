"""Signatures, policies and roles: who may do what, in the API and inside CloudFormation."""

from __future__ import annotations

import json
import urllib.request
from typing import Any
from urllib.error import HTTPError

import pytest
from botocore.exceptions import ClientError

ACCOUNT, OTHER = "111122223333", "444455556666"


def policy(*actions: str, resource: str = "*") -> str:
    statement = {"Effect": "Allow", "Action": list(actions), "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def trust(principal: dict[str, Any], **condition: Any) -> str:
    statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal, **condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def template(name: str) -> str:
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}
    queue = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}, "DependsOn": "B"}
    return json.dumps({"Resources": {"B": bucket, "Q": queue}})


@pytest.fixture
def user(aws, name):
    """Makes a user with a policy; gives its credentials."""
    iam = aws.client("iam")

    def make(document: str) -> dict[str, str]:
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        }

    return make


def code(refusal: pytest.ExceptionInfo[ClientError]) -> str:
    return str(refusal.value.response["Error"]["Code"])


@pytest.mark.parametrize("key", ["test", "000000000000", "AKIAUNKNOWNUNKNOWN00"])
def test_unknown_keys_are_refused(aws, key):
    sts = aws.client("sts", aws_access_key_id=key, aws_secret_access_key="test")
    with pytest.raises(ClientError) as refusal:
        sts.get_caller_identity()
    assert code(refusal) in ("InvalidClientTokenId", "UnrecognizedClientException")


def test_wrong_secret_is_refused(aws):
    keys = aws.keys[ACCOUNT]
    sqs = aws.client("sqs", aws_access_key_id=keys["access_key_id"], aws_secret_access_key="wrong")
    with pytest.raises(ClientError) as refusal:
        sqs.list_queues()
    assert code(refusal) in ("SignatureDoesNotMatch", "InvalidSignatureException")


def test_unsigned_requests_are_refused(aws):
    with pytest.raises(HTTPError) as refusal:
        urllib.request.urlopen(f"{aws.url}/some-bucket/key", timeout=10)
    assert refusal.value.code == 403
    refusal.value.close()


def test_policy_limits_a_user(aws, user, name):
    keys = user(policy("sqs:ListQueues"))
    sqs = aws.client("sqs", **keys)
    sqs.list_queues()
    with pytest.raises(ClientError, match="not authorized to perform: sqs:CreateQueue"):
        sqs.create_queue(QueueName=name)


def test_accounts_and_regions_are_apart(aws, name):
    aws.client("sqs").create_queue(QueueName=name)
    for elsewhere in (aws.client("sqs", OTHER), aws.client("sqs", region="eu-central-1")):
        assert not elsewhere.list_queues(QueueNamePrefix=name).get("QueueUrls")


def test_role_of_another_account_needs_the_external_id(aws, name):
    condition = {"StringEquals": {"sts:ExternalId": "secret-id"}}
    role = aws.client("iam", OTHER).create_role(
        RoleName=name,
        AssumeRolePolicyDocument=trust(
            {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, Condition=condition
        ),
    )["Role"]["Arn"]
    aws.client("iam", OTHER).put_role_policy(
        RoleName=name, PolicyName="p", PolicyDocument=policy("sqs:*")
    )
    sts = aws.client("sts")
    with pytest.raises(ClientError) as refusal:
        sts.assume_role(RoleArn=role, RoleSessionName="session", ExternalId="wrong-id")
    assert code(refusal) == "AccessDenied"
    session = sts.assume_role(RoleArn=role, RoleSessionName="session", ExternalId="secret-id")
    keys = {
        "aws_access_key_id": session["Credentials"]["AccessKeyId"],
        "aws_secret_access_key": session["Credentials"]["SecretAccessKey"],
        "aws_session_token": session["Credentials"]["SessionToken"],
    }
    aws.client("sqs", **keys).create_queue(QueueName=name)
    assert aws.client("sqs", OTHER).list_queues(QueueNamePrefix=name)["QueueUrls"]
    with pytest.raises(ClientError, match="not authorized"):
        aws.client("iam", **keys).list_users()


def test_stack_is_made_with_the_callers_rights(aws, user, stacks, name):
    keys = user(policy("cloudformation:*", "s3:*"))
    mine = aws.client("cloudformation", **keys)
    mine.create_stack(StackName=name, TemplateBody=template(name))
    assert stacks.wait(name) == "ROLLBACK_COMPLETE"
    reason = stacks.failures(name)["Q"]
    assert f"user/{name} is not authorized to perform: sqs:CreateQueue" in reason
    assert "AccessDenied" in reason


def test_stack_is_made_with_the_service_roles_rights(aws, user, stacks, name):
    iam = aws.client("iam")
    role = iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=trust({"Service": "cloudformation.amazonaws.com"}),
    )["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy("s3:*", "sqs:*"))
    keys = user(policy("cloudformation:*"))
    mine = aws.client("cloudformation", **keys)
    with pytest.raises(ClientError, match="iam:PassRole"):
        mine.create_stack(StackName=name, TemplateBody=template(name), RoleARN=role)
    iam.put_user_policy(
        UserName=name, PolicyName="pass", PolicyDocument=policy("iam:PassRole", resource=role)
    )
    mine.create_stack(StackName=name, TemplateBody=template(name), RoleARN=role)
    assert stacks.wait(name) == "CREATE_COMPLETE"
    assert stacks.stack(name)["RoleARN"] == role
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy("s3:*"))
    mine.delete_stack(StackName=name)  # The stack keeps its role.
    assert stacks.wait(name) == "DELETE_FAILED"
    assert "sqs:DeleteQueue" in stacks.failures(name)["Q"]
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=policy("s3:*", "sqs:*"))
    identity = stacks.stack(name)["StackId"]
    mine.delete_stack(StackName=name)
    assert stacks.wait(identity) == "DELETE_COMPLETE"


def test_role_that_cloudformation_may_not_assume_is_refused(aws, stacks, name):
    role = aws.client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=trust({"Service": "ec2.amazonaws.com"})
    )["Role"]["Arn"]
    with pytest.raises(ClientError, match="invalid or cannot be assumed"):
        stacks.cf.create_stack(StackName=name, TemplateBody=template(name), RoleARN=role)


def test_change_set_keeps_the_role_it_was_made_with(aws, stacks, name):
    role = aws.client("iam").create_role(
        RoleName=name,
        AssumeRolePolicyDocument=trust({"Service": "cloudformation.amazonaws.com"}),
    )["Role"]["Arn"]
    stacks.change_set(name, json.loads(template(name)), "CREATE", RoleARN=role)
    stacks.cf.execute_change_set(StackName=name, ChangeSetName="changes")
    assert stacks.wait(name) == "ROLLBACK_COMPLETE"
    assert f"assumed-role/{name}/AWSCloudFormation" in stacks.failures(name)["B"]
