"""Credentials that a stack or an API call grants are held to their policies by the lab."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError


def policy(action: str, resource: str) -> dict[str, object]:
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


def test_access_key_of_a_stack_can_do_what_its_policy_says_and_no_more(aws, stacks, name) -> None:
    template = {
        "Resources": {
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
            "User": {"Type": "AWS::IAM::User", "Properties": {"UserName": name}},
            "Policy": {
                "Type": "AWS::IAM::UserPolicy",
                "Properties": {
                    "UserName": {"Ref": "User"},
                    "PolicyName": "objects",
                    "PolicyDocument": policy("s3:GetObject", f"arn:aws:s3:::{name}/*"),
                },
            },
            "Key": {
                "Type": "AWS::IAM::AccessKey",
                "Properties": {"UserName": {"Ref": "User"}},
            },
        },
        "Outputs": {
            "Id": {"Value": {"Ref": "Key"}},
            "Secret": {"Value": {"Fn::GetAtt": ["Key", "SecretAccessKey"]}},
        },
    }
    assert stacks.create(name, template) == "CREATE_COMPLETE", stacks.failures(name)
    outputs = stacks.outputs(name)
    aws.client("s3").put_object(Bucket=name, Key="x", Body=b"content")
    tenant = aws.client(
        "s3", aws_access_key_id=outputs["Id"], aws_secret_access_key=outputs["Secret"]
    )
    assert tenant.get_object(Bucket=name, Key="x")["Body"].read() == b"content"
    with pytest.raises(ClientError, match="AccessDenied"):
        tenant.put_object(Bucket=name, Key="y", Body=b"")
    with pytest.raises(ClientError, match="AccessDenied"):
        tenant.list_buckets()
    aws.client("s3").delete_object(Bucket=name, Key="x")
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    with pytest.raises(ClientError, match=r"InvalidAccessKeyId|InvalidClientTokenId|Forbidden"):
        tenant.get_object(Bucket=name, Key="x")


@pytest.mark.parametrize(
    ("service", "allowed", "refused"),
    [
        ("emr", "elasticmapreduce:ListClusters", "list_security_configurations"),
        ("redshift-serverless", "redshift-serverless:ListNamespaces", "list_workgroups"),
        ("elb", "elasticloadbalancing:DescribeLoadBalancers", "describe_account_limits"),
        ("rds", "rds:DescribeDBClusters", "describe_db_instances"),
    ],
    ids=["json protocol", "json protocol with dashes", "query protocol", "ministack with hooks"],
)
def test_role_session_is_held_to_its_policy(aws, name, service, allowed, refused) -> None:
    iam, sts = aws.client("iam"), aws.client("sts")
    account = sts.get_caller_identity()["Account"]
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    iam.put_role_policy(
        RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy(allowed, "*"))
    )
    session = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="tenant")["Credentials"]
    client = aws.client(
        service,
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    reads = {
        "emr": "list_clusters",
        "redshift-serverless": "list_namespaces",
        "elb": "describe_load_balancers",
        "rds": "describe_db_clusters",
    }
    getattr(client, reads[service])()
    with pytest.raises(ClientError, match="not authorized"):
        getattr(client, refused)()


def test_rule_of_a_security_group_is_authorised_and_revoked(aws, stacks, name) -> None:
    template = {
        "Resources": {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16"}},
            "Group": {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {"GroupDescription": "lab", "VpcId": {"Ref": "Vpc"}},
            },
            "Rule": {
                "Type": "AWS::EC2::SecurityGroupIngress",
                "Properties": {
                    "GroupId": {"Fn::GetAtt": ["Group", "GroupId"]},
                    "IpProtocol": "tcp",
                    "FromPort": 5432,
                    "ToPort": 5432,
                    "CidrIp": "10.1.0.0/16",
                },
            },
        },
        "Outputs": {"Group": {"Value": {"Fn::GetAtt": ["Group", "GroupId"]}}},
    }
    assert stacks.create(name, template) == "CREATE_COMPLETE", stacks.failures(name)
    group = stacks.outputs(name)["Group"]

    def ports() -> list[int]:
        described = aws.client("ec2").describe_security_groups(GroupIds=[group])
        return [rule["FromPort"] for rule in described["SecurityGroups"][0]["IpPermissions"]]

    assert ports() == [5432]
    del template["Resources"]["Rule"]
    assert stacks.update(name, template) == "UPDATE_COMPLETE", stacks.failures(name)
    assert ports() == []
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
