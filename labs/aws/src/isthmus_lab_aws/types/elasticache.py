"""ElastiCache: ministack's records with AWS's names of endpoints and intermediate states.

No cache stands behind an endpoint: its address is a name that does not resolve.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from isthmus_lab_aws import inside, ministack
from isthmus_lab_aws.inside import absent_is_fine
from isthmus_lab_aws.ministack import NativeType
from isthmus_lab_aws.resource import (
    Delays,
    Extension,
    Physical,
    Place,
    Properties,
    Request,
    ResourceType,
)

Record = dict[str, Any]
_PORTS = {"redis": 6379, "valkey": 6379, "memcached": 11211}


def _service() -> Any:
    return ministack.service("elasticache")


def _endpoint(name: str, engine: str, *_: Any, **more: Any) -> tuple[str, int, None]:
    """An address in AWS's form, in place of the container that ministack would start."""
    place = ministack.here()
    labels: Mapping[str, str] = more.get("labels") or {}
    cache = labels.get("rg_id") or labels.get("cluster_id") or name.rpartition("-")[2]
    mark = hashlib.sha256(f"{place.account}{cache}".encode()).hexdigest()[:6]
    host = f"{cache}.{mark}.ng.0001.{place.region}.cache.amazonaws.com"
    return host, _PORTS.get(engine, 6379), None


class _Cache(NativeType):
    """A group or cluster of nodes, by its store and the member that holds its state."""

    delays = Delays(timedelta(minutes=9), timedelta(minutes=6), timedelta(minutes=5))
    store = ""
    key = ""
    field = ""
    snapshot_by = ""

    def taken(self, place: Place, properties: Properties) -> str | None:
        """One of this name exists."""
        name = str(properties.get(self.key, "")).lower()
        if name not in self._records():
            return None
        return f"{self.name.rpartition('::')[2]} with name {name} already exists."

    def snapshot(self, request: Request) -> None:
        """Record a snapshot."""
        name = f"{request.physical_id}-snapshot-{secrets.token_hex(6)}"
        named = {self.snapshot_by: request.physical_id, "SnapshotName": name}
        inside.call("elasticache", "CreateSnapshot", named)

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """Creating, modifying, deleting."""
        record = self._records().get(physical_id)
        if record is not None:
            record[self.field] = state

    def settle(self, place: Place, physical_id: str) -> None:
        """Available."""
        self.begin(place, physical_id, "available")

    def _records(self) -> dict[str, Record]:
        records: dict[str, Record] = getattr(_service(), self.store)
        return records


class ReplicationGroup(_Cache):
    """`AWS::ElastiCache::ReplicationGroup`."""

    name = "AWS::ElastiCache::ReplicationGroup"
    store, key, field = "_replication_groups", "ReplicationGroupId", "Status"
    snapshot_by = "ReplicationGroupId"


class CacheCluster(_Cache):
    """`AWS::ElastiCache::CacheCluster`; a Memcached cluster has a configuration endpoint."""

    name = "AWS::ElastiCache::CacheCluster"
    store, key, field = "_clusters", "ClusterName", "CacheClusterStatus"
    snapshot_by = "CacheClusterId"


class ServerlessCache(ResourceType):
    """`AWS::ElastiCache::ServerlessCache`."""

    name = "AWS::ElastiCache::ServerlessCache"
    delays = Delays(timedelta(minutes=3), timedelta(minutes=2), timedelta(minutes=3))
    replacing = ("Engine", "KmsKeyId", "ServerlessCacheName", "SnapshotArnsToRestore", "SubnetIds")

    def create(self, request: Request) -> Physical:
        """Create it, with an endpoint at once."""
        given = {"ServerlessCacheName": request.name(40), **request.properties}
        inside.call("elasticache", "CreateServerlessCache", given)
        name = str(given["ServerlessCacheName"]).lower()
        record = _service()._serverless_caches[name]
        return self._physical(record)

    def update(self, request: Request) -> Physical:
        """Change its limits, groups and description."""
        named = {**request.properties, "ServerlessCacheName": request.physical_id}
        inside.call("elasticache", "ModifyServerlessCache", named)
        record = _service()._serverless_caches[request.physical_id]
        record["Status"] = "available"
        return self._physical(record)

    def delete(self, request: Request) -> None:
        """Delete it."""
        with absent_is_fine():
            named = {"ServerlessCacheName": request.physical_id}
            inside.call("elasticache", "DeleteServerlessCache", named)

    def _physical(self, record: Record) -> Physical:
        arn = record.get("ARN") or record.get("Arn") or ""
        attributes = {"ARN": str(arn), "Status": "available"}
        for endpoint in ("Endpoint", "ReaderEndpoint"):
            for part, value in record[endpoint].items():
                attributes[f"{endpoint}.{part}"] = str(value)
        return Physical(str(record["ServerlessCacheName"]), attributes)


def started() -> None:
    """Keep ministack from starting containers; settle what was under way."""
    service = _service()
    service._spawn_redis_container = _endpoint
    service._provision_in_background = _provide_at_once
    for kind in (ReplicationGroup(), CacheCluster()):
        for record in getattr(service, kind.store)._data.values():
            record[kind.field] = "available"


def _provide_at_once(record: Record, replaced_container_id: object = None) -> None:
    """A serverless cache gets its endpoint without a container."""
    name, engine = str(record["ServerlessCacheName"]), str(record["Engine"])
    host, port, _ = _endpoint(name, engine, labels={"rg_id": name})
    host = host.replace(".ng.0001.", ".serverless.")
    record["Status"] = "available"
    record["Endpoint"] = {"Address": host, "Port": port}
    record["ReaderEndpoint"] = {"Address": host, "Port": port + 1}


EXTENSION = Extension(
    types=(ReplicationGroup(), CacheCluster(), ServerlessCache()), started=started
)
