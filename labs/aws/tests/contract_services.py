"""Cases of the contract test: databases, analytics, delivery, caches. `NAME` is the test's own."""

from __future__ import annotations

from typing import Any

from labs.aws.tests.contract_parts import Part, ref, trust


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

SERVICES: dict[str, dict[str, Part]] = {
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
