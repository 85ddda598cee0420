"""ElastiCache through stacks and its API: groups, Memcached clusters, serverless caches."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError


def caches(name: str, days: int = 1, snapshot: bool = False) -> dict[str, Any]:
    group: dict[str, Any] = {
        "Type": "AWS::ElastiCache::ReplicationGroup",
        "Properties": {
            "ReplicationGroupId": name,
            "ReplicationGroupDescription": "lab",
            "Engine": "valkey",
            "CacheNodeType": "cache.t4g.micro",
            "NumCacheClusters": 2,
            "AutomaticFailoverEnabled": True,
            "AtRestEncryptionEnabled": True,
            "TransitEncryptionEnabled": True,
            "SnapshotRetentionLimit": days,
        },
    }
    if snapshot:
        group["DeletionPolicy"] = "Snapshot"
    return {
        "Resources": {
            "Group": group,
            "Memcached": {
                "Type": "AWS::ElastiCache::CacheCluster",
                "Properties": {
                    "ClusterName": f"{name}-m",
                    "Engine": "memcached",
                    "CacheNodeType": "cache.t4g.micro",
                    "NumCacheNodes": 1,
                },
            },
            "Serverless": {
                "Type": "AWS::ElastiCache::ServerlessCache",
                "Properties": {"ServerlessCacheName": f"{name}-s", "Engine": "valkey"},
            },
        },
        "Outputs": {
            "Host": {"Value": {"Fn::GetAtt": ["Group", "PrimaryEndPoint.Address"]}},
            "Port": {"Value": {"Fn::GetAtt": ["Group", "PrimaryEndPoint.Port"]}},
            "Memcached": {"Value": {"Fn::GetAtt": ["Memcached", "ConfigurationEndpoint.Address"]}},
            "MemcachedPort": {"Value": {"Fn::GetAtt": ["Memcached", "ConfigurationEndpoint.Port"]}},
            "Serverless": {"Value": {"Fn::GetAtt": ["Serverless", "Endpoint.Address"]}},
        },
    }


def test_life_of_caches(aws, stacks, name) -> None:
    assert stacks.create(name, caches(name)) == "CREATE_COMPLETE", stacks.failures(name)
    elasticache, outputs = aws.client("elasticache"), stacks.outputs(name)

    def group() -> dict[str, Any]:
        return elasticache.describe_replication_groups(ReplicationGroupId=name)[
            "ReplicationGroups"
        ][0]

    assert (group()["Status"], len(group()["MemberClusters"])) == ("available", 2)
    endpoint = group()["NodeGroups"][0]["PrimaryEndpoint"]
    assert (endpoint["Address"], str(endpoint["Port"])) == (outputs["Host"], outputs["Port"])
    assert outputs["Host"].endswith(".us-east-1.cache.amazonaws.com")
    assert (outputs["Memcached"][: len(name)], outputs["MemcachedPort"]) == (name, "11211")
    serverless = elasticache.describe_serverless_caches(ServerlessCacheName=f"{name}-s")
    assert serverless["ServerlessCaches"][0]["Endpoint"]["Address"] == outputs["Serverless"]

    changed = caches(name, days=3, snapshot=True)
    assert stacks.update(name, changed) == "UPDATE_COMPLETE", stacks.failures(name)
    assert group()["SnapshotRetentionLimit"] == 3
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    with pytest.raises(ClientError, match="NotFound"):
        group()
    snapshots = elasticache.describe_snapshots()["Snapshots"]
    assert any(name in snapshot["SnapshotName"] for snapshot in snapshots)


def test_existing_group_is_refused(aws, stacks, name) -> None:
    aws.client("elasticache").create_replication_group(
        ReplicationGroupId=name, ReplicationGroupDescription="before"
    )
    assert stacks.create(name, caches(name)) == "ROLLBACK_COMPLETE"
    assert "already exists" in stacks.failures(name)["Group"]
    aws.client("elasticache").delete_replication_group(ReplicationGroupId=name)
