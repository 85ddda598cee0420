"""What the contract test asks of each resource type; the fidelity table is made from it as well.

`NAME` stands for a name of the test's own. `read` asks the service's own API, so that an update
counts only once the service shows it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Read = Callable[[Any, str], Any]


@dataclass(frozen=True)
class Part:
    """One resource of a group.

    `attributes` must resolve to a value; `change` is applied in an update, which must keep the
    physical id; `read` must give `after` once it is applied.
    """

    type: str
    properties: dict[str, Any] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    change: dict[str, Any] | None = None
    read: Read | None = None
    after: Any = None


def ref(logical_id: str) -> dict[str, str]:
    return {"Ref": logical_id}


def att(logical_id: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [logical_id, attribute]}


def trust(service: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def allow(action: str) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


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


def _cluster(lab: Any, name: str) -> int:
    found = lab.client("rds").describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
    return found["BackupRetentionPeriod"]


def _redshift(lab: Any, name: str) -> int:
    found = lab.client("redshift").describe_clusters(ClusterIdentifier=name)["Clusters"][0]
    return found["AutomatedSnapshotRetentionPeriod"]


def _workgroup(lab: Any, name: str) -> int:
    found = lab.client("athena").get_work_group(WorkGroup=name)["WorkGroup"]
    return found["Configuration"]["BytesScannedCutoffPerQuery"]


def _distribution(lab: Any, identity: str) -> str:
    found = lab.client("cloudfront").get_distribution(Id=identity)["Distribution"]
    return found["DistributionConfig"]["Comment"]


def _zone(lab: Any, identity: str) -> str:
    return lab.client("route53").get_hosted_zone(Id=identity)["HostedZone"]["Config"]["Comment"]


def _balancer(lab: Any, arn: str) -> str:
    found = lab.client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=arn)
    attributes = {a["Key"]: a["Value"] for a in found["Attributes"]}
    return attributes["idle_timeout.timeout_seconds"]


def _target_group(lab: Any, arn: str) -> str:
    found = lab.client("elbv2").describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
    return found["HealthCheckPath"]


def _classic(lab: Any, name: str) -> int:
    found = lab.client("elb").describe_load_balancers(LoadBalancerNames=[name])
    return found["LoadBalancerDescriptions"][0]["HealthCheck"]["Interval"]


def _replication_group(lab: Any, name: str) -> int:
    found = lab.client("elasticache").describe_replication_groups(ReplicationGroupId=name)
    return found["ReplicationGroups"][0]["SnapshotRetentionLimit"]


def _emr(lab: Any, identity: str) -> int:
    groups = lab.client("emr").list_instance_groups(ClusterId=identity)["InstanceGroups"]
    return next(g["RequestedInstanceCount"] for g in groups if g["InstanceGroupType"] == "CORE")


def _serverless(lab: Any, name: str) -> int:
    found = lab.client("redshift-serverless").get_workgroup(workgroupName=name)["workgroup"]
    return found["baseCapacity"]


SUBNETS = {
    "Vpc": Part("AWS::EC2::VPC", {"CidrBlock": "10.1.0.0/16"}, ("VpcId", "CidrBlock")),
    "SubnetA": Part(
        "AWS::EC2::Subnet",
        {"VpcId": ref("Vpc"), "CidrBlock": "10.1.1.0/24", "AvailabilityZone": "us-east-1a"},
        ("SubnetId",),
    ),
    "SubnetB": Part(
        "AWS::EC2::Subnet",
        {"VpcId": ref("Vpc"), "CidrBlock": "10.1.2.0/24", "AvailabilityZone": "us-east-1b"},
    ),
}

DISTRIBUTION = {
    "Enabled": True,
    "Comment": "before",
    "Origins": [
        {
            "Id": "o",
            "DomainName": "b.s3.amazonaws.com",
            "OriginAccessControlId": ref("Access"),
            "S3OriginConfig": {"OriginAccessIdentity": ""},
        }
    ],
    "DefaultCacheBehavior": {
        "TargetOriginId": "o",
        "ViewerProtocolPolicy": "redirect-to-https",
        "CachePolicyId": "658327ea-f89d-4fab-a63d-7e88639e58f6",
    },
}

INSTANCES = {
    "MasterInstanceGroup": {"InstanceCount": 1, "InstanceType": "m5.xlarge"},
    "CoreInstanceGroup": {"InstanceCount": 2, "InstanceType": "m5.xlarge"},
    "KeepJobFlowAliveWhenNoSteps": True,
}

GROUPS: dict[str, dict[str, Part]] = {
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
    "databases": {
        **SUBNETS,
        "Subnets": Part(
            "AWS::RDS::DBSubnetGroup",
            {
                "DBSubnetGroupDescription": "both",
                "SubnetIds": [ref("SubnetA"), ref("SubnetB")],
            },
        ),
        "Cluster": Part(
            "AWS::RDS::DBCluster",
            {
                "DBClusterIdentifier": "NAME",
                "Engine": "aurora-postgresql",
                "MasterUsername": "root_user",
                "ManageMasterUserPassword": True,
                "DatabaseName": "app",
                "DBSubnetGroupName": ref("Subnets"),
                "BackupRetentionPeriod": 1,
                "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 2},
            },
            (
                "Endpoint.Address",
                "Endpoint.Port",
                "ReadEndpoint.Address",
                "MasterUserSecret.SecretArn",
                "DBClusterArn",
            ),
            {"BackupRetentionPeriod": 7},
            _cluster,
            7,
        ),
        "Instance": Part(
            "AWS::RDS::DBInstance",
            {
                "DBInstanceIdentifier": "NAME-1",
                "Engine": "aurora-postgresql",
                "DBInstanceClass": "db.serverless",
                "DBClusterIdentifier": ref("Cluster"),
            },
            ("Endpoint.Address",),
        ),
    },
    "warehouses": {
        "Cluster": Part(
            "AWS::Redshift::Cluster",
            {
                "ClusterIdentifier": "NAME",
                "ClusterType": "single-node",
                "NodeType": "ra3.large",
                "DBName": "dw",
                "MasterUsername": "root_user",
                "MasterUserPassword": "{{resolve:secretsmanager:NAME-pw}}",
                "AutomatedSnapshotRetentionPeriod": 1,
            },
            ("Endpoint.Address", "Endpoint.Port"),
            {"AutomatedSnapshotRetentionPeriod": 3},
            _redshift,
            3,
        ),
        "Namespace": Part(
            "AWS::RedshiftServerless::Namespace",
            {"NamespaceName": "NAME", "DbName": "dw", "ManageAdminPassword": True},
        ),
        "Workgroup": Part(
            "AWS::RedshiftServerless::Workgroup",
            {"WorkgroupName": "NAME", "NamespaceName": ref("Namespace"), "BaseCapacity": 8},
            ("Workgroup.Endpoint.Address",),
            {"BaseCapacity": 16},
            _serverless,
            16,
        ),
    },
    "analytics": {
        "Role": Part("AWS::IAM::Role", {"AssumeRolePolicyDocument": trust("ec2.amazonaws.com")}),
        "Profile": Part("AWS::IAM::InstanceProfile", {"Roles": [ref("Role")]}),
        "Emr": Part(
            "AWS::EMR::Cluster",
            {
                "Name": "NAME",
                "ReleaseLabel": "emr-7.2.0",
                "JobFlowRole": ref("Profile"),
                "ServiceRole": ref("Role"),
                "Applications": [{"Name": "Spark"}],
                "Instances": INSTANCES,
            },
            ("MasterPublicDNS",),
            {
                "Instances": {
                    **INSTANCES,
                    "CoreInstanceGroup": {"InstanceCount": 3, "InstanceType": "m5.xlarge"},
                }
            },
            _emr,
            3,
        ),
        "Workgroup": Part(
            "AWS::Athena::WorkGroup",
            {
                "Name": "NAME",
                "WorkGroupConfiguration": {"BytesScannedCutoffPerQuery": 10_000_000},
            },
            (),
            {"WorkGroupConfiguration": {"BytesScannedCutoffPerQuery": 20_000_000}},
            _workgroup,
            20_000_000,
        ),
        "Query": Part(
            "AWS::Athena::NamedQuery",
            {
                "Name": "NAME",
                "Database": "default",
                "QueryString": "SELECT 1",
                "WorkGroup": ref("Workgroup"),
            },
            ("NamedQueryId",),
        ),
        "Database": Part(
            "AWS::Glue::Database",
            {"CatalogId": ref("AWS::AccountId"), "DatabaseInput": {"Name": "NAME"}},
        ),
    },
    "edge": {
        "Access": Part(
            "AWS::CloudFront::OriginAccessControl",
            {
                "OriginAccessControlConfig": {
                    "Name": "NAME",
                    "OriginAccessControlOriginType": "s3",
                    "SigningBehavior": "always",
                    "SigningProtocol": "sigv4",
                }
            },
            ("Id",),
        ),
        "Distribution": Part(
            "AWS::CloudFront::Distribution",
            {"DistributionConfig": DISTRIBUTION},
            ("DomainName", "Id"),
            {"DistributionConfig": {**DISTRIBUTION, "Comment": "after"}},
            _distribution,
            "after",
        ),
        "Zone": Part(
            "AWS::Route53::HostedZone",
            {"Name": "NAME.example", "HostedZoneConfig": {"Comment": "before"}},
            ("Id",),
            {"HostedZoneConfig": {"Comment": "after"}},
            _zone,
            "after",
        ),
        "Record": Part(
            "AWS::Route53::RecordSet",
            {
                "HostedZoneId": ref("Zone"),
                "Name": "www.NAME.example",
                "Type": "A",
                "TTL": "60",
                "ResourceRecords": ["10.0.0.1"],
            },
        ),
        "Check": Part(
            "AWS::Route53::HealthCheck",
            {"HealthCheckConfig": {"Type": "TCP", "IPAddress": "192.0.2.1", "Port": 80}},
            ("HealthCheckId",),
        ),
    },
    "balancing": {
        **SUBNETS,
        "Group": Part(
            "AWS::EC2::SecurityGroup",
            {"GroupDescription": "clients", "VpcId": ref("Vpc")},
            ("GroupId",),
        ),
        "Balancer": Part(
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            {
                "Scheme": "internal",
                "Subnets": [ref("SubnetA"), ref("SubnetB")],
                "SecurityGroups": [ref("Group")],
                "LoadBalancerAttributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "30"}],
            },
            ("DNSName", "CanonicalHostedZoneID", "LoadBalancerFullName"),
            {"LoadBalancerAttributes": [{"Key": "idle_timeout.timeout_seconds", "Value": "45"}]},
            _balancer,
            "45",
        ),
        "Targets": Part(
            "AWS::ElasticLoadBalancingV2::TargetGroup",
            {"Port": 80, "Protocol": "HTTP", "VpcId": ref("Vpc"), "HealthCheckPath": "/before"},
            ("TargetGroupFullName",),
            {"HealthCheckPath": "/after"},
            _target_group,
            "/after",
        ),
        "Listener": Part(
            "AWS::ElasticLoadBalancingV2::Listener",
            {
                "LoadBalancerArn": ref("Balancer"),
                "Port": 80,
                "Protocol": "HTTP",
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": ref("Targets")}],
            },
            ("ListenerArn",),
        ),
        "Classic": Part(
            "AWS::ElasticLoadBalancing::LoadBalancer",
            {
                "AvailabilityZones": ["us-east-1a"],
                "Listeners": [{"LoadBalancerPort": "80", "InstancePort": "80", "Protocol": "HTTP"}],
                "HealthCheck": {
                    "Target": "HTTP:80/",
                    "HealthyThreshold": "3",
                    "UnhealthyThreshold": "5",
                    "Interval": "30",
                    "Timeout": "5",
                },
            },
            ("DNSName",),
            {
                "HealthCheck": {
                    "Target": "HTTP:80/",
                    "HealthyThreshold": "3",
                    "UnhealthyThreshold": "5",
                    "Interval": "20",
                    "Timeout": "5",
                }
            },
            _classic,
            20,
        ),
    },
    "caches": {
        **SUBNETS,
        "Subnets": Part(
            "AWS::ElastiCache::SubnetGroup",
            {"Description": "both", "SubnetIds": [ref("SubnetA"), ref("SubnetB")]},
        ),
        "Cache": Part(
            "AWS::ElastiCache::ReplicationGroup",
            {
                "ReplicationGroupId": "NAME",
                "ReplicationGroupDescription": "cache",
                "Engine": "redis",
                "CacheNodeType": "cache.t3.micro",
                "NumCacheClusters": 2,
                "AutomaticFailoverEnabled": True,
                "CacheSubnetGroupName": ref("Subnets"),
                "SnapshotRetentionLimit": 1,
            },
            ("PrimaryEndPoint.Address", "PrimaryEndPoint.Port", "ReaderEndPoint.Address"),
            {"SnapshotRetentionLimit": 3},
            _replication_group,
            3,
        ),
    },
}


def template(group: str, name: str, *, changed: bool) -> dict[str, Any]:
    """The template of a group, before or after its update, with all attributes as outputs."""
    parts = GROUPS[group]
    resources = {
        logical: {
            "Type": part.type,
            **(
                {"DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete"}
                if part.type.startswith("AWS::RDS::DB") or "Redshift::Cluster" in part.type
                else {}
            ),
            "Properties": {**part.properties, **((part.change or {}) if changed else {})},
        }
        for logical, part in parts.items()
    }
    outputs = {
        f"{logical}{number}": {"Value": att(logical, attribute)}
        for logical, part in parts.items()
        for number, attribute in enumerate(part.attributes)
    }
    document = {"Resources": resources, "Outputs": outputs}
    return json.loads(json.dumps(document).replace("NAME", name))


def cases() -> dict[str, Part]:
    """The fullest part of each type."""
    found: dict[str, Part] = {}
    for parts in GROUPS.values():
        for part in parts.values():
            known = found.get(part.type)
            if known is None or (part.change is not None and known.change is None):
                found[part.type] = part
    return found
