"""Amazon EMR's direct API: clusters that start, run steps one after another, and terminate.

Nothing is computed: a step takes its time and completes. One whose only argument is `false` fails,
so that failures can be rehearsed.

Source: https://docs.aws.amazon.com/emr/latest/APIReference/
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from isthmus_lab_aws import lab
from isthmus_lab_aws.records import Record
from isthmus_lab_aws.resource import Call, Place
from isthmus_lab_aws.types import emr_parts
from isthmus_lab_aws.types.emr_records import EMR_RECORDS, ENDED, alive, cluster, new_identity
from isthmus_lab_aws.wire import ApiError, OwnService, Parameters

_STARTING = timedelta(minutes=3)
_BOOTSTRAPPING = timedelta(minutes=2)
_STEP = timedelta(minutes=1)
_TERMINATING = timedelta(minutes=2)


def _run(place: Place, given: Parameters) -> Mapping[str, Any]:
    instances: Record = given["Instances"]
    identity = new_identity("j-")
    record: Record = {
        "Id": identity,
        "Name": given["Name"],
        "ClusterArn": f"arn:aws:elasticmapreduce:{place.region}:{place.account}:cluster/{identity}",
        "Status": _new_status("STARTING"),
        "Applications": list(given.get("Applications", [])),
        "AutoTerminate": not instances.get("KeepJobFlowAliveWhenNoSteps", False),
        "Configurations": list(given.get("Configurations", [])),
        "Ec2InstanceAttributes": {
            "Ec2SubnetId": instances.get("Ec2SubnetId"),
            "IamInstanceProfile": given.get("JobFlowRole"),
            "EmrManagedMasterSecurityGroup": instances.get("EmrManagedMasterSecurityGroup"),
            "EmrManagedSlaveSecurityGroup": instances.get("EmrManagedSlaveSecurityGroup"),
        },
        "InstanceCollectionType": "INSTANCE_FLEET" if _fleets(instances) else "INSTANCE_GROUP",
        "LogUri": given.get("LogUri"),
        "NormalizedInstanceHours": 0,
        "ReleaseLabel": given.get("ReleaseLabel"),
        "MasterPublicDnsName": f"ip-10-0-{secrets.randbelow(255)}-9.ec2.internal",
        "SecurityConfiguration": _security(place, given),
        "ServiceRole": given.get("ServiceRole"),
        "StepConcurrencyLevel": given.get("StepConcurrencyLevel", 1),
        "Tags": list(given.get("Tags", [])),
        "TerminationProtected": instances.get("TerminationProtected", False),
        "VisibleToAllUsers": given.get("VisibleToAllUsers", True),
        "_groups": _groups(instances),
        "_fleets": [{**fleet, "Id": new_identity("if-")} for fleet in _fleets(instances)],
        "_steps": [_step(step) for step in given.get("Steps", [])],
        "_scaling": given.get("ManagedScalingPolicy"),
        "_termination": given.get("AutoTerminationPolicy"),
    }
    EMR_RECORDS.of(place, "cluster")[identity] = record
    lab.current().later(_STARTING, lambda: _advance(record))
    return {"JobFlowId": identity, "ClusterArn": record["ClusterArn"]}


def _new_status(state: str) -> Record:
    timeline = {"CreationDateTime": time.time()}
    return {"State": state, "StateChangeReason": {}, "Timeline": timeline}


def _security(place: Place, given: Parameters) -> str | None:
    name = given.get("SecurityConfiguration")
    if name and name not in EMR_RECORDS.of(place, "security"):
        message = f"Security configuration with name '{name}' does not exist."
        raise ApiError("InvalidRequestException", message)
    return name


def _fleets(instances: Parameters) -> list[Record]:
    return list(instances.get("InstanceFleets", []))


def _groups(instances: Parameters) -> list[Record]:
    groups: list[Record] = list(instances.get("InstanceGroups", []))
    if not groups and instances.get("MasterInstanceType"):
        groups.append({"InstanceRole": "MASTER", "InstanceType": instances["MasterInstanceType"]})
        workers = int(instances.get("InstanceCount", 1)) - 1
        kind = instances.get("SlaveInstanceType")
        if workers > 0 and kind:
            groups.append({"InstanceRole": "CORE", "InstanceType": kind, "InstanceCount": workers})
    return [emr_parts.new_group(group) for group in groups]


def _advance(record: Record) -> None:
    """STARTING becomes BOOTSTRAPPING, then RUNNING or WAITING."""
    state = record["Status"]["State"]
    if state == "STARTING":
        record["Status"]["State"] = "BOOTSTRAPPING"
        lab.current().later(_BOOTSTRAPPING, lambda: _advance(record))
    elif state == "BOOTSTRAPPING":
        make_ready(record)


def make_ready(record: Record) -> None:
    """End the start: its first step begins."""
    if record["Status"]["State"] not in ("STARTING", "BOOTSTRAPPING"):
        return
    record["Status"]["Timeline"]["ReadyDateTime"] = time.time()
    record["Status"]["State"] = "WAITING"
    go_on(record)


def go_on(record: Record) -> None:
    """Begin the next step, or wait, or end where nothing keeps the cluster alive."""
    status: Record = record["Status"]
    if status["State"] not in ("WAITING", "RUNNING"):
        return
    steps: list[Record] = record["_steps"]
    running = next((step for step in steps if step["Status"]["State"] == "RUNNING"), None)
    pending = next((step for step in steps if step["Status"]["State"] == "PENDING"), None)
    if running or pending:
        status["State"] = "RUNNING"
        if running is None and pending is not None:
            pending["Status"]["State"] = "RUNNING"
            pending["Status"]["Timeline"]["StartDateTime"] = time.time()
            lab.current().later(_STEP, lambda: _end_step(record, pending))
    elif record["AutoTerminate"]:
        _terminate(record, "ALL_STEPS_COMPLETED", "Steps completed")
    else:
        status["State"] = "WAITING"


def _end_step(record: Record, step: Record) -> None:
    if step["Status"]["State"] != "RUNNING":
        return
    failed = step["Config"]["Args"] == ["false"]
    step["Status"]["State"] = "FAILED" if failed else "COMPLETED"
    step["Status"]["Timeline"]["EndDateTime"] = time.time()
    if failed:
        step["Status"]["FailureDetails"] = {"Reason": "Unknown Error.", "Message": "exit code 1"}
    if failed and step["ActionOnFailure"] in ("TERMINATE_CLUSTER", "TERMINATE_JOB_FLOW"):
        _terminate(record, "STEP_FAILURE", f"Shut down as step {step['Id']} failed")
        return
    if failed and step["ActionOnFailure"] == "CANCEL_AND_WAIT":
        for other in record["_steps"]:
            if other["Status"]["State"] == "PENDING":
                other["Status"]["State"] = "CANCELLED"
    go_on(record)


def resume(record: Record) -> None:
    """After a restart of the lab: end what was under way, go on with the steps."""
    make_ready(record)
    if record["Status"]["State"] == "TERMINATING":
        _end(record)
    for step in record["_steps"]:
        _end_step(record, step)
    go_on(record)


def _terminate(record: Record, code: str, message: str) -> None:
    record["Status"]["State"] = "TERMINATING"
    record["Status"]["StateChangeReason"] = {"Code": code, "Message": message}
    lab.current().later(_TERMINATING, lambda: _end(record))


def _end(record: Record) -> None:
    failed = record["Status"]["StateChangeReason"].get("Code") == "STEP_FAILURE"
    record["Status"]["State"] = "TERMINATED_WITH_ERRORS" if failed else "TERMINATED"
    record["Status"]["Timeline"]["EndDateTime"] = time.time()


def end_now(place: Place, identity: str) -> None:
    """Terminate at once, for a stack whose engine has taken the time already."""
    _terminate_flows(place, {"JobFlowIds": [identity]})
    _end(cluster(place, identity))


def _terminate_flows(place: Place, given: Parameters) -> Mapping[str, Any]:
    records = [cluster(place, identity) for identity in given["JobFlowIds"]]
    if any(record["TerminationProtected"] for record in records):
        message = "Could not shut down one or more job flows since they are termination protected."
        raise ApiError("ValidationException", message)
    for record in records:
        if record["Status"]["State"] not in (*ENDED, "TERMINATING"):
            _terminate(record, "USER_REQUEST", "Terminated by user request")
    return {}


def _describe(place: Place, given: Parameters) -> Mapping[str, Any]:
    return {"Cluster": cluster(place, given["ClusterId"])}


def _list(place: Place, given: Parameters) -> Mapping[str, Any]:
    states: list[str] = given.get("ClusterStates", [])
    records = EMR_RECORDS.of(place, "cluster").values()
    return {"Clusters": [r for r in records if not states or r["Status"]["State"] in states]}


def _flag(member: str) -> Any:
    def set_flag(place: Place, given: Parameters) -> Mapping[str, Any]:
        for identity in given["JobFlowIds"]:
            alive(place, identity)[member] = given[member]
        return {}

    return set_flag


def _keep_alive(place: Place, given: Parameters) -> Mapping[str, Any]:
    for identity in given["JobFlowIds"]:
        alive(place, identity)["AutoTerminate"] = not given["KeepJobFlowAliveWhenNoSteps"]
    return {}


def _modify(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = alive(place, given["ClusterId"])
    if "StepConcurrencyLevel" in given:
        record["StepConcurrencyLevel"] = given["StepConcurrencyLevel"]
    return {"StepConcurrencyLevel": record["StepConcurrencyLevel"]}


def _step(given: Parameters) -> Record:
    jar: Record = given["HadoopJarStep"]
    return {
        "Id": new_identity("s-"),
        "Name": given["Name"],
        "ActionOnFailure": given.get("ActionOnFailure", "CONTINUE"),
        "Config": {
            "Jar": jar["Jar"],
            "MainClass": jar.get("MainClass"),
            "Args": list(jar.get("Args", [])),
            "Properties": {p["Key"]: p["Value"] for p in jar.get("Properties", [])},
        },
        "Status": _new_status("PENDING"),
    }


def _add_steps(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = alive(place, given["JobFlowId"])
    with EMR_RECORDS.lock:
        added = [_step(step) for step in given["Steps"]]
        record["_steps"] += added
        go_on(record)
    return {"StepIds": [step["Id"] for step in added]}


def _describe_step(place: Place, given: Parameters) -> Mapping[str, Any]:
    for step in cluster(place, given["ClusterId"])["_steps"]:
        if step["Id"] == given["StepId"]:
            return {"Step": step}
    raise ApiError("InvalidRequestException", f"Step id '{given['StepId']}' is not valid.")


def _list_steps(place: Place, given: Parameters) -> Mapping[str, Any]:
    states, ids = given.get("StepStates", []), given.get("StepIds", [])
    steps: list[Record] = cluster(place, given["ClusterId"])["_steps"]
    wanted = [step for step in steps if not ids or step["Id"] in ids]
    newest_first = reversed([s for s in wanted if not states or s["Status"]["State"] in states])
    return {"Steps": list(newest_first)}


def _cancel_steps(place: Place, given: Parameters) -> Mapping[str, Any]:
    record = cluster(place, given["ClusterId"])
    answers: list[Record] = []
    for step in record["_steps"]:
        if step["Id"] not in given["StepIds"]:
            continue
        if step["Status"]["State"] == "PENDING":
            step["Status"]["State"] = "CANCELLED"
            answers.append({"StepId": step["Id"], "Status": "SUBMITTED"})
        else:
            reason = f"The step is {step['Status']['State']}."
            answers.append({"StepId": step["Id"], "Status": "FAILED", "Reason": reason})
    return {"CancelStepsInfoList": answers}


def _arn(call: Call) -> str:
    given = call.parameters
    flows: list[str] = given.get("JobFlowIds") or [""]
    identity = given.get("ClusterId") or given.get("JobFlowId") or flows[0]
    place = call.place
    if not identity:
        return "*"
    return f"arn:aws:elasticmapreduce:{place.region}:{place.account}:cluster/{identity}"


EMR = OwnService(
    "emr",
    {
        **emr_parts.OPERATIONS,
        "AddJobFlowSteps": _add_steps,
        "CancelSteps": _cancel_steps,
        "DescribeCluster": _describe,
        "DescribeStep": _describe_step,
        "ListClusters": _list,
        "ListSteps": _list_steps,
        "ModifyCluster": _modify,
        "RunJobFlow": _run,
        "SetKeepJobFlowAliveWhenNoSteps": _keep_alive,
        "SetTerminationProtection": _flag("TerminationProtected"),
        "SetVisibleToAllUsers": _flag("VisibleToAllUsers"),
        "TerminateJobFlows": _terminate_flows,
    },
    _arn,
)
