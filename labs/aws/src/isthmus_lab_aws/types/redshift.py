"""Amazon Redshift, provisioned: the lab's own service and its resource types.

Redshift speaks PostgreSQL's protocol, so a real PostgreSQL stands behind each cluster: log-ins,
users and grants are real; column storage, distribution and Redshift's own SQL are not claimed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from isthmus_lab_aws import backing
from isthmus_lab_aws.backing import key_of
from isthmus_lab_aws.inside import absent_is_fine
from isthmus_lab_aws.records import Record
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
from isthmus_lab_aws.types import redshift_records as records
from isthmus_lab_aws.types.redshift_api import REDSHIFT


class Cluster(ResourceType):
    """`AWS::Redshift::Cluster`."""

    name = "AWS::Redshift::Cluster"
    delays = Delays(timedelta(minutes=8), timedelta(minutes=6), timedelta(minutes=4))
    replacing = (
        "ClusterIdentifier",
        "ClusterSubnetGroupName",
        "DBName",
        "MasterUsername",
        "OwnerAccount",
        "SnapshotClusterIdentifier",
        "SnapshotIdentifier",
    )

    def create(self, request: Request) -> Physical:
        """Create the cluster, or restore it, with its database."""
        properties = {"ClusterIdentifier": request.name(), **request.properties}
        action = "CreateCluster"
        if properties.get("SnapshotIdentifier"):
            action = "RestoreFromClusterSnapshot"
        REDSHIFT.provision(request.place, action, properties)
        record = records.cluster(request.place, properties["ClusterIdentifier"])
        record["ClusterStatus"] = "available"
        self._log(request.place, record, request.properties)
        return _physical(record)

    def update(self, request: Request) -> Physical:
        """Modify what changed; another node type or count is a resize."""
        old = request.old_properties
        changed = {k: v for k, v in request.properties.items() if old.get(k) != v}
        name = {"ClusterIdentifier": request.physical_id}
        if any(key not in ("Tags", "LoggingProperties") for key in changed):
            REDSHIFT.provision(request.place, "ModifyCluster", {**changed, **name})
        record = records.cluster(request.place, request.physical_id)
        record["Tags"] = list(request.properties.get("Tags", record["Tags"]))
        record["ClusterStatus"] = "available"
        self._log(request.place, record, request.properties)
        return _physical(record)

    def delete(self, request: Request) -> None:
        """Delete the cluster and its database."""
        with absent_is_fine():
            records.remove(request.place, request.physical_id)

    def snapshot(self, request: Request) -> None:
        """Keep a snapshot with the data."""
        names = {
            "ClusterIdentifier": request.physical_id,
            "SnapshotIdentifier": records.unique(f"{request.physical_id}-snapshot"),
        }
        REDSHIFT.provision(request.place, "CreateClusterSnapshot", names)

    def find(self, place: Place, identifier: Mapping[str, str]) -> Physical:
        """An existing cluster, for an import."""
        record = records.CLUSTERS.of(place, "cluster").get(identifier.get("ClusterIdentifier", ""))
        if record is None:
            raise ResourceFailure("Cluster not found", "NotFound")
        return _physical(record)

    def taken(self, place: Place, properties: Properties) -> str | None:
        """A cluster of this name exists."""
        name = str(properties.get("ClusterIdentifier", "")).lower()
        exists = name in records.CLUSTERS.of(place, "cluster")
        return f"Cluster already exists: {name} (Service: Redshift)" if exists else None

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """Show the state in DescribeClusters."""
        record = records.CLUSTERS.of(place, "cluster").get(physical_id)
        if record is not None:
            record["ClusterStatus"] = state

    def settle(self, place: Place, physical_id: str) -> None:
        """Show that the work is done."""
        records.settle(records.CLUSTERS.of(place, "cluster").get(physical_id))

    def _log(self, place: Place, record: Record, properties: Properties) -> None:
        logging = properties.get("LoggingProperties")
        name = {"ClusterIdentifier": record["ClusterIdentifier"]}
        if logging:
            REDSHIFT.provision(place, "EnableLogging", {**logging, **name})
        elif record.get("_logging"):
            REDSHIFT.provision(place, "DisableLogging", name)


class SubnetGroup(ResourceType):
    """`AWS::Redshift::ClusterSubnetGroup`."""

    name = "AWS::Redshift::ClusterSubnetGroup"
    replacing = ()

    def create(self, request: Request) -> Physical:
        """Create the group under a name of ours: the type has no name property."""
        properties = {**request.properties, "ClusterSubnetGroupName": request.name(255)}
        REDSHIFT.provision(request.place, "CreateClusterSubnetGroup", properties)
        return Physical(request.name(255), {"ClusterSubnetGroupName": request.name(255)})

    def update(self, request: Request) -> Physical:
        """Change its subnets or description."""
        properties = {**request.properties, "ClusterSubnetGroupName": request.physical_id}
        REDSHIFT.provision(request.place, "ModifyClusterSubnetGroup", properties)
        return Physical(request.physical_id, {"ClusterSubnetGroupName": request.physical_id})

    def delete(self, request: Request) -> None:
        """Delete it; a group that a cluster uses refuses."""
        with absent_is_fine():
            name = {"ClusterSubnetGroupName": request.physical_id}
            REDSHIFT.provision(request.place, "DeleteClusterSubnetGroup", name)


class ParameterGroup(ResourceType):
    """`AWS::Redshift::ClusterParameterGroup`."""

    name = "AWS::Redshift::ClusterParameterGroup"
    replacing = ("ParameterGroupName", "Description", "ParameterGroupFamily")

    def create(self, request: Request) -> Physical:
        """Create the group and set its parameters."""
        name = request.properties.get("ParameterGroupName") or request.name(255)
        named = {**request.properties, "ParameterGroupName": name}
        REDSHIFT.provision(request.place, "CreateClusterParameterGroup", named)
        self._set(request.place, str(name), request.properties)
        return Physical(str(name), {"ParameterGroupName": str(name)})

    def update(self, request: Request) -> Physical:
        """Set the parameters; clusters of the group take them at once."""
        self._set(request.place, request.physical_id, request.properties)
        return Physical(request.physical_id, {"ParameterGroupName": request.physical_id})

    def delete(self, request: Request) -> None:
        """Delete it; a group that a cluster uses refuses."""
        with absent_is_fine():
            name = {"ParameterGroupName": request.physical_id}
            REDSHIFT.provision(request.place, "DeleteClusterParameterGroup", name)

    def taken(self, place: Place, properties: Properties) -> str | None:
        """A group of this name exists."""
        name = properties.get("ParameterGroupName")
        exists = name in records.CLUSTERS.of(place, "parameters")
        return f"{name} already exists" if exists else None

    def _set(self, place: Place, name: str, properties: Properties) -> None:
        parameters = properties.get("Parameters")
        if parameters:
            given = {"ParameterGroupName": name, "Parameters": parameters}
            REDSHIFT.provision(place, "ModifyClusterParameterGroup", given)


def _physical(record: Record) -> Physical:
    attributes = {
        "Endpoint.Address": str(record["Endpoint"]["Address"]),
        "Endpoint.Port": str(record["Endpoint"]["Port"]),
        "ClusterNamespaceArn": str(record["ClusterNamespaceArn"]),
    }
    if record.get("MasterPasswordSecretArn"):
        attributes["MasterPasswordSecretArn"] = record["MasterPasswordSecretArn"]
    return Physical(record["ClusterIdentifier"], attributes)


def started() -> None:
    """After a restart: finish what was under way, run the databases that should run."""
    for place, kind, name, record in records.CLUSTERS.everywhere():
        if kind != "cluster":
            continue
        if record["ClusterStatus"] == "deleting":
            records.remove(place, name)
            continue
        records.settle(record)
        records.follow(place, record)
    backing.retain("redshift", _known)


def _known() -> set[str]:
    """The keys of all databases that a record stands for."""
    found = records.CLUSTERS.everywhere()
    return {key_of("redshift", place, name) for place, kind, name, _ in found if kind == "cluster"}


def inventory() -> list[tuple[Place, str, str]]:
    """What exists, for checks that nothing was left behind."""
    kinds = {
        "cluster": Cluster.name,
        "subnets": SubnetGroup.name,
        "parameters": ParameterGroup.name,
        "snapshot": "AWS::Redshift::ClusterSnapshot",
    }
    found = records.CLUSTERS.everywhere()
    return [(place, kinds[kind], name) for place, kind, name, _ in found]


EXTENSION = Extension(
    types=(Cluster(), SubnetGroup(), ParameterGroup()),
    apis=(REDSHIFT,),
    saved=(records.CLUSTERS.saved(),),
    started=started,
    inventory=inventory,
)
