"""Redshift Serverless' direct API: namespaces hold the data, workgroups answer log-ins.

A real PostgreSQL stands behind each namespace; it runs while the namespace has a workgroup.
Source: https://docs.aws.amazon.com/redshift-serverless/latest/APIReference/
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from isthmus_lab_aws import backing, lab
from isthmus_lab_aws.backing import Wanted, key_of
from isthmus_lab_aws.databases.server import DatabaseFailed, Login
from isthmus_lab_aws.records import Record, Records
from isthmus_lab_aws.resource import Call, Place
from isthmus_lab_aws.types import managed_secrets
from isthmus_lab_aws.types.managed_secrets import Administrator
from isthmus_lab_aws.wire import ApiError, OwnService, Parameters

RECORDS = Records("redshift-serverless")
NAMESPACE, WORKGROUP, SNAPSHOT = "namespace", "workgroup", "snapshot"
_PORT = 5439
"""What clients expect; the lab keeps to it, on addresses of the workgroup's own."""
WORKING = timedelta(minutes=2)
_SETTLED = {"CREATING": "AVAILABLE", "MODIFYING": "AVAILABLE"}


def _find(place: Place, kind: str, name: object) -> Record:
    record = RECORDS.of(place, kind).get(str(name))
    if record is None:
        message = f"The {kind} {name} does not exist."
        raise ApiError("ResourceNotFoundException", message, 404)
    return record


def _arn(place: Place, kind: str, identity: str) -> str:
    return f"arn:aws:redshift-serverless:{place.region}:{place.account}:{kind}/{identity}"


def _create_namespace(place: Place, given: Parameters) -> Mapping[str, Any]:
    name, identity = str(given["namespaceName"]), str(uuid.uuid4())
    if name in RECORDS.of(place, NAMESPACE):
        raise ApiError("ConflictException", f"The namespace {name} already exists.")
    record: Record = {
        "namespaceName": name,
        "namespaceId": identity,
        "namespaceArn": _arn(place, NAMESPACE, identity),
        "adminUsername": given.get("adminUsername", "admin"),
        "creationDate": time.time(),
        "dbName": given.get("dbName", "dev"),
        "iamRoles": list(given.get("iamRoles", [])),
        "kmsKeyId": given.get("kmsKeyId", "AWS_OWNED_KMS_KEY"),
        "logExports": list(given.get("logExports", [])),
        "status": "AVAILABLE",
        "_password": given.get("adminUserPassword") or secrets.token_urlsafe(24),
    }
    if given.get("manageAdminPassword"):
        _manage_password(place, record, given)
    RECORDS.of(place, NAMESPACE)[name] = record
    return {"namespace": record}


def _manage_password(place: Place, record: Record, given: Parameters) -> None:
    record["_password"] = secrets.token_urlsafe(24)
    record["adminPasswordSecretArn"] = managed_secrets.create(
        place,
        f"redshift!{record['namespaceName']}-{record['namespaceId'][:8]}",
        Administrator(record["adminUsername"], record["_password"]),
        f"Admin secret of namespace {record['namespaceName']}",
    )
    record["adminPasswordSecretKmsKeyId"] = given.get("adminPasswordSecretKmsKeyId")


def _get_namespace(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"namespace": _find(place, NAMESPACE, given["namespaceName"])}


def _list_namespaces(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"namespaces": list(RECORDS.of(place, NAMESPACE).values())}


def _update_namespace(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, NAMESPACE, given["namespaceName"])
    for key in ("adminUsername", "iamRoles", "kmsKeyId", "logExports"):
        record[key] = given.get(key, record[key])
    if given.get("adminUserPassword"):
        record["_password"] = given["adminUserPassword"]
    if given.get("manageAdminPassword") and not record.get("adminPasswordSecretArn"):
        _manage_password(place, record, given)
    follow(place, record)
    return {"namespace": record}


def _delete_namespace(place: Place, given: Parameters) -> Mapping[str, Any]:
    name = str(given["namespaceName"])
    record = _find(place, NAMESPACE, name)
    if _workgroups(place, name):
        message = f"There is a workgroup associated with the namespace {name}."
        raise ApiError("ConflictException", message)
    if given.get("finalSnapshotName"):
        _create_snapshot(place, {**given, "snapshotName": given["finalSnapshotName"]})
    managed_secrets.delete(place, record.get("adminPasswordSecretArn"))
    RECORDS.of(place, NAMESPACE).pop(name)
    backing.forget(key_of("serverless", place, name))
    return {"namespace": {**record, "status": "DELETING"}}


def _create_snapshot(place: Place, given: Parameters) -> Mapping[str, Any]:
    """Note a snapshot; its data are not kept, since nothing of ours restores it."""
    name, identity = str(given["snapshotName"]), str(uuid.uuid4())
    if name in RECORDS.of(place, SNAPSHOT):
        raise ApiError("ConflictException", f"The snapshot {name} already exists.")
    namespace = _find(place, NAMESPACE, given["namespaceName"])
    record: Record = {
        "snapshotName": name,
        "snapshotArn": _arn(place, SNAPSHOT, identity),
        "namespaceName": namespace["namespaceName"],
        "namespaceArn": namespace["namespaceArn"],
        "adminUsername": namespace["adminUsername"],
        "snapshotCreateTime": time.time(),
        "status": "CREATING",
    }
    RECORDS.of(place, SNAPSHOT)[name] = record
    lab.current().later(WORKING, lambda: settle(record))
    return {"snapshot": record}


