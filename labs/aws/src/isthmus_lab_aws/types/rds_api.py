"""RDS' direct API where ministack stops short: states, refusals, snapshots with data, restore.

Each hook ends by letting the databases follow their records, so that what boto3 changes is as real
as what a stack changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta

from isthmus_lab_aws import backing, inside, lab, ministack
from isthmus_lab_aws.answers import error_answer, xml_answer
from isthmus_lab_aws.backing import key_of
from isthmus_lab_aws.databases.server import DatabaseFailed
from isthmus_lab_aws.resource import Answer, ApiHook, Call, Place, ResourceFailure
from isthmus_lab_aws.types.rds_records import (
    Record,
    clusters,
    follow_all,
    instances,
    manage_password,
    rds,
    restore_cluster,
    settle,
    snapshot_data,
)

_XML_SPACE = "http://rds.amazonaws.com/doc/2014-10-31/"
_STATES: Mapping[str, tuple[str, timedelta]] = {
    "CreateDBCluster": ("creating", timedelta(minutes=8)),
    "RestoreDBClusterFromSnapshot": ("creating", timedelta(minutes=10)),
    "ModifyDBCluster": ("modifying", timedelta(minutes=2)),
    "StartDBCluster": ("starting", timedelta(minutes=8)),
    "StopDBCluster": ("stopping", timedelta(minutes=5)),
    "FailoverDBCluster": ("failing-over", timedelta(minutes=1)),
    "RebootDBCluster": ("rebooting", timedelta(minutes=1)),
    "CreateDBInstance": ("creating", timedelta(minutes=6)),
    "ModifyDBInstance": ("modifying", timedelta(minutes=3)),
    "StartDBInstance": ("starting", timedelta(minutes=5)),
    "StopDBInstance": ("stopping", timedelta(minutes=3)),
}
"""What DescribeDB* shows after a call, and for how long in AWS."""
_MUTATING = frozenset(_STATES) | {
    "CreateDBClusterSnapshot",
    "DeleteDBCluster",
    "DeleteDBClusterSnapshot",
    "DeleteDBInstance",
    "ModifyDBClusterParameterGroup",
    "RebootDBInstance",
}


def started() -> None:
    """After a restart: settle what was under way, run the databases that should run."""
    backing.databases().resume()
    for place in _places():
        with ministack.at(place):
            for record in clusters().values():
                settle(record, "Status")
            for record in instances().values():
                settle(record, "DBInstanceStatus")
            follow_all(place)
    backing.retain("rds", _known)


def _known() -> set[str]:
    """The keys of all databases that a record stands for."""
    stores = (("rds", rds()._clusters), ("rds-db", rds()._instances))
    return {
        key_of(kind, Place(account, region), name)
        for kind, store in stores
        for account, region, name in list(store._data)
    }


def before(call: Call) -> Answer | None:
    """Answer in ministack's place where it would do too little or too much."""
    refuse = _BEFORE.get(call.action)
    return refuse(call) if refuse else None


def after(call: Call, answer: Answer) -> Answer:
    """Let databases and states follow what a call changed."""
    if answer.status >= 300:
        return answer
    name = str(call.parameters.get("DBClusterIdentifier", ""))
    try:
        if call.action == "CreateDBClusterSnapshot":
            snapshot_data(call.place, str(call.parameters["DBClusterSnapshotIdentifier"]))
        elif call.action == "DeleteDBClusterSnapshot":
            snapshot = str(call.parameters["DBClusterSnapshotIdentifier"])
            backing.drop_snapshot(key_of("rds", call.place, snapshot))
        elif call.action == "DeleteDBCluster":
            backing.forget(key_of("rds", call.place, name))
        elif call.action == "RebootDBInstance":
            _reboot_instance(call)
        elif call.action == "ModifyDBCluster" and call.parameters.get("ManageMasterUserPassword"):
            manage_password(clusters()[name])
        follow_all(call.place)
        _forget_instances(call.place)
    except DatabaseFailed as failure:
        return error_answer(call, "InternalFailure", f"Database: {failure}", 500)
    return _show_state(call, answer)


def _show_state(call: Call, answer: Answer) -> Answer:
    """Show the intermediate state, and in the answer what the record says now."""
    if call.action not in _STATES:
        return answer
    state, duration = _STATES[call.action]
    if "DBInstance" in call.action:
        record = instances().get(str(call.parameters.get("DBInstanceIdentifier", "")))
        field = "DBInstanceStatus"
    else:
        record = clusters().get(str(call.parameters.get("DBClusterIdentifier", "")))
        field = "Status"
    if record is None:
        return answer
    record[field] = state
    lab.current().later(duration, lambda: settle(record, field))
    return (
        _instance_answer(call, record)
        if "DBInstance" in call.action
        else _cluster_answer(call, record)
    )


