"""Redshift through stacks and its API, with a real log-in behind each cluster."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError


def warehouse(name: str, nodes: int = 2, **properties: Any) -> dict[str, Any]:
    return {
        "Resources": {
            "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16"}},
            "Subnet": {
                "Type": "AWS::EC2::Subnet",
                "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.1.1.0/24"},
            },
            "Subnets": {
                "Type": "AWS::Redshift::ClusterSubnetGroup",
                "Properties": {"Description": "lab", "SubnetIds": [{"Ref": "Subnet"}]},
            },
            "Parameters": {
                "Type": "AWS::Redshift::ClusterParameterGroup",
                "Properties": {
                    "Description": "TLS only",
                    "ParameterGroupFamily": "redshift-1.0",
                    "Parameters": [{"ParameterName": "require_ssl", "ParameterValue": "true"}],
                },
            },
            "Cluster": {
                "Type": "AWS::Redshift::Cluster",
                "DeletionPolicy": "Delete",
                "Properties": {
                    "ClusterIdentifier": name,
                    "ClusterType": "multi-node",
                    "NumberOfNodes": nodes,
                    "NodeType": "ra3.large",
                    "DBName": "dw",
                    "MasterUsername": "adm",
                    "ManageMasterPassword": True,
                    "Encrypted": True,
                    "ClusterSubnetGroupName": {"Ref": "Subnets"},
                    "ClusterParameterGroupName": {"Ref": "Parameters"},
                    **properties,
                },
            },
        },
        "Outputs": {
            "Host": {"Value": {"Fn::GetAtt": ["Cluster", "Endpoint.Address"]}},
            "Port": {"Value": {"Fn::GetAtt": ["Cluster", "Endpoint.Port"]}},
            "Secret": {"Value": {"Fn::GetAtt": ["Cluster", "MasterPasswordSecretArn"]}},
        },
    }


def connect(aws, host: str, port: object, password: str, mode: str = "verify-full"):
    return psycopg.connect(
        host=host,
        port=str(port),
        user="adm",
        password=password,
        dbname="dw",
        sslmode=mode,
        sslrootcert=aws.page("health")["certificateAuthority"],
        connect_timeout=5,
    )


def test_stack_makes_resizes_and_deletes_a_warehouse(aws, stacks, name) -> None:
    assert stacks.create(name, warehouse(name)) == "CREATE_COMPLETE", stacks.failures(name)
    outputs = stacks.outputs(name)
    secret = aws.client("secretsmanager").get_secret_value(SecretId=outputs["Secret"])
    password = json.loads(secret["SecretString"])["password"]
    connect(aws, outputs["Host"], outputs["Port"], password).close()
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        connect(aws, outputs["Host"], outputs["Port"], password, mode="disable")
    redshift = aws.client("redshift")

    def found() -> dict[str, Any]:
        return redshift.describe_clusters(ClusterIdentifier=name)["Clusters"][0]

    assert (found()["NumberOfNodes"], found()["ClusterStatus"]) == (2, "available")
    group = redshift.describe_cluster_parameters(
        ParameterGroupName=found()["ClusterParameterGroups"][0]["ParameterGroupName"]
    )
    assert group["Parameters"][0]["ParameterValue"] == "true"
    assert stacks.update(name, warehouse(name, nodes=3)) == "UPDATE_COMPLETE"
    assert found()["NumberOfNodes"] == 3
    with pytest.raises(ClientError, match="in use"):
        redshift.delete_cluster_subnet_group(
            ClusterSubnetGroupName=found()["ClusterSubnetGroupName"]
        )
    assert stacks.delete(name) == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="ClusterNotFound"):
        found()
    with pytest.raises(ClientError, match="ResourceNotFound"):
        aws.client("secretsmanager").describe_secret(SecretId=outputs["Secret"])


def test_accounts_and_regions_are_kept_apart(aws, name) -> None:
    redshift = aws.client("redshift")
    redshift.create_cluster(
        ClusterIdentifier=name,
        NodeType="ra3.large",
        ClusterType="single-node",
        MasterUsername="adm",
        MasterUserPassword="Passw0rd-1",
        DBName="dw",
    )
    for elsewhere in (
        aws.client("redshift", region="eu-central-1"),
        aws.client("redshift", account="444455556666"),
    ):
        with pytest.raises(ClientError, match="ClusterNotFound"):
            elsewhere.describe_clusters(ClusterIdentifier=name)
    with pytest.raises(ClientError, match="already exists"):
        redshift.create_cluster(
            ClusterIdentifier=name,
            NodeType="ra3.large",
            MasterUsername="adm",
            MasterUserPassword="Passw0rd-1",
        )
    redshift.get_waiter("cluster_available").wait(
        ClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
    )
    redshift.delete_cluster(ClusterIdentifier=name, SkipFinalClusterSnapshot=True)


def test_pause_resume_password_and_final_snapshot(aws, name, until, slowly) -> None:
    redshift = aws.client("redshift")

    def found() -> dict[str, Any]:
        return redshift.describe_clusters(ClusterIdentifier=name)["Clusters"][0]

    def settled(status: str) -> dict[str, Any]:
        return until(found, lambda cluster: cluster["ClusterStatus"] == status)

    with slowly():
        redshift.create_cluster(
            ClusterIdentifier=name,
            NodeType="ra3.large",
            ClusterType="single-node",
            MasterUsername="adm",
            MasterUserPassword="Passw0rd-1",
            DBName="dw",
        )
        assert found()["ClusterStatus"] == "creating"
    endpoint = settled("available")["Endpoint"]
    where = endpoint["Address"], endpoint["Port"]
    with connect(aws, *where, "Passw0rd-1") as session:
        session.execute("CREATE TABLE t (n int)")
    redshift.modify_cluster(ClusterIdentifier=name, MasterUserPassword="Passw0rd-2")
    connect(aws, *where, "Passw0rd-2").close()
    settled("available")
    redshift.pause_cluster(ClusterIdentifier=name)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        connect(aws, *where, "Passw0rd-2")
    settled("paused")
    with pytest.raises(ClientError, match="InvalidClusterState"):
        redshift.modify_cluster(ClusterIdentifier=name, EnhancedVpcRouting=True)
    redshift.resume_cluster(ClusterIdentifier=name)
    settled("available")
    with pytest.raises(ClientError, match="FinalClusterSnapshotIdentifier is required"):
        redshift.delete_cluster(ClusterIdentifier=name)
    redshift.delete_cluster(ClusterIdentifier=name, FinalClusterSnapshotIdentifier=f"{name}-f")
    redshift.get_waiter("cluster_deleted").wait(
        ClusterIdentifier=name, WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
    )
    restored = redshift.restore_from_cluster_snapshot(
        ClusterIdentifier=name, SnapshotIdentifier=f"{name}-f"
    )["Cluster"]["Endpoint"]
    with connect(aws, restored["Address"], restored["Port"], "Passw0rd-2") as session:
        assert session.execute("SELECT count(*) FROM t").fetchone() == (0,)
    settled("available")
    redshift.delete_cluster(ClusterIdentifier=name, SkipFinalClusterSnapshot=True)
    redshift.delete_cluster_snapshot(SnapshotIdentifier=f"{name}-f")


def test_a_caller_without_rights_is_refused(aws, name) -> None:
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    stranger = aws.client(
        "redshift",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
    )
    with pytest.raises(ClientError, match="not authorized"):
        stranger.describe_clusters()
    statement = {"Effect": "Allow", "Action": "redshift:DescribeClusters", "Resource": "*"}
    iam.put_user_policy(
        UserName=name,
        PolicyName="read",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    assert "Clusters" in stranger.describe_clusters()
    with pytest.raises(ClientError, match="not authorized"):
        stranger.pause_cluster(ClusterIdentifier=name)
