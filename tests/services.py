"""The services of the catalog as end-to-end tests use them: what to ask for, and what to change."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Service:
    """One offering and one life of it."""

    offering: str
    parameters: dict[str, Any] = field(default_factory=dict)
    change: dict[str, Any]
    """Parameters to update."""
    main: str
    """Logical id of the resource that the service is about."""
    strategy: str = "iam-user"
    needs: str = ""
    """A program without which the binding cannot be tried."""

    @property
    def type_of_main(self) -> str:
        return _TYPES[self.offering]


_TYPES = {
    "aurora-postgresql": "AWS::RDS::DBCluster",
    "aurora-mysql": "AWS::RDS::DBCluster",
    "redshift": "AWS::Redshift::Cluster",
    "redshift-serverless": "AWS::RedshiftServerless::Namespace",
    "emr": "AWS::EMR::Cluster",
    "athena": "AWS::Athena::WorkGroup",
    "cloudfront": "AWS::CloudFront::Distribution",
    "route53": "AWS::Route53::HostedZone",
    "elb-application": "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "elb-network": "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "elb-classic": "AWS::ElasticLoadBalancing::LoadBalancer",
    "s3": "AWS::S3::Bucket",
    "sqs": "AWS::SQS::Queue",
    "sns": "AWS::SNS::Topic",
    "dynamodb": "AWS::DynamoDB::Table",
    "elasticache": "AWS::ElastiCache::ReplicationGroup",
}

SERVICES = (
    Service(
        offering="aurora-postgresql", change={"maxCapacity": 4}, main="Cluster", strategy="sql-user"
    ),
    Service(
        offering="aurora-mysql",
        change={"maxCapacity": 4},
        main="Cluster",
        strategy="sql-user",
        needs="mariadbd",
    ),
    Service(
        offering="redshift",
        change={"backupRetentionDays": 3},
        main="Cluster",
        strategy="sql-user",
    ),
    Service(
        offering="redshift-serverless",
        change={"maxCapacity": 24},
        main="Namespace",
        strategy="sql-user",
    ),
    Service(offering="emr", change={"coreNodes": 2}, main="Cluster"),
    Service(offering="athena", change={"scanLimitBytes": 20_000_000_000}, main="WorkGroup"),
    Service(offering="cloudfront", change={"comment": "changed"}, main="Distribution"),
    Service(offering="route53", change={"comment": "changed"}, main="Zone"),
    Service(offering="elb-application", change={"healthPath": "/healthy"}, main="LoadBalancer"),
    Service(offering="elb-network", change={"drainSeconds": 60}, main="LoadBalancer"),
    Service(offering="elb-classic", change={"healthPath": "/healthy"}, main="LoadBalancer"),
    Service(offering="s3", change={"olderVersionDays": 10}, main="Bucket"),
    Service(offering="sqs", change={"visibilityTimeoutSeconds": 60}, main="Queue"),
    Service(offering="sns", change={"displayName": "Changed"}, main="Topic"),
    Service(offering="dynamodb", change={"maxReads": 2000}, main="Table"),
    Service(offering="elasticache", change={"snapshotDays": 3}, main="Cache"),
)
SEVEN = tuple(
    s for s in SERVICES if s.offering not in {"s3", "sqs", "sns", "dynamodb", "elasticache"}
)
"""Aurora, Redshift, EMR, Athena, CloudFront, Route 53 and Elastic Load Balancing."""