def _get_snapshot(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"snapshot": _find(place, SNAPSHOT, given["snapshotName"])}


def _list_snapshots(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"snapshots": list(RECORDS.of(place, SNAPSHOT).values())}


def _delete_snapshot(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, SNAPSHOT, given["snapshotName"])
    del RECORDS.of(place, SNAPSHOT)[record["snapshotName"]]
    return {"snapshot": {**record, "status": "DELETED"}}


def _workgroups(place: Place, namespace: str) -> list[Record]:
    groups = RECORDS.of(place, WORKGROUP).values()
    return [group for group in groups if group["namespaceName"] == namespace]


def _create_workgroup(place: Place, given: Parameters) -> Mapping[str, Any]:
    name, identity = str(given["workgroupName"]), str(uuid.uuid4())
    if name in RECORDS.of(place, WORKGROUP):
        raise ApiError("ConflictException", f"The workgroup {name} already exists.")
    namespace = _find(place, NAMESPACE, given["namespaceName"])
    if _workgroups(place, str(given["namespaceName"])):
        message = f"The namespace {given['namespaceName']} already has a workgroup."
        raise ApiError("ConflictException", message)
    host = f"{name}.{place.account}.{place.region}.redshift-serverless.amazonaws.com"
    record: Record = {
        **{key: value for key, value in given.items() if key != "tags"},
        "workgroupId": identity,
        "workgroupArn": _arn(place, WORKGROUP, identity),
        "baseCapacity": given.get("baseCapacity", 128),
        "creationDate": time.time(),
        "endpoint": {"address": host, "port": given.get("port", _PORT)},
        "publiclyAccessible": given.get("publiclyAccessible", False),
        "enhancedVpcRouting": given.get("enhancedVpcRouting", False),
        "status": "AVAILABLE",
    }
    RECORDS.of(place, WORKGROUP)[name] = record
    follow(place, namespace)
    return _progress(record, "CREATING")


def _progress(record: Record, state: str) -> Mapping[str, Any]:
    record["status"] = state
    lab.current().later(WORKING, lambda: settle(record))
    return {"workgroup": record}


def settle(record: Record) -> None:
    """Show the state that follows the intermediate one."""
    record["status"] = _SETTLED.get(record["status"], record["status"])


def _get_workgroup(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"workgroup": _find(place, WORKGROUP, given["workgroupName"])}


def _list_workgroups(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"workgroups": list(RECORDS.of(place, WORKGROUP).values())}


def _update_workgroup(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, WORKGROUP, given["workgroupName"])
    if record["status"] != "AVAILABLE":
        message = f"The workgroup {given['workgroupName']} is {record['status']}."
        raise ApiError("ConflictException", message)
    record.update(given)
    follow(place, _find(place, NAMESPACE, record["namespaceName"]))
    return _progress(record, "MODIFYING")


def _delete_workgroup(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, WORKGROUP, given["workgroupName"])
    del RECORDS.of(place, WORKGROUP)[record["workgroupName"]]
    follow(place, _find(place, NAMESPACE, record["namespaceName"]))
    return {"workgroup": {**record, "status": "DELETING"}}


def follow(place: Place, namespace: Record) -> None:
    """Run the namespace's database while a workgroup serves it."""
    name = namespace["namespaceName"]
    groups = _workgroups(place, name)
    key = key_of("serverless", place, name)
    if not groups and backing.databases().find(key) is None:
        return
    try:
        endpoint = backing.follow(
            Wanted(
                key=key,
                engine="postgresql",
                version="16.8",
                login=Login(
                    namespace["adminUsername"],
                    namespace["_password"],
                    namespace["dbName"],
                    superuser=True,
                ),
                running=bool(groups),
                port=int(groups[0].get("port", _PORT)) if groups else _PORT,
                force_tls=any(_requires_tls(group) for group in groups),
            )
        )
    except DatabaseFailed as failure:
        raise ApiError("InternalServerException", f"Database: {failure}", 500) from failure
    for group in groups if endpoint else ():
        group["endpoint"] = {"address": endpoint.host, "port": endpoint.port} if endpoint else {}


def _requires_tls(group: Record) -> bool:
    parameters: list[Record] = group.get("configParameters", [])
    values = {item["parameterKey"]: str(item["parameterValue"]).lower() for item in parameters}
    return values.get("require_ssl", "true") == "true"


def _resource_of(call: Call) -> str:
    for kind in (WORKGROUP, SNAPSHOT, NAMESPACE):
        record = RECORDS.of(call.place, kind).get(str(call.parameters.get(f"{kind}Name")))
        if record is not None:
            return str(record[f"{kind}Arn"])
    return "*"


SERVERLESS = OwnService(
    "redshift-serverless",
    {
        "CreateNamespace": _create_namespace,
        "CreateSnapshot": _create_snapshot,
        "CreateWorkgroup": _create_workgroup,
        "DeleteNamespace": _delete_namespace,
        "DeleteSnapshot": _delete_snapshot,
        "DeleteWorkgroup": _delete_workgroup,
        "GetNamespace": _get_namespace,
        "GetSnapshot": _get_snapshot,
        "GetWorkgroup": _get_workgroup,
        "ListNamespaces": _list_namespaces,
        "ListSnapshots": _list_snapshots,
        "ListWorkgroups": _list_workgroups,
        "UpdateNamespace": _update_namespace,
        "UpdateWorkgroup": _update_workgroup,
    },
    _resource_of,
)
