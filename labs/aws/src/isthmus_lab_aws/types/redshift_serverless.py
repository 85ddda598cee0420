"""Amazon Redshift Serverless: namespaces hold the data, workgroups answer log-ins.

A real PostgreSQL stands behind each namespace; it runs while the namespace has a workgroup.
Source: https://docs.aws.amazon.com/redshift-serverless/latest/APIReference/
"""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from isthmus_lab_aws import backing, lab, ministack
from isthmus_lab_aws.backing import Wanted, key_of
from isthmus_lab_aws.databases.server import DatabaseFailed, Login
from isthmus_lab_aws.inside import absent_is_fine
from isthmus_lab_aws.records import Record, Records
from isthmus_lab_aws.resource import (
    Call,
    Delays,
    Extension,
    Physical,
    Place,
    Properties,
    Request,
    ResourceType,
)
from isthmus_lab_aws.wire import ApiError, OwnService, Parameters

_RECORDS = Records("redshift-serverless")
_NAMESPACE, _WORKGROUP, _SNAPSHOT = "namespace", "workgroup", "snapshot"
_PORT = 5439
"""What clients expect; the lab keeps to it, on addresses of the workgroup's own."""
_WORKING = timedelta(minutes=2)
_SETTLED = {"CREATING": "AVAILABLE", "MODIFYING": "AVAILABLE"}


def _find(place: Place, kind: str, name: object) -> Record:
    record = _RECORDS.of(place, kind).get(str(name))
    if record is None:
        message = f"The {kind} {name} does not exist."
        raise ApiError("ResourceNotFoundException", message, 404)
    return record


def _arn(place: Place, kind: str, identity: str) -> str:
    return f"arn:aws:redshift-serverless:{place.region}:{place.account}:{kind}/{identity}"


