"""What exists in the lab, over all accounts and regions: for leak checks, shown at `/_lab/state`.

What AWS makes by itself (default VPC, managed policies, the primary workgroup) and what the lab
needs (its administrator) is left out, so that an untouched account is an empty list.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus_lab_aws.accounts import ADMINISTRATOR
from isthmus_lab_aws.resource import Place

GLOBAL = "aws-global"
"""The region shown for services that have none."""

Keep = Callable[[str, Any], bool]


def _always(key: str, record: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Shelf:
    """A store of ministack's service that holds resources of one type."""

    service: str
    store: str
    type: str
    keep: Keep = _always


def _unlike(*names: str) -> Keep:
    return lambda key, record: key not in names


def _field(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, Mapping) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]


SHELVES: tuple[Shelf, ...] = (
    Shelf("s3", "_buckets", "AWS::S3::Bucket"),
    Shelf("sqs", "_queue_name_to_url", "AWS::SQS::Queue"),
    Shelf("sns", "_topics", "AWS::SNS::Topic"),
    Shelf("sns", "_sub_arn_to_topic", "AWS::SNS::Subscription"),
    Shelf("dynamodb", "_tables", "AWS::DynamoDB::Table"),
    Shelf(
        "iam",
        "_roles",
        "AWS::IAM::Role",
        lambda key, role: not str(_field(role, "Path")).startswith("/aws-service-role/"),
    ),
    Shelf("iam", "_users", "AWS::IAM::User", _unlike(ADMINISTRATOR)),
    Shelf("iam", "_groups", "AWS::IAM::Group"),
    Shelf(
        "iam",
        "_access_keys",
        "AWS::IAM::AccessKey",
        lambda key, record: _field(record, "UserName") != ADMINISTRATOR,
    ),
    Shelf("iam", "_policies", "AWS::IAM::ManagedPolicy"),
    Shelf("iam", "_instance_profiles", "AWS::IAM::InstanceProfile"),
    Shelf(
        "secretsmanager",
        "_secrets",
        "AWS::SecretsManager::Secret",
        lambda key, secret: not _field(secret, "DeletedDate"),
    ),
    Shelf(
        "kms",
        "_keys",
        "AWS::KMS::Key",
        lambda key, record: (
            _field(record, "KeyState") != "PendingDeletion"
            and _field(record, "KeyManager") == "CUSTOMER"
        ),
    ),
    Shelf("kms", "_aliases", "AWS::KMS::Alias", lambda key, record: ":alias/aws/" not in key),
    Shelf("ec2", "_vpcs", "AWS::EC2::VPC", lambda key, vpc: not _field(vpc, "IsDefault")),
    Shelf("ec2", "_subnets", "AWS::EC2::Subnet", lambda key, net: not _field(net, "DefaultForAz")),
    Shelf(
        "ec2",
        "_security_groups",
        "AWS::EC2::SecurityGroup",
        lambda key, group: _field(group, "GroupName") != "default",
    ),
    Shelf("ec2", "_instances", "AWS::EC2::Instance"),
    Shelf("ec2", "_vpc_endpoints", "AWS::EC2::VPCEndpoint"),
    Shelf("cloudwatch_logs", "_log_groups", "AWS::Logs::LogGroup"),
    Shelf("cloudwatch", "_alarms", "AWS::CloudWatch::Alarm"),
    Shelf("route53", "_zones", "AWS::Route53::HostedZone"),
    Shelf("route53", "_health_checks", "AWS::Route53::HealthCheck"),
    Shelf("cloudfront", "_distributions", "AWS::CloudFront::Distribution"),
    Shelf("cloudfront", "_oacs", "AWS::CloudFront::OriginAccessControl"),
    Shelf("cloudfront", "_functions", "AWS::CloudFront::Function"),
    Shelf("cloudfront", "_cache_policies", "AWS::CloudFront::CachePolicy"),
    Shelf("cloudfront", "_response_headers_policies", "AWS::CloudFront::ResponseHeadersPolicy"),
    Shelf("waf", "_web_acls", "AWS::WAFv2::WebACL"),
    Shelf("rds", "_clusters", "AWS::RDS::DBCluster"),
    Shelf("rds", "_instances", "AWS::RDS::DBInstance"),
    Shelf("rds", "_subnet_groups", "AWS::RDS::DBSubnetGroup", _unlike("default")),
    Shelf(
        "rds",
        "_param_groups",
        "AWS::RDS::DBParameterGroup",
        lambda key, record: not key.startswith("default."),
    ),
    Shelf(
        "rds",
        "_db_cluster_param_groups",
        "AWS::RDS::DBClusterParameterGroup",
        lambda key, record: not key.startswith("default."),
    ),
    Shelf("rds", "_snapshots", "AWS::RDS::DBSnapshot"),
    Shelf("rds", "_db_cluster_snapshots", "AWS::RDS::DBClusterSnapshot"),
    Shelf("elasticache", "_clusters", "AWS::ElastiCache::CacheCluster"),
    Shelf("elasticache", "_replication_groups", "AWS::ElastiCache::ReplicationGroup"),
    Shelf("elasticache", "_serverless_caches", "AWS::ElastiCache::ServerlessCache"),
    Shelf("elasticache", "_subnet_groups", "AWS::ElastiCache::SubnetGroup", _unlike("default")),
    Shelf("athena", "_workgroups", "AWS::Athena::WorkGroup", _unlike("primary")),
    Shelf("athena", "_named_queries", "AWS::Athena::NamedQuery"),
    Shelf("athena", "_data_catalogs", "AWS::Athena::DataCatalog", _unlike("AwsDataCatalog")),
    Shelf("glue", "_databases", "AWS::Glue::Database", _unlike("default")),
    Shelf("glue", "_tables", "AWS::Glue::Table"),
    Shelf("alb", "_lbs", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
    Shelf("alb", "_tgs", "AWS::ElasticLoadBalancingV2::TargetGroup"),
    Shelf("alb", "_listeners", "AWS::ElasticLoadBalancingV2::Listener"),
    Shelf(
        "emr",
        "_clusters",
        "AWS::EMR::Cluster",
        lambda key, record: "TERMINATED" not in str(_field(record, "Status")),
    ),
    Shelf("acm", "_certificates", "AWS::CertificateManager::Certificate"),
    Shelf("ssm", "_parameters", "AWS::SSM::Parameter"),
    Shelf("scheduler", "_schedules", "AWS::Scheduler::Schedule"),
    Shelf("lambda_svc", "_functions", "AWS::Lambda::Function"),
    Shelf("eks", "_clusters", "AWS::EKS::Cluster"),
)


def resources(more: Iterable[tuple[Place, str, str]] = ()) -> list[dict[str, str]]:
    """Every resource as account, region, type and id, sorted. `more` are the extensions' own."""
    found = {(place.account, place.region, kind, key) for place, kind, key in more}
    for shelf in SHELVES:
        for account, region, key in _entries(shelf):
            found.add((account, region, shelf.type, key))
    found.update(_stacks())
    return [
        dict(zip(("account", "region", "type", "id"), row, strict=True)) for row in sorted(found)
    ]


def _entries(shelf: Shelf) -> Iterator[tuple[str, str, str]]:
    loaded = sys.modules.get(f"ministack.services.{shelf.service}")
    if loaded is None:
        return
    data: Mapping[Any, Any] = dict(getattr(loaded, shelf.store)._data)
    for scope, record in data.items():
        account, region, key = scope if len(scope) == 3 else (scope[0], GLOBAL, scope[1])
        if shelf.keep(str(key), record):
            yield str(account), str(region), str(key)


def _stacks() -> Iterator[tuple[str, str, str, str]]:
    loaded = sys.modules.get("ministack.services.cloudformation")
    if loaded is None:
        return
    data: Mapping[Any, Any] = dict(loaded._stacks._data)
    for (account, region, name), stack in data.items():
        if stack.get("StackStatus") != "DELETE_COMPLETE":
            yield str(account), str(region), "AWS::CloudFormation::Stack", str(name)
