"""EMR's direct API of what belongs to clusters: groups, policies, tags, security settings."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from isthmus_lab_aws.records import Record
from isthmus_lab_aws.resource import Place
from isthmus_lab_aws.types.emr_records import EMR_RECORDS, alive, cluster, new_identity
from isthmus_lab_aws.wire import ApiError, Operation, Parameters


def new_group(given: Parameters) -> Record:
    """An instance group as it is described, from what RunJobFlow or AddInstanceGroups takes."""
    count = int(given.get("InstanceCount", 1))
    return {
        "Id": new_identity("ig-"),
        "Name": given.get("Name", given["InstanceRole"].title()),
        "Market": given.get("Market", "ON_DEMAND"),
        "InstanceGroupType": given["InstanceRole"],
        "InstanceType": given["InstanceType"],
        "RequestedInstanceCount": count,
        "RunningInstanceCount": count,
        "Status": {"State": "RUNNING"},
    }


def _list_groups(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"InstanceGroups": cluster(place, given["ClusterId"])["_groups"]}


def _modify_groups(place: Place, given: Parameters) -> Mapping[str, Any]:
    groups: list[Record] = alive(place, given["ClusterId"])["_groups"]
    for change in given.get("InstanceGroups", []):
        group = next((g for g in groups if g["Id"] == change["InstanceGroupId"]), None)
        if group is None:
            message = f"Instance group id '{change['InstanceGroupId']}' is not valid."
            raise ApiError("InvalidRequestException", message)
        count = change.get("InstanceCount", group["RequestedInstanceCount"])
        group["RequestedInstanceCount"] = group["RunningInstanceCount"] = count
    return {}


def _add_groups(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = alive(place, given["JobFlowId"])
    added = [new_group(group) for group in given["InstanceGroups"]]
    record["_groups"] += added
    ids = [group["Id"] for group in added]
    return {"JobFlowId": record["Id"], "InstanceGroupIds": ids, "ClusterArn": record["ClusterArn"]}


def _list_fleets(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"InstanceFleets": cluster(place, given["ClusterId"])["_fleets"]}


def _list_instances(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = cluster(place, given["ClusterId"])
    running = record["Status"]["State"] in ("RUNNING", "WAITING")
    return {
        "Instances": [
            {
                "Id": f"{group['Id']}-{number}",
                "InstanceGroupId": group["Id"],
                "InstanceType": group["InstanceType"],
                "Market": group["Market"],
                "Status": {"State": "RUNNING" if running else "TERMINATED"},
            }
            for group in record["_groups"]
            for number in range(group["RunningInstanceCount"])
        ]
    }


def _policy(member: str, key: str, *, required: bool) -> tuple[Any, Any, Any]:
    """Put, get and remove a policy that is a member of the cluster."""

    def put(place: Place, given: Parameters) -> Mapping[str, Any]:
        record = alive(place, given["ClusterId"])
        if required and key not in given:
            raise ApiError("ValidationException", f"{key} is required.")
        record[member] = given.get(key, {})
        return {}

    def get(place: Place, given: Parameters) -> Mapping[str, Any]:
        return {key: cluster(place, given["ClusterId"]).get(member)}

    def remove(place: Place, given: Parameters) -> Mapping[str, Any]:
        alive(place, given["ClusterId"])[member] = None
        return {}

    return put, get, remove


def _tagged(place: Place, given: Parameters) -> Record:
    return cluster(place, str(given["ResourceId"]).rpartition("/")[2])


def _add_tags(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _tagged(place, given)
    new = {tag["Key"] for tag in given["Tags"]}
    record["Tags"] = [tag for tag in record["Tags"] if tag["Key"] not in new] + given["Tags"]
    return {}


def _remove_tags(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _tagged(place, given)
    record["Tags"] = [tag for tag in record["Tags"] if tag["Key"] not in given["TagKeys"]]
    return {}


def _create_security(place: Place, given: Parameters) -> Mapping[str, Any]:
    name = str(given["Name"])
    if name in EMR_RECORDS.of(place, "security"):
        message = f"SecurityConfiguration with name '{name}' already exists."
        raise ApiError("InvalidRequestException", message)
    made: Record = {**given, "CreationDateTime": time.time()}
    EMR_RECORDS.of(place, "security")[name] = made
    return made


def _describe_security(place: Place, given: Parameters) -> Mapping[str, Any]:
    found = EMR_RECORDS.of(place, "security").get(str(given["Name"]))
    if found is None:
        message = f"Security configuration with name '{given['Name']}' does not exist."
        raise ApiError("InvalidRequestException", message)
    return found


def _delete_security(place: Place, given: Parameters) -> Mapping[str, Any]:
    _describe_security(place, given)
    del EMR_RECORDS.of(place, "security")[str(given["Name"])]
    return {}


def _list_security(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"SecurityConfigurations": list(EMR_RECORDS.of(place, "security").values())}


_PUT_SCALING, _GET_SCALING, _REMOVE_SCALING = _policy(
    "_scaling", "ManagedScalingPolicy", required=True
)
_PUT_TERMINATION, _GET_TERMINATION, _REMOVE_TERMINATION = _policy(
    "_termination", "AutoTerminationPolicy", required=False
)
OPERATIONS: Mapping[str, Operation] = {
    "AddInstanceGroups": _add_groups,
    "AddTags": _add_tags,
    "CreateSecurityConfiguration": _create_security,
    "DeleteSecurityConfiguration": _delete_security,
    "DescribeSecurityConfiguration": _describe_security,
    "GetAutoTerminationPolicy": _GET_TERMINATION,
    "GetManagedScalingPolicy": _GET_SCALING,
    "ListInstanceFleets": _list_fleets,
    "ListInstanceGroups": _list_groups,
    "ListInstances": _list_instances,
    "ListSecurityConfigurations": _list_security,
    "ModifyInstanceGroups": _modify_groups,
    "PutAutoTerminationPolicy": _PUT_TERMINATION,
    "PutManagedScalingPolicy": _PUT_SCALING,
    "RemoveAutoTerminationPolicy": _REMOVE_TERMINATION,
    "RemoveManagedScalingPolicy": _REMOVE_SCALING,
    "RemoveTags": _remove_tags,
}