def _create_namespace(place: Place, given: Parameters) -> Mapping[str, Any]:
    name, identity = str(given["namespaceName"]), str(uuid.uuid4())
    if name in _RECORDS.of(place, _NAMESPACE):
        raise ApiError("ConflictException", f"The namespace {name} already exists.")
    record: Record = {
        "namespaceName": name,
        "namespaceId": identity,
        "namespaceArn": _arn(place, _NAMESPACE, identity),
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
    _RECORDS.of(place, _NAMESPACE)[name] = record
    return {"namespace": record}


def _manage_password(place: Place, record: Record, given: Parameters) -> None:
    record["_password"] = secrets.token_urlsafe(24)
    content = {"username": record["adminUsername"], "password": record["_password"]}
    with ministack.at(place):
        record["adminPasswordSecretArn"] = ministack.service(
            "secretsmanager"
        ).create_secret_in_process(
            f"redshift!{record['namespaceName']}-{record['namespaceId'][:8]}",
            json.dumps(content),
            description=f"Admin secret of namespace {record['namespaceName']}",
        )
    record["adminPasswordSecretKmsKeyId"] = given.get("adminPasswordSecretKmsKeyId")


def _get_namespace(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"namespace": _find(place, _NAMESPACE, given["namespaceName"])}


def _list_namespaces(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"namespaces": list(_RECORDS.of(place, _NAMESPACE).values())}


def _update_namespace(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, _NAMESPACE, given["namespaceName"])
    for key in ("adminUsername", "iamRoles", "kmsKeyId", "logExports"):
        record[key] = given.get(key, record[key])
    if given.get("adminUserPassword"):
        record["_password"] = given["adminUserPassword"]
    if given.get("manageAdminPassword") and not record.get("adminPasswordSecretArn"):
        _manage_password(place, record, given)
    _follow(place, record)
    return {"namespace": record}


def _delete_namespace(place: Place, given: Parameters) -> Mapping[str, Any]:
    name = str(given["namespaceName"])
    record = _find(place, _NAMESPACE, name)
    if _workgroups(place, name):
        message = f"There is a workgroup associated with the namespace {name}."
        raise ApiError("ConflictException", message)
    if given.get("finalSnapshotName"):
        _create_snapshot(place, {**given, "snapshotName": given["finalSnapshotName"]})
    if record.get("adminPasswordSecretArn"):
        with ministack.at(place):
            secretsmanager = ministack.service("secretsmanager")
            secretsmanager.delete_secret_in_process(record["adminPasswordSecretArn"])
    _RECORDS.of(place, _NAMESPACE).pop(name)
    backing.forget(key_of("serverless", place, name))
    return {"namespace": {**record, "status": "DELETING"}}


def _create_snapshot(place: Place, given: Parameters) -> Mapping[str, Any]:
    """Note a snapshot; its data are not kept, since nothing of ours restores it."""
    name, identity = str(given["snapshotName"]), str(uuid.uuid4())
    if name in _RECORDS.of(place, _SNAPSHOT):
        raise ApiError("ConflictException", f"The snapshot {name} already exists.")
    namespace = _find(place, _NAMESPACE, given["namespaceName"])
    record: Record = {
        "snapshotName": name,
        "snapshotArn": _arn(place, _SNAPSHOT, identity),
        "namespaceName": namespace["namespaceName"],
        "namespaceArn": namespace["namespaceArn"],
        "adminUsername": namespace["adminUsername"],
        "snapshotCreateTime": time.time(),
        "status": "CREATING",
    }
    _RECORDS.of(place, _SNAPSHOT)[name] = record
    lab.current().later(_WORKING, lambda: _settle(record))
    return {"snapshot": record}


def _get_snapshot(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"snapshot": _find(place, _SNAPSHOT, given["snapshotName"])}


def _list_snapshots(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"snapshots": list(_RECORDS.of(place, _SNAPSHOT).values())}


def _delete_snapshot(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, _SNAPSHOT, given["snapshotName"])
    del _RECORDS.of(place, _SNAPSHOT)[record["snapshotName"]]
    return {"snapshot": {**record, "status": "DELETED"}}


def _workgroups(place: Place, namespace: str) -> list[Record]:
    groups = _RECORDS.of(place, _WORKGROUP).values()
    return [group for group in groups if group["namespaceName"] == namespace]


def _create_workgroup(place: Place, given: Parameters) -> Mapping[str, Any]:
    name, identity = str(given["workgroupName"]), str(uuid.uuid4())
    if name in _RECORDS.of(place, _WORKGROUP):
        raise ApiError("ConflictException", f"The workgroup {name} already exists.")
    namespace = _find(place, _NAMESPACE, given["namespaceName"])
    if _workgroups(place, str(given["namespaceName"])):
        message = f"The namespace {given['namespaceName']} already has a workgroup."
        raise ApiError("ConflictException", message)
    host = f"{name}.{place.account}.{place.region}.redshift-serverless.amazonaws.com"
    record: Record = {
        **{key: value for key, value in given.items() if key != "tags"},
        "workgroupId": identity,
        "workgroupArn": _arn(place, _WORKGROUP, identity),
        "baseCapacity": given.get("baseCapacity", 128),
        "creationDate": time.time(),
        "endpoint": {"address": host, "port": given.get("port", _PORT)},
        "publiclyAccessible": given.get("publiclyAccessible", False),
        "enhancedVpcRouting": given.get("enhancedVpcRouting", False),
        "status": "AVAILABLE",
    }
    _RECORDS.of(place, _WORKGROUP)[name] = record
    _follow(place, namespace)
    return _progress(record, "CREATING")


def _progress(record: Record, state: str) -> Mapping[str, Any]:
    record["status"] = state
    lab.current().later(_WORKING, lambda: _settle(record))
    return {"workgroup": record}


def _settle(record: Record) -> None:
    record["status"] = _SETTLED.get(record["status"], record["status"])


def _get_workgroup(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"workgroup": _find(place, _WORKGROUP, given["workgroupName"])}


def _list_workgroups(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"workgroups": list(_RECORDS.of(place, _WORKGROUP).values())}


def _update_workgroup(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, _WORKGROUP, given["workgroupName"])
    if record["status"] != "AVAILABLE":
        message = f"The workgroup {given['workgroupName']} is {record['status']}."
        raise ApiError("ConflictException", message)
    record.update(given)
    _follow(place, _find(place, _NAMESPACE, record["namespaceName"]))
    return _progress(record, "MODIFYING")


def _delete_workgroup(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, _WORKGROUP, given["workgroupName"])
    del _RECORDS.of(place, _WORKGROUP)[record["workgroupName"]]
    _follow(place, _find(place, _NAMESPACE, record["namespaceName"]))
    return {"workgroup": {**record, "status": "DELETING"}}


def _follow(place: Place, namespace: Record) -> None:
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
    for kind in (_WORKGROUP, _SNAPSHOT, _NAMESPACE):
        record = _RECORDS.of(call.place, kind).get(str(call.parameters.get(f"{kind}Name")))
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


class _Serverless(ResourceType):
    """What namespaces and workgroups have in common: names, and `GetAtt` below their kind."""

    kind = ""
    delays = Delays(timedelta(minutes=3), _WORKING, timedelta(minutes=2))

    def create(self, request: Request) -> Physical:
        """Create it through the API."""
        made = self._call(request.place, "Create", request.properties)
        made["status"] = "AVAILABLE"
        return self._physical(made)

    def update(self, request: Request) -> Physical:
        """Update what changed through the API."""
        old = request.old_properties
        changed = {k: v for k, v in request.properties.items() if old.get(k) != v}
        named = {**changed, f"{self.kind.title()}Name": request.physical_id}
        made = self._call(request.place, "Update", named)
        made["status"] = "AVAILABLE"
        return self._physical(made)

    def delete(self, request: Request) -> None:
        """Delete it through the API."""
        with absent_is_fine():
            named = {f"{self.kind.title()}Name": request.physical_id}
            self._call(request.place, "Delete", named)

    def taken(self, place: Place, properties: Properties) -> str | None:
        """One of this name exists."""
        name = properties.get(f"{self.kind.title()}Name")
        exists = name in _RECORDS.of(place, self.kind)
        return f"The {self.kind} {name} already exists." if exists else None

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """CREATING, MODIFYING, DELETING."""
        record = _RECORDS.of(place, self.kind).get(physical_id)
        if record is not None:
            record["status"] = state.upper()

    def settle(self, place: Place, physical_id: str) -> None:
        """AVAILABLE."""
        record = _RECORDS.of(place, self.kind).get(physical_id)
        if record is not None:
            _settle(record)

    def _call(self, place: Place, verb: str, properties: Properties) -> Record:
        action = f"{verb}{self.kind.title()}"
        answer = SERVERLESS.provision(place, action, _camel(properties))
        return cast("Record", answer[self.kind])

    def _physical(self, record: Record) -> Physical:
        attributes: dict[str, str] = {}
        for key, value in record.items():
            name = f"{self.kind.title()}.{key[:1].upper()}{key[1:]}"
            if isinstance(value, str | int | float) and not key.startswith("_"):
                attributes[name] = str(value)
        endpoint: Record = record.get("endpoint", {})
        for key, value in endpoint.items():
            attributes[f"{self.kind.title()}.Endpoint.{key.title()}"] = str(value)
        return Physical(str(record[f"{self.kind}Name"]), attributes)


class Namespace(_Serverless):
    """`AWS::RedshiftServerless::Namespace`."""

    name = "AWS::RedshiftServerless::Namespace"
    kind = _NAMESPACE
    replacing = ("NamespaceName",)

    def delete(self, request: Request) -> None:
        """Take the final snapshot that the template asks for, then delete."""
        final = request.properties.get("FinalSnapshotName")
        named = {"NamespaceName": request.physical_id}
        with absent_is_fine():
            wanted = {**named, "FinalSnapshotName": final} if final else named
            self._call(request.place, "Delete", wanted)


class Workgroup(_Serverless):
    """`AWS::RedshiftServerless::Workgroup`."""

    name = "AWS::RedshiftServerless::Workgroup"
    kind = _WORKGROUP
    replacing = ("WorkgroupName", "NamespaceName")


def _camel(value: Any) -> Any:
    """A template's `BaseCapacity` is the API's `baseCapacity`."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value)
        return {key[:1].lower() + key[1:]: _camel(item) for key, item in pairs.items()}
    if isinstance(value, list):
        return [_camel(item) for item in cast("list[Any]", value)]
    return value


def started() -> None:
    """After a restart: finish what was under way, run the databases that should run."""
    for place, kind, _, record in _RECORDS.everywhere():
        _settle(record)
        if kind == _NAMESPACE:
            _follow(place, record)
    backing.retain("serverless", _known)


def _known() -> set[str]:
    """The keys of all databases that a namespace stands for."""
    found = _RECORDS.everywhere()
    return {
        key_of("serverless", place, name) for place, kind, name, _ in found if kind == _NAMESPACE
    }


def inventory() -> list[tuple[Place, str, str]]:
    """What exists, for checks that nothing was left behind."""
    names = {
        _NAMESPACE: Namespace.name,
        _SNAPSHOT: "AWS::RedshiftServerless::Snapshot",
        _WORKGROUP: Workgroup.name,
    }
    return [(place, names[kind], name) for place, kind, name, _ in _RECORDS.everywhere()]


EXTENSION = Extension(
    types=(Namespace(), Workgroup()),
    apis=(SERVERLESS,),
    saved=(_RECORDS.saved(),),
    started=started,
    inventory=inventory,
)
