"""Redshift's direct API of subnet groups and parameter groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus_lab_aws.records import Record
from isthmus_lab_aws.resource import Place
from isthmus_lab_aws.types.redshift_records import CLUSTERS, follow
from isthmus_lab_aws.wire import ApiError, Operation, Parameters


def _create_subnets(place: Place, given: Parameters) -> Mapping[str, Any]:
    groups, name = CLUSTERS.of(place, "subnets"), str(given["ClusterSubnetGroupName"]).lower()
    if name in groups:
        message = f"Cluster subnet group {name} already exists."
        raise ApiError("ClusterSubnetGroupAlreadyExists", message)
    groups[name] = {
        "ClusterSubnetGroupName": name,
        "Description": given["Description"],
        "SubnetGroupStatus": "Complete",
        "Subnets": _subnets(given),
        "Tags": list(given.get("Tags", [])),
    }
    return {"ClusterSubnetGroup": groups[name]}


def _subnets(given: Parameters) -> list[Record]:
    ids = given["SubnetIds"]
    return [{"SubnetIdentifier": subnet, "SubnetStatus": "Active"} for subnet in ids]


def _modify_subnets(place: Place, given: Parameters) -> Mapping[str, Any]:
    group = _found(place, "subnets", given["ClusterSubnetGroupName"])
    group["Subnets"] = _subnets(given)
    group["Description"] = given.get("Description", group["Description"])
    return {"ClusterSubnetGroup": group}


def _describe_subnets(place: Place, given: Parameters) -> Mapping[str, Any]:
    name = given.get("ClusterSubnetGroupName")
    found = [_found(place, "subnets", name)] if name else CLUSTERS.of(place, "subnets").values()
    return {"ClusterSubnetGroups": list(found)}


def _delete_subnets(place: Place, given: Parameters) -> Mapping[str, Any]:
    name = str(given["ClusterSubnetGroupName"]).lower()
    _found(place, "subnets", name)
    clusters = CLUSTERS.of(place, "cluster").values()
    users = [c["ClusterIdentifier"] for c in clusters if c["ClusterSubnetGroupName"] == name]
    if users:
        message = f"Cluster subnet group {name} is in use by {users[0]}."
        raise ApiError("InvalidClusterSubnetGroupStateFault", message)
    del CLUSTERS.of(place, "subnets")[name]
    return {}


_GROUP_ERRORS = {
    "subnets": "ClusterSubnetGroupNotFoundFault",
    "parameters": "ClusterParameterGroupNotFound",
}


def _found(place: Place, kind: str, name: object) -> Record:
    record = CLUSTERS.of(place, kind).get(str(name).lower())
    if record is None:
        raise ApiError(_GROUP_ERRORS[kind], f"{name} not found.", 404)
    return record


def _create_parameters(place: Place, given: Parameters) -> Mapping[str, Any]:
    groups, name = CLUSTERS.of(place, "parameters"), str(given["ParameterGroupName"]).lower()
    if name in groups:
        raise ApiError("ClusterParameterGroupAlreadyExists", f"{name} already exists.")
    groups[name] = {
        "ParameterGroupName": name,
        "ParameterGroupFamily": given["ParameterGroupFamily"],
        "Description": given["Description"],
        "Tags": list(given.get("Tags", [])),
        "_values": {},
    }
    return {"ClusterParameterGroup": groups[name]}


def _modify_parameters(place: Place, given: Parameters) -> Mapping[str, Any]:
    group = _found(place, "parameters", given["ParameterGroupName"])
    for parameter in given["Parameters"]:
        group["_values"][parameter["ParameterName"]] = str(parameter["ParameterValue"]).lower()
    for record in CLUSTERS.of(place, "cluster").values():
        if record["ClusterParameterGroups"][0]["ParameterGroupName"] == group["ParameterGroupName"]:
            follow(place, record)
    return {"ParameterGroupName": group["ParameterGroupName"], "ParameterGroupStatus": "Updated."}


def _describe_groups(place: Place, given: Parameters) -> Mapping[str, Any]:
    name = given.get("ParameterGroupName")
    groups = CLUSTERS.of(place, "parameters").values()
    return {"ParameterGroups": [_found(place, "parameters", name)] if name else list(groups)}


def _describe_parameters(place: Place, given: Parameters) -> Mapping[str, Any]:
    group = _found(place, "parameters", given["ParameterGroupName"])
    values: Mapping[str, str] = group["_values"]
    return {
        "Parameters": [
            {"ParameterName": name, "ParameterValue": value, "Source": "user"}
            for name, value in sorted(values.items())
        ]
    }


def _delete_parameters(place: Place, given: Parameters) -> Mapping[str, Any]:
    name = str(given["ParameterGroupName"]).lower()
    _found(place, "parameters", name)
    for record in CLUSTERS.of(place, "cluster").values():
        if record["ClusterParameterGroups"][0]["ParameterGroupName"] == name:
            message = f"Parameter group {name} is in use by {record['ClusterIdentifier']}."
            raise ApiError("InvalidClusterParameterGroupState", message)
    del CLUSTERS.of(place, "parameters")[name]
    return {}


OPERATIONS: Mapping[str, Operation] = {
    "CreateClusterParameterGroup": _create_parameters,
    "CreateClusterSubnetGroup": _create_subnets,
    "DeleteClusterParameterGroup": _delete_parameters,
    "DeleteClusterSubnetGroup": _delete_subnets,
    "DescribeClusterParameterGroups": _describe_groups,
    "DescribeClusterParameters": _describe_parameters,
    "DescribeClusterSubnetGroups": _describe_subnets,
    "ModifyClusterParameterGroup": _modify_parameters,
    "ModifyClusterSubnetGroup": _modify_subnets,
}
