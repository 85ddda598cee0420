"""EMR's clusters and security configurations as records."""

from __future__ import annotations

import secrets
import string

from isthmus_lab_aws.records import Record, Records
from isthmus_lab_aws.resource import Place
from isthmus_lab_aws.wire import ApiError

EMR_RECORDS = Records("emr-own")
ENDED = ("TERMINATED", "TERMINATED_WITH_ERRORS")
_ALPHABET = string.ascii_uppercase + string.digits


def new_identity(prefix: str) -> str:
    """A new id, such as `j-2EQ42HC3Y9TOG`."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(13))


def cluster(place: Place, identity: object) -> Record:
    """A cluster by id.

    Raises:
        ApiError: InvalidRequestException.
    """
    record = EMR_RECORDS.of(place, "cluster").get(str(identity))
    if record is None:
        raise ApiError("InvalidRequestException", f"Cluster id '{identity}' is not valid.")
    return record


def alive(place: Place, identity: object) -> Record:
    """A cluster that is not ending.

    Raises:
        ApiError: InvalidRequestException.
    """
    record = cluster(place, identity)
    if record["Status"]["State"] in (*ENDED, "TERMINATING"):
        message = f"Cluster {identity} is {record['Status']['State']}: it cannot be changed."
        raise ApiError("InvalidRequestException", message)
    return record
