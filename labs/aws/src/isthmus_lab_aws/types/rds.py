"""`AWS::RDS::*`: clusters and instances, made through RDS' own API as CloudFormation does.

Records, parameter checks and XML are ministack's; the database behind a cluster follows its record
(`rds_records.py`), and what the direct API lacks is in `rds_api.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from isthmus_lab_aws import backing, inside
from isthmus_lab_aws.backing import key_of
from isthmus_lab_aws.inside import absent_is_fine
from isthmus_lab_aws.resource import (
    Delays,
    Extension,
    Physical,
    Place,
    Properties,
    Request,
    ResourceFailure,
    ResourceType,
)
from isthmus_lab_aws.types import rds_api
from isthmus_lab_aws.types.rds_records import (
    Record,
    clusters,
    follow_cluster,
    follow_instance,
    instances,
    manage_password,
    rds,
    restore_cluster,
    settle,
    snapshot_data,
)

_PROTECTED = "Cannot delete protected {}, please disable deletion protection and try again."


class DbCluster(ResourceType):
    """`AWS::RDS::DBCluster`, made through RDS' own API."""

    name = "AWS::RDS::DBCluster"
    delays = Delays(timedelta(minutes=8), timedelta(minutes=3), timedelta(minutes=5))

    def create(self, request: Request) -> Physical:
        """Create the cluster, or restore it, and start its database."""
        properties = _cluster_parameters(request.properties)
        properties.setdefault("DBClusterIdentifier", request.name())
        if properties.get("SnapshotIdentifier"):
            record = restore_cluster(request.place, properties)
        else:
            inside.call("rds", "CreateDBCluster", properties)
            record = clusters()[properties["DBClusterIdentifier"]]
        with backing.failures():
            follow_cluster(request.place, record)
        return _cluster_physical(record)

    def update(self, request: Request) -> Physical:
        """Modify what changed, at once; a new password is set in the database."""
        record = clusters()[request.physical_id]
        changed = _changed(request)
        parameters = _cluster_parameters(changed)
        if str(changed.get("ManageMasterUserPassword")).lower() == "true":
            manage_password(record, parameters.get("MasterUserSecretKmsKeyId", ""))
        inside.call(
            "rds",
            "ModifyDBCluster",
            {**parameters, "DBClusterIdentifier": request.physical_id, "ApplyImmediately": True},
        )
        if "StorageType" in changed:
            record["StorageType"] = changed["StorageType"]
        _retag(record["DBClusterArn"], request)
        with backing.failures():
            follow_cluster(request.place, record)
        return _cluster_physical(record)

    def delete(self, request: Request) -> None:
        """Delete the cluster with its database and managed secret."""
        with absent_is_fine():
            inside.call(
                "rds",
                "DeleteDBCluster",
                {"DBClusterIdentifier": request.physical_id, "SkipFinalSnapshot": True},
            )
        backing.forget(key_of("rds", request.place, request.physical_id))

    def snapshot(self, request: Request) -> None:
        """Keep a snapshot with the data."""
        name = f"{request.physical_id}-snapshot-{rds().new_uuid()[:12]}"
        names = {"DBClusterIdentifier": request.physical_id, "DBClusterSnapshotIdentifier": name}
        inside.call("rds", "CreateDBClusterSnapshot", names)
        snapshot_data(request.place, name)

    def find(self, place: Place, identifier: Mapping[str, str]) -> Physical:
        """An existing cluster, for an import."""
        record = clusters().get(identifier.get("DBClusterIdentifier", ""))
        if record is None:
            raise ResourceFailure("DBCluster not found", "NotFound")
        return _cluster_physical(record)

    def taken(self, place: Place, properties: Properties) -> str | None:
        """A cluster of this name exists."""
        name = properties.get("DBClusterIdentifier")
        if name and str(name).lower() in clusters():
            return f"DB Cluster already exists: {name} (Service: Rds, Status Code: 400)"
        return None

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """Deletion protection is on."""
        protected = (clusters().get(physical_id) or {}).get("DeletionProtection")
        return _PROTECTED.format("Cluster") if protected else None

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """Show the state in DescribeDBClusters."""
        if physical_id in clusters():
            clusters()[physical_id]["Status"] = state

    def settle(self, place: Place, physical_id: str) -> None:
        """Show that the work is done."""
        settle(clusters().get(physical_id), "Status")


