"""Redshift's direct API: clusters, snapshots, logging.

Source: https://docs.aws.amazon.com/redshift/latest/APIReference/
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from isthmus_lab_aws import backing, lab
from isthmus_lab_aws.backing import key_of
from isthmus_lab_aws.records import Record
from isthmus_lab_aws.resource import Call, Place
from isthmus_lab_aws.types import managed_secrets, redshift_groups
from isthmus_lab_aws.types.managed_secrets import Administrator
from isthmus_lab_aws.types.redshift_records import CLUSTERS, cluster, follow, remove, settle, unique
from isthmus_lab_aws.wire import ApiError, OwnService, Parameters

_PLAIN = (
    "AllowVersionUpgrade",
    "AutomatedSnapshotRetentionPeriod",
    "AvailabilityZone",
    "Encrypted",
    "EnhancedVpcRouting",
    "KmsKeyId",
    "ManualSnapshotRetentionPeriod",
    "MultiAZ",
    "NodeType",
    "PreferredMaintenanceWindow",
    "PubliclyAccessible",
)
"""Properties that a record takes over as they are."""
_MODIFYING = timedelta(minutes=2)


def _create(place: Place, given: Parameters) -> Mapping[str, Any]:
    with CLUSTERS.lock:
        record = _new(place, given)
        CLUSTERS.of(place, "cluster")[record["ClusterIdentifier"]] = record
    try:
        follow(place, record)
    except ApiError:
        remove(place, record["ClusterIdentifier"])
        raise
    return _progress(record, "creating", timedelta(minutes=8))


def _new(place: Place, given: Parameters) -> Record:
    name = str(given["ClusterIdentifier"]).lower()
    if name in CLUSTERS.of(place, "cluster"):
        raise ApiError("ClusterAlreadyExists", f"Cluster already exists: {name}")
    password = str(given.get("MasterUserPassword") or "")
    if not password and not given.get("ManageMasterPassword"):
        message = "You must specify either MasterUserPassword or ManageMasterPassword."
        raise ApiError("InvalidParameterCombination", message)
    host = f"{name}.{secrets.token_hex(6)}.{place.region}.redshift.amazonaws.com"
    namespace = f"arn:aws:redshift:{place.region}:{place.account}:namespace:{unique('lab')}"
    record: Record = {
        "ClusterIdentifier": name,
        "ClusterStatus": "available",
        "ClusterAvailabilityStatus": "Available",
        "ClusterCreateTime": time.time(),
        "ClusterNamespaceArn": namespace,
        "ClusterVersion": "1.0",
        "ClusterSubnetGroupName": _subnet_group(place, given),
        "DBName": str(given.get("DBName") or "dev"),
        "Endpoint": {"Address": host, "Port": int(given.get("Port") or 5439)},
        "IamRoles": [{"IamRoleArn": arn, "ApplyStatus": "in-sync"} for arn in _roles(given)],
        "MasterUsername": given["MasterUsername"],
        "NumberOfNodes": _node_count(given),
        "Tags": list(given.get("Tags", [])),
        "VpcSecurityGroups": _security_groups(given),
        "ClusterParameterGroups": [_group(place, given.get("ClusterParameterGroupName"))],
        "AutomatedSnapshotRetentionPeriod": 1,
        "EnhancedVpcRouting": False,
        "Encrypted": True,
        "PubliclyAccessible": False,
        "_password": password,
        **{key: given[key] for key in _PLAIN if key in given},
    }
    if given.get("ManageMasterPassword"):
        _manage_password(place, record, given)
    return record


def _subnet_group(place: Place, given: Parameters) -> str:
    name = str(given.get("ClusterSubnetGroupName") or "default")
    if name != "default" and name not in CLUSTERS.of(place, "subnets"):
        message = f"Cluster subnet group {name} not found."
        raise ApiError("ClusterSubnetGroupNotFoundFault", message)
    return name


def _node_count(given: Parameters) -> int:
    nodes, kind = int(given.get("NumberOfNodes") or 1), given.get("ClusterType")
    if kind == "single-node" and nodes != 1:
        message = "Number of nodes for a single-node cluster must be 1."
        raise ApiError("InvalidParameterCombination", message)
    if kind == "multi-node" and nodes < 2:
        message = "Number of nodes for cluster type multi-node must be greater than or equal to 2"
        raise ApiError("InvalidParameterCombination", message)
    return nodes


def _roles(given: Parameters) -> list[str]:
    return [str(arn) for arn in given.get("IamRoles", [])]


def _security_groups(given: Parameters) -> list[Record]:
    groups = given.get("VpcSecurityGroupIds", [])
    return [{"VpcSecurityGroupId": group, "Status": "active"} for group in groups]


def _group(place: Place, name: object) -> Record:
    wanted = str(name or "default.redshift-1.0")
    if not wanted.startswith("default.") and wanted not in CLUSTERS.of(place, "parameters"):
        message = f"ParameterGroup not found: {wanted}"
        raise ApiError("ClusterParameterGroupNotFound", message, 404)
    return {"ParameterGroupName": wanted, "ParameterApplyStatus": "in-sync"}


def _manage_password(place: Place, record: Record, given: Parameters) -> None:
    record["_password"] = secrets.token_urlsafe(24)
    name = record["ClusterIdentifier"]
    record["MasterPasswordSecretArn"] = managed_secrets.create(
        place,
        f"redshift!{unique(name)}",
        Administrator(record["MasterUsername"], record["_password"]),
        f"Admin secret of Redshift cluster {name}",
    )
    record["MasterPasswordSecretKmsKeyId"] = given.get("MasterPasswordSecretKmsKeyId")


def _progress(record: Record, state: str, duration: timedelta) -> Mapping[str, Any]:
    """Show an intermediate state for a while; the answer of most operations."""
    record["ClusterStatus"] = state
    lab.current().later(duration, lambda: settle(record))
    return {"Cluster": record}


def _describe(place: Place, given: Parameters) -> Mapping[str, Any]:
    if given.get("ClusterIdentifier"):
        return {"Clusters": [cluster(place, given["ClusterIdentifier"])]}
    return {"Clusters": list(CLUSTERS.of(place, "cluster").values())}


def _available(place: Place, given: Parameters, *states: str) -> Record:
    record = cluster(place, given["ClusterIdentifier"])
    expected = states or ("available",)
    if record["ClusterStatus"] not in expected:
        message = (
            f"The cluster {record['ClusterIdentifier']} is {record['ClusterStatus']}; "
            f"the operation needs it to be {' or '.join(expected)}."
        )
        raise ApiError("InvalidClusterState", message)
    return record


def _modify(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _available(place, given)
    resized = "NumberOfNodes" in given or "NodeType" in given
    if "NumberOfNodes" in given or "ClusterType" in given:
        record["NumberOfNodes"] = _node_count({"NumberOfNodes": record["NumberOfNodes"], **given})
    record.update({key: given[key] for key in _PLAIN if key in given})
    if "VpcSecurityGroupIds" in given:
        record["VpcSecurityGroups"] = _security_groups(given)
    if "ClusterParameterGroupName" in given:
        record["ClusterParameterGroups"] = [_group(place, given["ClusterParameterGroupName"])]
    if given.get("MasterUserPassword"):
        record["_password"] = given["MasterUserPassword"]
    if given.get("ManageMasterPassword") and not record.get("MasterPasswordSecretArn"):
        _manage_password(place, record, given)
    follow(place, record)
    return _progress(record, "resizing" if resized else "modifying", _MODIFYING)


def _resize(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _available(place, given)
    record["NumberOfNodes"] = _node_count({"NumberOfNodes": record["NumberOfNodes"], **given})
    record["NodeType"] = given.get("NodeType", record.get("NodeType"))
    return _progress(record, "resizing", timedelta(minutes=10))


def _reboot(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _available(place, given)
    backing.reboot(key_of("redshift", place, record["ClusterIdentifier"]))
    return _progress(record, "rebooting", timedelta(minutes=2))


def _pause(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _available(place, given)
    answer = _progress(record, "pausing", timedelta(minutes=3))
    follow(place, record)
    return answer


def _resume(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _available(place, given, "paused")
    answer = _progress(record, "resuming", timedelta(minutes=4))
    follow(place, record)
    return answer


def _delete(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _available(place, given, "available", "paused")
    final = given.get("FinalClusterSnapshotIdentifier")
    if not given.get("SkipFinalClusterSnapshot"):
        if not final:
            message = (
                "FinalClusterSnapshotIdentifier is required unless "
                "SkipFinalClusterSnapshot is specified."
            )
            raise ApiError("InvalidParameterCombination", message)
        _snapshot(place, {**given, "SnapshotIdentifier": final})
    record["ClusterStatus"] = "deleting"
    name = record["ClusterIdentifier"]
    lab.current().later(timedelta(minutes=4), lambda: remove(place, name))
    return {"Cluster": record}


def _snapshot(place: Place, given: Parameters) -> Mapping[str, Any]:
    record, name = cluster(place, given["ClusterIdentifier"]), str(given["SnapshotIdentifier"])
    if name in CLUSTERS.of(place, "snapshot"):
        raise ApiError("ClusterSnapshotAlreadyExists", f"Snapshot {name} already exists.")
    key = key_of("redshift", place, record["ClusterIdentifier"])
    backing.take_snapshot(key, key_of("redshift", place, name))
    copied = ("ClusterIdentifier", "DBName", "MasterUsername", "NodeType", "NumberOfNodes")
    made: Record = {
        "SnapshotIdentifier": name,
        "SnapshotType": "manual",
        "Status": "available",
        "SnapshotCreateTime": time.time(),
        "ClusterCreateTime": record["ClusterCreateTime"],
        "Encrypted": record["Encrypted"],
        "OwnerAccount": place.account,
        "Port": record["Endpoint"]["Port"],
        "Tags": list(given.get("Tags", [])),
        "_password": record["_password"],
        **{key: record[key] for key in copied if key in record},
    }
    CLUSTERS.of(place, "snapshot")[name] = made
    return {"Snapshot": made}


def _snapshots(place: Place, given: Parameters) -> Mapping[str, Any]:
    name, owner = given.get("SnapshotIdentifier"), given.get("ClusterIdentifier")
    found = [
        made
        for made in CLUSTERS.of(place, "snapshot").values()
        if name in (None, made["SnapshotIdentifier"]) and owner in (None, made["ClusterIdentifier"])
    ]
    if name and not found:
        raise ApiError("ClusterSnapshotNotFound", f"Snapshot {name} not found.", 404)
    return {"Snapshots": found}


def _delete_snapshot(place: Place, given: Parameters) -> Mapping[str, Any]:
    _snapshots(place, given)
    name = str(given["SnapshotIdentifier"])
    backing.drop_snapshot(key_of("redshift", place, name))
    return {"Snapshot": CLUSTERS.of(place, "snapshot").pop(name)}


def _restore(place: Place, given: Parameters) -> Mapping[str, Any]:
    wanted = {"SnapshotIdentifier": given["SnapshotIdentifier"]}
    source: Record = _snapshots(place, wanted)["Snapshots"][0]
    inherited = ("DBName", "MasterUsername", "NodeType", "NumberOfNodes")
    merged = {
        **{key: source[key] for key in inherited if key in source},
        "MasterUserPassword": source["_password"],
        **given,
    }
    record = _new(place, merged)
    record["_snapshot"] = key_of("redshift", place, source["SnapshotIdentifier"])
    CLUSTERS.of(place, "cluster")[record["ClusterIdentifier"]] = record
    follow(place, record)
    return _progress(record, "creating", timedelta(minutes=10))


def _enable_logging(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = cluster(place, given["ClusterIdentifier"])
    record["_logging"] = {**given, "LoggingEnabled": True}
    return record["_logging"]


def _disable_logging(place: Place, given: Parameters) -> Mapping[str, Any]:
    cluster(place, given["ClusterIdentifier"]).pop("_logging", None)
    return {"LoggingEnabled": False}


def _logging(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = cluster(place, given["ClusterIdentifier"])
    status: Mapping[str, Any] = record.get("_logging", {"LoggingEnabled": False})
    return status


def _arn(call: Call) -> str:
    """Clusters are the only resources that policies of the catalog name."""
    name = call.parameters.get("ClusterIdentifier")
    place = call.place
    return f"arn:aws:redshift:{place.region}:{place.account}:cluster:{name}" if name else "*"


REDSHIFT = OwnService(
    "redshift",
    {
        **redshift_groups.OPERATIONS,
        "CreateCluster": _create,
        "CreateClusterSnapshot": _snapshot,
        "DeleteCluster": _delete,
        "DeleteClusterSnapshot": _delete_snapshot,
        "DescribeClusterSnapshots": _snapshots,
        "DescribeClusters": _describe,
        "DescribeLoggingStatus": _logging,
        "DisableLogging": _disable_logging,
        "EnableLogging": _enable_logging,
        "ModifyCluster": _modify,
        "PauseCluster": _pause,
        "RebootCluster": _reboot,
        "ResizeCluster": _resize,
        "RestoreFromClusterSnapshot": _restore,
        "ResumeCluster": _resume,
    },
    _arn,
)
