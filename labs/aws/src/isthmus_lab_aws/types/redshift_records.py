"""Redshift's clusters as records, and the databases that follow them."""

from __future__ import annotations

import secrets

from isthmus_lab_aws import backing
from isthmus_lab_aws.backing import Wanted, key_of
from isthmus_lab_aws.databases.server import DatabaseFailed, Login
from isthmus_lab_aws.records import Record, Records
from isthmus_lab_aws.resource import Place
from isthmus_lab_aws.types import managed_secrets
from isthmus_lab_aws.wire import ApiError

CLUSTERS = Records("redshift")
_ENGINE_VERSION = "16.8"
"""Of the PostgreSQL that stands in; Redshift itself reports 1.0."""
_SETTLED = {
    "creating": "available",
    "deleting": "deleting",
    "modifying": "available",
    "rebooting": "available",
    "resizing": "available",
    "resuming": "available",
    "pausing": "paused",
}


def unique(prefix: str) -> str:
    """A name with a random end."""
    return f"{prefix}-{secrets.token_hex(6)}"


def cluster(place: Place, name: object) -> Record:
    """A cluster by name.

    Raises:
        ApiError: ClusterNotFound.
    """
    record = CLUSTERS.of(place, "cluster").get(str(name).lower())
    if record is None:
        raise ApiError("ClusterNotFound", f"Cluster {name} not found.", 404)
    return record


def settle(record: Record | None) -> None:
    """Show the state that follows the intermediate one."""
    if record is not None:
        status = record["ClusterStatus"]
        record["ClusterStatus"] = _SETTLED.get(status, status)


def follow(place: Place, record: Record) -> None:
    """Make the cluster's database what the record says, and publish where it listens."""
    groups: list[Record] = record["ClusterParameterGroups"]
    parameters = CLUSTERS.of(place, "parameters").get(groups[0]["ParameterGroupName"], {})
    wanted = Wanted(
        key=key_of("redshift", place, record["ClusterIdentifier"]),
        engine="postgresql",
        version=_ENGINE_VERSION,
        login=Login(
            record["MasterUsername"], record["_password"], record["DBName"], superuser=True
        ),
        running=record["ClusterStatus"] not in ("paused", "pausing"),
        force_tls=parameters.get("_values", {}).get("require_ssl", "false") == "true",
        snapshot=record.get("_snapshot", ""),
    )
    try:
        endpoint = backing.follow(wanted)
    except DatabaseFailed as failure:
        raise ApiError("InternalFailure", f"Database: {failure}", 500) from failure
    if endpoint is not None:
        record["Endpoint"] = {"Address": endpoint.host, "Port": endpoint.port}


def remove(place: Place, name: str) -> None:
    """Remove a cluster with its database and managed secret, at once."""
    # First its database: who makes a cluster of this name again must not find it.
    backing.forget(key_of("redshift", place, name))
    record = CLUSTERS.of(place, "cluster").pop(name.lower(), None)
    if record is not None:
        managed_secrets.delete(place, record.get("MasterPasswordSecretArn"))
