"""The Classic Load Balancer: the lab's own service and its resource type.

Source: https://docs.aws.amazon.com/elasticloadbalancing/2012-06-01/APIReference/
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from isthmus_lab_aws import lab
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

_RECORDS = Records("elb-classic")
_IN_SERVICE_AFTER = timedelta(seconds=60)
_ATTRIBUTES: Mapping[str, Record] = {
    "CrossZoneLoadBalancing": {"Enabled": False},
    "AccessLog": {"Enabled": False},
    "ConnectionDraining": {"Enabled": False, "Timeout": 300},
    "ConnectionSettings": {"IdleTimeout": 60},
}


def _balancers(place: Place) -> dict[str, Record]:
    return _RECORDS.of(place, "balancer")


def _find(place: Place, name: object) -> Record:
    record = _balancers(place).get(str(name))
    if record is None:
        message = f"There is no ACTIVE Load Balancer named '{name}'"
        raise ApiError("LoadBalancerNotFound", message)
    return record


def _create(place: Place, given: Parameters) -> Mapping[str, Any]:
    name = str(given["LoadBalancerName"])
    if name in _balancers(place):
        message = f"Load Balancer named {name} already exists and cannot be created again"
        raise ApiError("DuplicateLoadBalancerName", message)
    internal = given.get("Scheme") == "internal"
    host = f"{name}-{secrets.randbelow(10**9)}.{place.region}.elb.amazonaws.com"
    record: Record = {
        "LoadBalancerName": name,
        "DNSName": f"internal-{host}" if internal else host,
        "CanonicalHostedZoneName": host,
        "CanonicalHostedZoneNameID": "Z35SXDOTRQ7X7K",
        "ListenerDescriptions": [],
        "Policies": {"AppCookieStickinessPolicies": [], "OtherPolicies": []},
        "BackendServerDescriptions": [],
        "AvailabilityZones": list(given.get("AvailabilityZones", [])),
        "Subnets": list(given.get("Subnets", [])),
        "Instances": [],
        "HealthCheck": {
            "Target": "TCP:80",
            "Interval": 30,
            "Timeout": 5,
            "UnhealthyThreshold": 2,
            "HealthyThreshold": 10,
        },
        "SourceSecurityGroup": {"OwnerAlias": place.account, "GroupName": "default"},
        "SecurityGroups": list(given.get("SecurityGroups", [])),
        "CreatedTime": time.time(),
        "Scheme": given.get("Scheme", "internet-facing"),
        "_attributes": {key: dict(value) for key, value in _ATTRIBUTES.items()},
        "_tags": list(given.get("Tags", [])),
        "_since": {},
    }
    _listen(record, given["Listeners"])
    _balancers(place)[name] = record
    return record


def _listen(record: Record, listeners: list[Record]) -> None:
    descriptions: list[Record] = record["ListenerDescriptions"]
    for listener in listeners:
        port = int(listener["LoadBalancerPort"])
        same = [d for d in descriptions if d["Listener"]["LoadBalancerPort"] == port]
        if same and same[0]["Listener"] != listener:
            message = f"A listener already exists for {record['LoadBalancerName']} with port {port}"
            raise ApiError("DuplicateListener", message)
        if not same:
            names = list(listener.get("PolicyNames", []))
            descriptions.append({"Listener": dict(listener), "PolicyNames": names})


def _describe(place: Place, given: Parameters) -> Mapping[str, Any]:
    names: list[str] = given.get("LoadBalancerNames", [])
    found = [_find(place, name) for name in names] or list(_balancers(place).values())
    return {"LoadBalancerDescriptions": found}


def _delete(place: Place, given: Parameters) -> Mapping[str, Any]:
    _balancers(place).pop(str(given["LoadBalancerName"]), None)  # AWS succeeds when it is gone.
    return {}


def _register(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, given["LoadBalancerName"])
    known = [instance["InstanceId"] for instance in record["Instances"]]
    for instance in given["Instances"]:
        if instance["InstanceId"] not in known:
            record["Instances"].append({"InstanceId": instance["InstanceId"]})
            record["_since"][instance["InstanceId"]] = time.time()
    return {"Instances": record["Instances"]}


def _deregister(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, given["LoadBalancerName"])
    gone = [instance["InstanceId"] for instance in given["Instances"]]
    record["Instances"] = [i for i in record["Instances"] if i["InstanceId"] not in gone]
    return {"Instances": record["Instances"]}


def _health(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, given["LoadBalancerName"])
    wanted = [instance["InstanceId"] for instance in given.get("Instances", [])]
    present = [instance["InstanceId"] for instance in record["Instances"]]
    absent = [identity for identity in wanted if identity not in present]
    if absent:
        message = f"Could not find EC2 instance {absent[0]}."
        raise ApiError("InvalidInstance", message)
    return {"InstanceStates": [_state(record, identity) for identity in wanted or present]}


def _state(record: Record, identity: str) -> Record:
    age = time.time() - record["_since"].get(identity, 0.0)
    if age < lab.current().seconds(_IN_SERVICE_AFTER):
        why = "Instance registration is still in progress."
        return {
            "InstanceId": identity,
            "State": "OutOfService",
            "ReasonCode": "ELB",
            "Description": why,
        }
    healthy = {"InstanceId": identity, "State": "InService"}
    return {**healthy, "ReasonCode": "N/A", "Description": "N/A"}


def _check_health(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, given["LoadBalancerName"])
    record["HealthCheck"] = given["HealthCheck"]
    return {"HealthCheck": record["HealthCheck"]}


def _modify_attributes(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, given["LoadBalancerName"])
    for key, value in given["LoadBalancerAttributes"].items():
        record["_attributes"][key] = value
    answer = {"LoadBalancerAttributes": record["_attributes"]}
    return {**answer, "LoadBalancerName": record["LoadBalancerName"]}


def _attributes(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"LoadBalancerAttributes": _find(place, given["LoadBalancerName"])["_attributes"]}


def _add_listeners(place: Place, given: Parameters) -> Mapping[str, Any]:
    _listen(_find(place, given["LoadBalancerName"]), given["Listeners"])
    return {}


def _remove_listeners(place: Place, given: Parameters) -> Mapping[str, Any]:
    record, ports = _find(place, given["LoadBalancerName"]), given["LoadBalancerPorts"]
    record["ListenerDescriptions"] = [
        description
        for description in record["ListenerDescriptions"]
        if int(description["Listener"]["LoadBalancerPort"]) not in ports
    ]
    return {}


def _security_groups(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = _find(place, given["LoadBalancerName"])
    record["SecurityGroups"] = list(given["SecurityGroups"])
    return {"SecurityGroups": record["SecurityGroups"]}


def _add_tags(place: Place, given: Parameters) -> Mapping[str, Any]:
    new = {tag["Key"] for tag in given["Tags"]}
    for name in given["LoadBalancerNames"]:
        record = _find(place, name)
        kept = [tag for tag in record["_tags"] if tag["Key"] not in new]
        record["_tags"] = kept + list(given["Tags"])
    return {}


def _describe_tags(place: Place, given: Parameters) -> Mapping[str, Any]:
    names = given["LoadBalancerNames"]
    tags = [{"LoadBalancerName": name, "Tags": _find(place, name)["_tags"]} for name in names]
    return {"TagDescriptions": tags}


def _arn(call: Call) -> str:
    name = call.parameters.get("LoadBalancerName")
    where = f"{call.place.region}:{call.place.account}"
    return f"arn:aws:elasticloadbalancing:{where}:loadbalancer/{name}" if name else "*"


CLASSIC = OwnService(
    "elb",
    {
        "AddTags": _add_tags,
        "ApplySecurityGroupsToLoadBalancer": _security_groups,
        "ConfigureHealthCheck": _check_health,
        "CreateLoadBalancer": _create,
        "CreateLoadBalancerListeners": _add_listeners,
        "DeleteLoadBalancer": _delete,
        "DeleteLoadBalancerListeners": _remove_listeners,
        "DeregisterInstancesFromLoadBalancer": _deregister,
        "DescribeInstanceHealth": _health,
        "DescribeLoadBalancerAttributes": _attributes,
        "DescribeLoadBalancers": _describe,
        "DescribeTags": _describe_tags,
        "ModifyLoadBalancerAttributes": _modify_attributes,
        "RegisterInstancesWithLoadBalancer": _register,
    },
    _arn,
)
_POLICIES = {
    "AccessLoggingPolicy": "AccessLog",
    "ConnectionDrainingPolicy": "ConnectionDraining",
    "ConnectionSettings": "ConnectionSettings",
}


class LoadBalancer(ResourceType):
    """`AWS::ElasticLoadBalancing::LoadBalancer`."""

    name = "AWS::ElasticLoadBalancing::LoadBalancer"
    delays = Delays(timedelta(seconds=40), timedelta(seconds=20), timedelta(seconds=20))
    replacing = ("LoadBalancerName", "Scheme")

    def create(self, request: Request) -> Physical:
        """Create it, then configure it as an update does."""
        name = str(request.properties.get("LoadBalancerName") or request.name(32))
        given = {**request.properties, "LoadBalancerName": name}
        CLASSIC.provision(request.place, "CreateLoadBalancer", given)
        self._configure(request.place, name, request.properties)
        return self._physical(request.place, name)

    def update(self, request: Request) -> Physical:
        """Listeners, health check, attributes, groups, instances and tags."""
        place, name, new = request.place, request.physical_id, request.properties
        record = _find(place, name)
        record["ListenerDescriptions"] = []
        CLASSIC.provision(place, "CreateLoadBalancerListeners", {**new, "LoadBalancerName": name})
        record["SecurityGroups"] = list(new.get("SecurityGroups", []))
        record["Subnets"] = list(new.get("Subnets", []))
        record["_tags"] = list(new.get("Tags", []))
        gone = set(request.old_properties.get("Instances", [])) - set(new.get("Instances", []))
        if gone:
            instances = [{"InstanceId": identity} for identity in sorted(gone)]
            removed = {"LoadBalancerName": name, "Instances": instances}
            CLASSIC.provision(place, "DeregisterInstancesFromLoadBalancer", removed)
        self._configure(place, name, new)
        return self._physical(place, name)

    def delete(self, request: Request) -> None:
        """Delete it."""
        with absent_is_fine():
            given = {"LoadBalancerName": request.physical_id}
            CLASSIC.provision(request.place, "DeleteLoadBalancer", given)

    def taken(self, place: Place, properties: Properties) -> str | None:
        """One of this name exists."""
        name = properties.get("LoadBalancerName")
        return f"{name} already exists" if name in _balancers(place) else None

    def _configure(self, place: Place, name: str, properties: Properties) -> None:
        named = {"LoadBalancerName": name}
        attributes = {
            attribute: properties[policy]
            for policy, attribute in _POLICIES.items()
            if policy in properties
        }
        if "CrossZone" in properties:
            attributes["CrossZoneLoadBalancing"] = {"Enabled": properties["CrossZone"]}
        if attributes:
            given = {**named, "LoadBalancerAttributes": attributes}
            CLASSIC.provision(place, "ModifyLoadBalancerAttributes", given)
        if properties.get("HealthCheck"):
            check = {**named, "HealthCheck": properties["HealthCheck"]}
            CLASSIC.provision(place, "ConfigureHealthCheck", check)
        if properties.get("Instances"):
            instances = [{"InstanceId": identity} for identity in properties["Instances"]]
            given = {**named, "Instances": instances}
            CLASSIC.provision(place, "RegisterInstancesWithLoadBalancer", given)

    def _physical(self, place: Place, name: str) -> Physical:
        record = _find(place, name)
        keys = ("CanonicalHostedZoneName", "CanonicalHostedZoneNameID", "DNSName")
        attributes = {key: str(record[key]) for key in keys}
        group: Record = record["SourceSecurityGroup"]
        attributes["SourceSecurityGroup.GroupName"] = group["GroupName"]
        attributes["SourceSecurityGroup.OwnerAlias"] = group["OwnerAlias"]
        return Physical(name, attributes)


def inventory() -> list[tuple[Place, str, str]]:
    """What exists, for checks that nothing was left behind."""
    return [(place, LoadBalancer.name, name) for place, _, name, _ in _RECORDS.everywhere()]


EXTENSION = Extension(
    types=(LoadBalancer(),),
    apis=(CLASSIC,),
    saved=(_RECORDS.saved(),),
    inventory=inventory,
)