def _delete_cluster(call: Call) -> Answer | None:
    """A delete says what becomes of the data, and takes the final snapshot itself."""
    name = str(call.parameters.get("DBClusterIdentifier", ""))
    record = clusters().get(name)
    if record is None or record.get("DeletionProtection") or record.get("DBClusterMembers"):
        return None  # ministack has the words for these.
    final = call.parameters.get("FinalDBSnapshotIdentifier")
    if str(call.parameters.get("SkipFinalSnapshot", "")).lower() == "true":
        return None
    if not final:
        return error_answer(
            call,
            "InvalidParameterCombination",
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified.",
        )
    names = {"DBClusterIdentifier": name, "DBClusterSnapshotIdentifier": str(final)}
    return _refusing(call, lambda: _take_final_snapshot(call.place, names))


def _take_final_snapshot(place: Place, names: Mapping[str, str]) -> None:
    inside.call("rds", "CreateDBClusterSnapshot", names)
    snapshot_data(place, names["DBClusterSnapshotIdentifier"])


def _restore(call: Call) -> Answer | None:
    """RestoreDBClusterFromSnapshot: ministack has no such action."""
    parameters = _typed(call)
    refused = _refusing(call, lambda: restore_cluster(call.place, parameters))
    if refused:
        return refused
    return after(call, _cluster_answer(call, clusters()[str(parameters["DBClusterIdentifier"])]))


def _reboot_cluster(call: Call) -> Answer | None:
    """RebootDBCluster: ministack has no such action."""
    name = str(call.parameters.get("DBClusterIdentifier", ""))
    record = clusters().get(name)
    if record is None:
        return error_answer(call, "DBClusterNotFoundFault", f"DBCluster {name} not found.", 404)
    if record["Status"] != "available":
        message = (
            f"DbCluster {name} is in {record['Status']} state but expected it to be available."
        )
        return error_answer(call, "InvalidDBClusterStateFault", message)
    backing.reboot(key_of("rds", call.place, name))
    return _show_state(call, _cluster_answer(call, record))


def _cluster_answer(call: Call, record: Record) -> Answer:
    inner = f"<DBCluster>{rds()._cluster_xml(record)}</DBCluster>"
    return xml_answer(call.action, inner, _XML_SPACE)


def _instance_answer(call: Call, record: Record) -> Answer:
    names = (f"{call.action}Response", f"{call.action}Result")
    status, headers, body = rds()._single_instance_response(*names, record)
    return Answer(status, body if isinstance(body, bytes) else str(body).encode(), dict(headers))


def _reboot_instance(call: Call) -> None:
    name = str(call.parameters["DBInstanceIdentifier"])
    cluster = (instances().get(name) or {}).get("DBClusterIdentifier")
    kind, owner = ("rds", str(cluster)) if cluster else ("rds-db", name)
    backing.reboot(key_of(kind, call.place, owner))


def _forget_instances(place: Place) -> None:
    backing.retain(key_of("rds-db", place, ""), _known)


def _refusing(call: Call, act: Callable[[], object]) -> Answer | None:
    try:
        act()
    except ResourceFailure as refusal:
        text = str(refusal).partition(" (Service:")[0]
        code = {"NotFound": "DBClusterSnapshotNotFoundFault"}.get(
            refusal.code, "InvalidParameterValue"
        )
        if refusal.code == "AlreadyExists":
            code = "DBClusterSnapshotAlreadyExistsFault"
        return error_answer(call, code, text)
    return None


def _typed(call: Call) -> dict[str, object]:
    from isthmus_lab_aws.wire import read_query

    return read_query("rds", call.action, call.parameters)


def _places() -> set[Place]:
    stores = (rds()._clusters, rds()._instances)
    return {Place(key[0], key[1]) for store in stores for key in store._data}


_BEFORE: Mapping[str, Callable[[Call], Answer | None]] = {
    "DeleteDBCluster": _delete_cluster,
    "RebootDBCluster": _reboot_cluster,
    "RestoreDBClusterFromSnapshot": _restore,
}
HOOKS = (
    ApiHook("rds", frozenset(_BEFORE), before=before),
    ApiHook("rds", _MUTATING - {"RebootDBCluster", "RestoreDBClusterFromSnapshot"}, after=after),
)
