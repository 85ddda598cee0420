"""RDS records of ministack and the real databases that follow them.

ministack keeps clusters and instances as dictionaries in its stores; `follow_cluster` makes the
database behind one what the record says and writes back where it listens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus_lab_aws import backing, inside, ministack
from isthmus_lab_aws.backing import Wanted, key_of
from isthmus_lab_aws.databases.server import Login
from isthmus_lab_aws.resource import Place, Properties, ResourceFailure
from isthmus_lab_aws.types import managed_secrets
from isthmus_lab_aws.types.managed_secrets import Administrator

Record = dict[str, Any]
_DEFAULT_VERSION = "16.4"


def rds() -> Any:
    """Ministack's module of the service."""
    return ministack.service("rds")


def clusters() -> dict[str, Record]:
    """The clusters of this context's account and region, by name."""
    return rds()._clusters


def instances() -> dict[str, Record]:
    """The instances of this context's account and region, by name."""
    return rds()._instances


def _engine(record: Mapping[str, Any]) -> str | None:
    name = str(record.get("Engine", ""))
    if "postgres" in name:
        return "postgresql"
    return "mysql" if "mysql" in name or "mariadb" in name else None


def _cluster_wants(place: Place, record: Record) -> Wanted | None:
    engine = _engine(record)
    if engine is None:
        return None
    members: list[Record] = record.get("DBClusterMembers", [])
    if members and not any(member.get("IsClusterWriter") for member in members):
        members[0]["IsClusterWriter"] = True
    writer = next((m["DBInstanceIdentifier"] for m in members if m.get("IsClusterWriter")), "")
    return Wanted(
        key=key_of("rds", place, record["DBClusterIdentifier"]),
        engine=engine,
        version=str(record.get("EngineVersion") or _DEFAULT_VERSION),
        login=_login(record, record.get("DatabaseName")),
        running=record.get("Status") not in ("stopped", "stopping"),
        writer=writer,
        replicated=len(members) > 1,
        force_tls=_forces_tls(engine, record.get("DBClusterParameterGroup", "")),
        snapshot=record.get("_lab_snapshot", ""),
    )


def _instance_wants(place: Place, record: Record) -> Wanted | None:
    engine = _engine(record)
    if engine is None or record.get("DBClusterIdentifier"):
        return None
    return Wanted(
        key=key_of("rds-db", place, record["DBInstanceIdentifier"]),
        engine=engine,
        version=str(record.get("EngineVersion") or _DEFAULT_VERSION),
        login=_login(record, record.get("DBName")),
        running=record.get("DBInstanceStatus") not in ("stopped", "stopping"),
    )


def _login(record: Record, database: object) -> Login:
    return Login(record["MasterUsername"], record["_MasterUserPassword"], str(database or ""))


def _forces_tls(engine: str, group: str) -> bool:
    """PostgreSQL refuses plain sessions unless told otherwise; MySQL accepts them, as in RDS."""
    found: Record = rds()._db_cluster_param_groups.get(group) or {}
    parameters: Record = found.get("Parameters", {})
    name = "rds.force_ssl" if engine == "postgresql" else "require_secure_transport"
    value = str(parameters.get(name, {}).get("ParameterValue", "")).lower()
    return value not in ("0", "off") if engine == "postgresql" else value in ("1", "on")


def follow_all(place: Place) -> None:
    """Make every database of an account and region what its record says."""
    for record in list(clusters().values()):
        follow_cluster(place, record)
    for record in list(instances().values()):
        wanted = _instance_wants(place, record)
        endpoint = backing.follow(wanted) if wanted else None
        if endpoint:
            record["Endpoint"] |= {"Address": endpoint.host, "Port": endpoint.port}


def follow_cluster(place: Place, record: Record) -> None:
    """Make one cluster's database what its record says, and publish where it listens."""
    wanted = _cluster_wants(place, record)
    endpoint = backing.follow(wanted) if wanted else None
    if endpoint is None or wanted is None:
        return
    record["Endpoint"], record["ReaderEndpoint"] = endpoint.host, endpoint.reader_host
    record["Port"] = endpoint.port
    for member in record.get("DBClusterMembers", []):
        instance = instances().get(member["DBInstanceIdentifier"])
        if instance is not None:
            writes = member["DBInstanceIdentifier"] == wanted.writer
            host = endpoint.host if writes else endpoint.reader_host
            instance["Endpoint"] |= {"Address": host, "Port": endpoint.port}


def manage_password(record: Record, key: str = "") -> None:
    """Move a cluster's master password into a secret that RDS manages."""
    if record.get("MasterUserSecret"):
        return
    password = rds()._generate_master_user_password()
    arn = managed_secrets.create(
        ministack.here(),
        f"rds!{record['DbClusterResourceId']}",
        Administrator(record["MasterUsername"], password),
        f"Secret managed by RDS for DB cluster {record['DBClusterIdentifier']}",
    )
    record["_MasterUserPassword"] = password
    record["MasterUserSecret"] = {"SecretArn": arn, "SecretStatus": "active", "KmsKeyId": key}


def restore_cluster(place: Place, properties: Properties) -> Record:
    """Make a cluster from a snapshot: RestoreDBClusterFromSnapshot, which ministack lacks."""
    name = str(properties["SnapshotIdentifier"]).rpartition(":")[2]
    snapshot: Record | None = rds()._db_cluster_snapshots.get(name)
    if snapshot is None:
        raise ResourceFailure(f"DBClusterSnapshot {name} not found.", "NotFound")
    source: Record = snapshot.get("_lab_master", {})
    inside.call(
        "rds",
        "CreateDBCluster",
        {
            **properties,
            "Engine": snapshot["Engine"],
            "EngineVersion": properties.get("EngineVersion") or snapshot["EngineVersion"],
            "MasterUsername": snapshot["MasterUsername"],
            "DatabaseName": source.get("DatabaseName"),
        },
    )
    record = clusters()[str(properties["DBClusterIdentifier"])]
    if not (properties.get("MasterUserPassword") or record.get("MasterUserSecret")):
        record["_MasterUserPassword"] = source.get("Password", record["_MasterUserPassword"])
    if source.get("Data"):
        record["_lab_snapshot"] = key_of("rds", place, name)
    return record


def snapshot_data(place: Place, name: str) -> None:
    """Copy the data for a snapshot record that was just made."""
    snapshot: Record = rds()._db_cluster_snapshots[name]
    cluster = clusters().get(snapshot["DBClusterIdentifier"])
    if cluster is None:
        return
    key = key_of("rds", place, cluster["DBClusterIdentifier"])
    backing.take_snapshot(key, key_of("rds", place, name))
    snapshot["_lab_master"] = {
        "DatabaseName": cluster.get("DatabaseName"),
        "Password": cluster["_MasterUserPassword"],
        "Data": backing.databases().find(key) is not None,
    }


_SETTLED = {
    "creating": "available",
    "modifying": "available",
    "starting": "available",
    "failing-over": "available",
    "rebooting": "available",
    "stopping": "stopped",
}


def settle(record: Record | None, field: str) -> None:
    """Show the state that follows the intermediate one in `field`."""
    if record is not None:
        record[field] = _SETTLED.get(record[field], record[field])


def follow_instance(place: Place, name: str) -> None:
    """Make the database of an instance, or of the cluster it belongs to, what it should be."""
    cluster = clusters().get(instances()[name].get("DBClusterIdentifier", ""))
    if cluster is None:
        follow_all(place)
    else:
        follow_cluster(place, cluster)
