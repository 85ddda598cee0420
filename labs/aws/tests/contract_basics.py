"""Cases of the contract test: storage, messaging, identity and keys. `NAME` is the test's own."""

from __future__ import annotations

from typing import Any

from labs.aws.tests.contract_parts import Part, allow, att, ref, trust


def _queue(lab: Any, url: str) -> str:
    answer = lab.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    return answer["Attributes"]["VisibilityTimeout"]


def _topic(lab: Any, arn: str) -> str:
    return lab.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"]["DisplayName"]


def _bucket(lab: Any, name: str) -> str:
    return lab.client("s3").get_bucket_versioning(Bucket=name)["Status"]


def _table(lab: Any, name: str) -> str:
    return lab.client("dynamodb").describe_table(TableName=name)["Table"]["BillingModeSummary"][
        "BillingMode"
    ]


def _role(lab: Any, name: str) -> int:
    return lab.client("iam").get_role(RoleName=name)["Role"]["MaxSessionDuration"]


def _secret(lab: Any, arn: str) -> str:
    return lab.client("secretsmanager").describe_secret(SecretId=arn)["Description"]


def _key(lab: Any, key: str) -> str:
    return lab.client("kms").describe_key(KeyId=key)["KeyMetadata"]["Description"]


def _retention(lab: Any, name: str) -> int:
    groups = lab.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    return groups[0]["retentionInDays"]


BASICS: dict[str, dict[str, Part]] = {
    "storage": {
        "Bucket": Part(
            "AWS::S3::Bucket",
            {"BucketName": "NAME", "VersioningConfiguration": {"Status": "Enabled"}},
            ("Arn", "DomainName", "RegionalDomainName"),
            {"VersioningConfiguration": {"Status": "Suspended"}},
            _bucket,
            "Suspended",
        ),
        "Policy": Part(
            "AWS::S3::BucketPolicy",
            {
                "Bucket": ref("Bucket"),
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Deny",
                            "Principal": "*",
                            "Action": "s3:*",
                            "Resource": {"Fn::Sub": "${Bucket.Arn}/*"},
                            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
                        }
                    ],
                },
            },
        ),
        "Table": Part(
            "AWS::DynamoDB::Table",
            {
                "TableName": "NAME",
                "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
                "BillingMode": "PROVISIONED",
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            },
            ("Arn",),
            {"BillingMode": "PAY_PER_REQUEST", "ProvisionedThroughput": {"Ref": "AWS::NoValue"}},
            _table,
            "PAY_PER_REQUEST",
        ),
    },
    "messaging": {
        "Queue": Part(
            "AWS::SQS::Queue",
            {"QueueName": "NAME", "VisibilityTimeout": 30},
            ("Arn", "QueueName", "QueueUrl"),
            {"VisibilityTimeout": 60},
            _queue,
            "60",
        ),
        "QueuePolicy": Part(
            "AWS::SQS::QueuePolicy",
            {
                "Queues": [ref("Queue")],
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "sns.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": att("Queue", "Arn"),
                        }
                    ],
                },
            },
        ),
        "Topic": Part(
            "AWS::SNS::Topic",
            {"TopicName": "NAME", "DisplayName": "before"},
            ("TopicArn", "TopicName"),
            {"DisplayName": "after"},
            _topic,
            "after",
        ),
        "Subscription": Part(
            "AWS::SNS::Subscription",
            {"TopicArn": ref("Topic"), "Protocol": "sqs", "Endpoint": att("Queue", "Arn")},
        ),
    },
    "identity": {
        "Role": Part(
            "AWS::IAM::Role",
            {"RoleName": "NAME", "AssumeRolePolicyDocument": trust("ec2.amazonaws.com")},
            ("Arn", "RoleId"),
            {"MaxSessionDuration": 7200},
            _role,
            7200,
        ),
        "Policy": Part(
            "AWS::IAM::Policy",
            {
                "PolicyName": "NAME",
                "Roles": [ref("Role")],
                "PolicyDocument": allow("s3:ListAllMyBuckets"),
            },
        ),
        "Managed": Part(
            "AWS::IAM::ManagedPolicy",
            {"ManagedPolicyName": "NAME", "PolicyDocument": allow("sqs:ListQueues")},
        ),
        "User": Part("AWS::IAM::User", {"UserName": "NAME"}, ("Arn",)),
        "Profile": Part("AWS::IAM::InstanceProfile", {"Roles": [ref("Role")]}, ("Arn",)),
        "Secret": Part(
            "AWS::SecretsManager::Secret",
            {
                "Name": "NAME",
                "Description": "before",
                "GenerateSecretString": {"PasswordLength": 24},
            },
            ("Id",),
            {"Description": "after"},
            _secret,
            "after",
        ),
        "Key": Part(
            "AWS::KMS::Key",
            {
                "Description": "before",
                "KeyPolicy": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {
                                "AWS": {"Fn::Sub": "arn:aws:iam::${AWS::AccountId}:root"}
                            },
                            "Action": "kms:*",
                            "Resource": "*",
                        }
                    ],
                },
            },
            ("Arn", "KeyId"),
            {"Description": "after"},
            _key,
            "after",
        ),
        "Alias": Part("AWS::KMS::Alias", {"AliasName": "alias/NAME", "TargetKeyId": ref("Key")}),
        "Logs": Part(
            "AWS::Logs::LogGroup",
            {"LogGroupName": "NAME", "RetentionInDays": 7},
            ("Arn",),
            {"RetentionInDays": 30},
            _retention,
            30,
        ),
    },
}
