"""Amazon EMR's resource types, made through the lab's own service (`emr_api.py`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

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
from isthmus_lab_aws.types import emr_api as api
from isthmus_lab_aws.types import emr_records as records
from isthmus_lab_aws.types.emr_api import EMR

_GROUPS = {
    "MasterInstanceGroup": "MASTER",
    "CoreInstanceGroup": "CORE",
    "TaskInstanceGroups": "TASK",
}
_FLEETS = {
    "MasterInstanceFleet": "MASTER",
    "CoreInstanceFleet": "CORE",
    "TaskInstanceFleets": "TASK",
}


class Cluster(ResourceType):
    """`AWS::EMR::Cluster`."""

    name = "AWS::EMR::Cluster"
    delays = Delays(timedelta(minutes=8), timedelta(minutes=2), timedelta(minutes=3))
    replacing = (
        "AdditionalInfo",
        "Applications",
        "BootstrapActions",
        "Configurations",
        "CustomAmiId",
        "EbsRootVolumeSize",
        "JobFlowRole",
        "KerberosAttributes",
        "LogEncryptionKmsKeyId",
        "LogUri",
        "Name",
        "OSReleaseLabel",
        "ReleaseLabel",
        "ScaleDownBehavior",
        "SecurityConfiguration",
        "ServiceRole",
        "Steps",
    )

    def create(self, request: Request) -> Physical:
        """Run a job flow; a stack's cluster stays alive unless it says otherwise."""
        made = EMR.provision(request.place, "RunJobFlow", _job_flow(request.properties))
        return _physical(records.cluster(request.place, made["JobFlowId"]))

    def update(self, request: Request) -> Physical:
        """Resize groups, change policies, protection, visibility and tags."""
        place, identity, new = request.place, request.physical_id, request.properties
        flow, name = _job_flow(new), {"ClusterId": identity}
        record = records.cluster(place, identity)
        self._resize(place, record, flow["Instances"]["InstanceGroups"])
        record["TerminationProtected"] = flow["Instances"].get("TerminationProtected", False)
        record["Tags"] = list(flow.get("Tags", []))
        record["VisibleToAllUsers"] = flow.get("VisibleToAllUsers", True)
        for policy in ("ManagedScalingPolicy", "AutoTerminationPolicy"):
            action = f"Put{policy}" if flow.get(policy) else f"Remove{policy}"
            EMR.provision(place, action, {**flow, **name})
        if "StepConcurrencyLevel" in flow:
            EMR.provision(place, "ModifyCluster", {**flow, **name})
        return _physical(record)

    def delete(self, request: Request) -> None:
        """Terminate; the cluster stays listed as TERMINATED, as in AWS."""
        try:
            api.end_now(request.place, request.physical_id)
        except api.ApiError as refusal:
            if "is not valid" not in str(refusal):
                raise ResourceFailure(str(refusal), "InvalidRequest") from refusal

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """Termination protection is on."""
        record = records.EMR_RECORDS.of(place, "cluster").get(physical_id, {})
        if record.get("TerminationProtected"):
            return "Could not shut down one or more job flows since they are termination protected."
        return None

    def settle(self, place: Place, physical_id: str) -> None:
        """Once the stack has waited, the cluster has started."""
        record = records.EMR_RECORDS.of(place, "cluster").get(physical_id)
        if record is not None:
            api.make_ready(record)

    def _resize(self, place: Place, record: Record, wanted: list[Record]) -> None:
        counts = {group["InstanceRole"]: group.get("InstanceCount") for group in wanted}
        changes = [
            {"InstanceGroupId": group["Id"], "InstanceCount": counts[group["InstanceGroupType"]]}
            for group in record["_groups"]
            if counts.get(group["InstanceGroupType"]) is not None
        ]
        if changes:
            change = {"ClusterId": record["Id"], "InstanceGroups": changes}
            EMR.provision(place, "ModifyInstanceGroups", change)