class DbInstance(ResourceType):
    """`AWS::RDS::DBInstance`: a member of a cluster, or a database by itself."""

    name = "AWS::RDS::DBInstance"
    delays = Delays(timedelta(minutes=6), timedelta(minutes=4), timedelta(minutes=5))

    def create(self, request: Request) -> Physical:
        """Create the instance; the second member of a cluster gives it a replica."""
        properties = dict(request.properties)
        properties.setdefault("DBInstanceIdentifier", request.name())
        cluster = properties.get("DBClusterIdentifier")
        if cluster and cluster not in clusters():
            raise ResourceFailure(f"DBCluster {cluster} not found.", "NotFound")
        inside.call("rds", "CreateDBInstance", properties)
        with backing.failures():
            follow_instance(request.place, properties["DBInstanceIdentifier"])
        return _instance_physical(instances()[properties["DBInstanceIdentifier"]])

    def update(self, request: Request) -> Physical:
        """Modify what changed, at once."""
        record = instances()[request.physical_id]
        inside.call(
            "rds",
            "ModifyDBInstance",
            {
                **_changed(request),
                "DBInstanceIdentifier": request.physical_id,
                "ApplyImmediately": True,
            },
        )
        _retag(record["DBInstanceArn"], request)
        with backing.failures():
            follow_instance(request.place, request.physical_id)
        return _instance_physical(record)

    def delete(self, request: Request) -> None:
        """Delete the instance; a cluster keeps its data while it has no member."""
        record = instances().get(request.physical_id) or {}
        with absent_is_fine():
            inside.call(
                "rds",
                "DeleteDBInstance",
                {"DBInstanceIdentifier": request.physical_id, "SkipFinalSnapshot": True},
            )
        cluster = clusters().get(record.get("DBClusterIdentifier", ""))
        if cluster is not None:
            follow_cluster(request.place, cluster)
        backing.forget(key_of("rds-db", request.place, request.physical_id))

    def snapshot(self, request: Request) -> None:
        """Record a snapshot; instances outside clusters keep no data in theirs."""
        name = f"{request.physical_id}-snapshot-{rds().new_uuid()[:12]}"
        names = {"DBInstanceIdentifier": request.physical_id, "DBSnapshotIdentifier": name}
        inside.call("rds", "CreateDBSnapshot", names)

    def taken(self, place: Place, properties: Properties) -> str | None:
        """An instance of this name exists."""
        name = properties.get("DBInstanceIdentifier")
        if name and str(name).lower() in instances():
            return f"DB instance already exists: {name} (Service: Rds, Status Code: 400)"
        return None

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """Deletion protection is on."""
        protected = (instances().get(physical_id) or {}).get("DeletionProtection")
        return _PROTECTED.format("DB Instance") if protected else None

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """Show the state in DescribeDBInstances."""
        if physical_id in instances():
            instances()[physical_id]["DBInstanceStatus"] = state

    def settle(self, place: Place, physical_id: str) -> None:
        """Show that the work is done."""
        settle(instances().get(physical_id), "DBInstanceStatus")


def _cluster_parameters(properties: Mapping[str, Any]) -> dict[str, Any]:
    """A template's properties under the API's names."""
    secret: Record = properties.get("MasterUserSecret") or {}
    parameters = dict(properties)
    if secret.get("KmsKeyId"):
        parameters["MasterUserSecretKmsKeyId"] = secret["KmsKeyId"]
    return parameters


def _changed(request: Request) -> dict[str, Any]:
    old = request.old_properties
    return {key: value for key, value in request.properties.items() if old.get(key) != value}


def _retag(arn: str, request: Request) -> None:
    old = {tag["Key"] for tag in request.old_properties.get("Tags", [])}
    new = {tag["Key"] for tag in request.properties.get("Tags", [])}
    if old - new:
        gone = {"ResourceName": arn, "TagKeys": sorted(old - new)}
        inside.call("rds", "RemoveTagsFromResource", gone)
    if new:
        tags = {"ResourceName": arn, "Tags": request.properties["Tags"]}
        inside.call("rds", "AddTagsToResource", tags)


def _cluster_physical(record: Record) -> Physical:
    attributes = {
        "DBClusterArn": record["DBClusterArn"],
        "DBClusterResourceId": record["DbClusterResourceId"],
        "Endpoint.Address": record["Endpoint"],
        "Endpoint.Port": str(record["Port"]),
        "ReadEndpoint.Address": record["ReaderEndpoint"],
    }
    secret: Record = record.get("MasterUserSecret") or {}
    if secret.get("SecretArn"):
        attributes["MasterUserSecret.SecretArn"] = secret["SecretArn"]
    return Physical(record["DBClusterIdentifier"], attributes)


def _instance_physical(record: Record) -> Physical:
    attributes = {
        "Endpoint.Address": record["Endpoint"]["Address"],
        "Endpoint.Port": str(record["Endpoint"]["Port"]),
        "Endpoint.HostedZoneId": record["Endpoint"].get("HostedZoneId", "Z2R2ITUGPM61AM"),
        "DbiResourceId": record["DbiResourceId"],
        "DBInstanceArn": record["DBInstanceArn"],
    }
    return Physical(record["DBInstanceIdentifier"], attributes)


EXTENSION = Extension(
    types=(DbCluster(), DbInstance()),
    hooks=rds_api.HOOKS,
    started=rds_api.started,
    stopping=backing.stop,
    health=backing.health,
)