class SecurityConfiguration(ResourceType):
    """`AWS::EMR::SecurityConfiguration`."""

    name = "AWS::EMR::SecurityConfiguration"
    replacing = ("Name", "SecurityConfiguration")

    def create(self, request: Request) -> Physical:
        """Create it; its content is JSON in a string."""
        content = request.properties["SecurityConfiguration"]
        text = content if isinstance(content, str) else json.dumps(content)
        name = str(request.properties.get("Name") or request.name(255))
        given = {"Name": name, "SecurityConfiguration": text}
        EMR.provision(request.place, "CreateSecurityConfiguration", given)
        return Physical(name)

    def update(self, request: Request) -> Physical:
        """Nothing of it can change in place."""
        return Physical(request.physical_id)

    def delete(self, request: Request) -> None:
        """Delete it."""
        records.EMR_RECORDS.of(request.place, "security").pop(request.physical_id, None)

    def taken(self, place: Place, properties: Properties) -> str | None:
        """One of this name exists."""
        name = properties.get("Name")
        exists = name in records.EMR_RECORDS.of(place, "security")
        return f"SecurityConfiguration with name '{name}' already exists." if exists else None


class Step(ResourceType):
    """`AWS::EMR::Step`: a step added to a running cluster."""

    name = "AWS::EMR::Step"
    replacing = ("ActionOnFailure", "HadoopJarStep", "JobFlowId", "Name")

    def create(self, request: Request) -> Physical:
        """Add the step."""
        jar: Record = dict(request.properties["HadoopJarStep"])
        jar["Properties"] = jar.pop("StepProperties", [])
        step = {**request.properties, "HadoopJarStep": jar}
        given = {"JobFlowId": request.properties["JobFlowId"], "Steps": [step]}
        made = EMR.provision(request.place, "AddJobFlowSteps", given)
        identity = str(made["StepIds"][0])
        return Physical(identity, {"Id": identity})

    def update(self, request: Request) -> Physical:
        """Nothing of it can change in place."""
        return Physical(request.physical_id, {"Id": request.physical_id})

    def delete(self, request: Request) -> None:
        """Cancel it if it has not begun."""
        flow = request.properties.get("JobFlowId")
        with absent_is_fine():
            if flow in records.EMR_RECORDS.of(request.place, "cluster"):
                given = {"ClusterId": flow, "StepIds": [request.physical_id]}
                EMR.provision(request.place, "CancelSteps", given)


def _job_flow(properties: Properties) -> dict[str, Any]:
    """A template's properties in the form of RunJobFlow."""
    instances: dict[str, Any] = dict(properties["Instances"])
    groups = _by_role(instances, _GROUPS, "InstanceRole")
    fleets = _by_role(instances, _FLEETS, "InstanceFleetType")
    instances.setdefault("KeepJobFlowAliveWhenNoSteps", True)
    flow = {**properties, "Instances": {**instances, "InstanceGroups": groups}}
    if fleets:
        flow["Instances"]["InstanceFleets"] = fleets
    flow["Configurations"] = _configurations(properties.get("Configurations", []))
    return flow


def _by_role(instances: dict[str, Any], names: Mapping[str, str], member: str) -> list[Any]:
    found: list[Any] = []
    for name, role in names.items():
        given: Any = instances.pop(name, None) or []
        items = cast("list[Any]", given if isinstance(given, list) else [given])
        found += [{**item, member: role} for item in items]
    return found


def _configurations(given: list[Record]) -> list[Record]:
    return [
        {
            "Classification": item.get("Classification"),
            "Properties": item.get("ConfigurationProperties", {}),
            "Configurations": _configurations(item.get("Configurations", [])),
        }
        for item in given
    ]


def _physical(record: Record) -> Physical:
    attributes = {"Id": record["Id"], "MasterPublicDNS": record["MasterPublicDnsName"]}
    return Physical(record["Id"], attributes)


def started() -> None:
    """After a restart: end what was under way."""
    for _, kind, _, record in records.EMR_RECORDS.everywhere():
        if kind == "cluster":
            api.resume(record)


def inventory() -> list[tuple[Place, str, str]]:
    """What exists; a terminated cluster is history."""
    names = {"cluster": Cluster.name, "security": SecurityConfiguration.name}
    return [
        (place, names[kind], name)
        for place, kind, name, record in records.EMR_RECORDS.everywhere()
        if kind != "cluster" or not record["Status"]["State"].startswith("TERMINATED")
    ]


EXTENSION = Extension(
    types=(Cluster(), SecurityConfiguration(), Step()),
    apis=(EMR,),
    saved=(records.EMR_RECORDS.saved(),),
    started=started,
    inventory=inventory,
)
