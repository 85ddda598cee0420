"""How OpenStack's services say no, and what that is to us."""

from datetime import timedelta

import orjson
import pytest

from isthmus.drivers.openstack.errors import of_answer, of_exception
from isthmus.errors import (
    AlreadyExists,
    CapacityExhausted,
    Conflict,
    DeletionBlocked,
    Forbidden,
    InternalError,
    InvalidSpec,
    NotFound,
    NotYet,
    Retryable,
    StateForbids,
    Throttled,
    Unavailable,
)


def heat(kind: str, message: str) -> bytes:
    return orjson.dumps({"code": 400, "title": "t", "error": {"type": kind, "message": message}})


def nova(kind: str, message: str) -> bytes:
    return orjson.dumps({kind: {"code": 409, "message": message}})


def neutron(kind: str, message: str) -> bytes:
    return orjson.dumps({"NeutronError": {"type": kind, "message": message, "detail": ""}})


CASES = [
    (409, heat("ActionInProgress", "Stack s already has an action (UPDATE)"), NotYet),
    (409, heat("StackExists", "The Stack (s) already exists."), AlreadyExists),
    (400, heat("StackValidationFailed", "Property error: flavor"), InvalidSpec),
    (400, heat("NotSupported", "Updating a stack when it is suspended"), StateForbids),
    (400, heat("RequestLimitExceeded", "You have reached the maximum stacks"), CapacityExhausted),
    (404, heat("EntityNotFound", "The Stack (s) could not be found."), NotFound),
    (500, heat("MessagingTimeout", "Timed out"), Unavailable),
    (403, nova("forbidden", "Quota exceeded for cores: Requested 4, but 0"), CapacityExhausted),
    (403, nova("forbidden", "Policy doesn't allow os_compute_api:servers"), Forbidden),
    (
        409,
        nova("conflictingRequest", "Cannot 'start' while it is in vm_state active"),
        StateForbids,
    ),
    (409, nova("conflictingRequest", "Something was faster"), Conflict),
    (413, nova("overLimit", "VolumeLimitExceeded: Maximum number of volumes"), CapacityExhausted),
    (413, nova("overLimit", "This request was rate-limited."), Throttled),
    (409, neutron("OverQuota", "Quota exceeded for resources: ['port']."), CapacityExhausted),
    (409, neutron("NetworkInUse", "There are one or more ports still in use"), DeletionBlocked),
    (401, orjson.dumps({"error": {"code": 401, "message": "auth", "title": "U"}}), Forbidden),
    (429, b"", Throttled),
    (503, b"<html><body>Service Unavailable</body></html>", Unavailable),
    (400, orjson.dumps({"error_message": '{"faultstring": "bad node"}'}), InvalidSpec),
    (409, orjson.dumps({"errors": [{"status": 409, "detail": "x already exists"}]}), AlreadyExists),
]


@pytest.mark.parametrize(("status", "body", "kind"), CASES)
def test_an_answer_becomes_one_of_ours(status: int, body: bytes, kind: type[Exception]):
    error = of_answer("compute", "GET /servers", status, {}, body)
    assert type(error) is kind, error.message
    assert "{" not in error.message


def test_whoever_is_throttled_knows_when_to_come_back():
    error = of_answer("compute", "GET /servers", 429, {"retry-after": "7"}, b"")
    assert isinstance(error, Retryable)
    assert error.after == timedelta(seconds=7)


def test_the_quota_is_named_with_a_remedy():
    body = nova("forbidden", "Quota exceeded for cores: Requested 4, but already used 0 of 2 cores")
    error = of_answer("compute", "POST /servers", 403, {}, body)
    assert "cores" in error.message
    assert "higher quota" in error.message


def test_addresses_are_left_out():
    body = heat("X", "see http://10.0.0.1:8004/v1/secret for more")
    assert "10.0.0.1" not in of_answer("orchestration", "GET /", 400, {}, body).message


def test_an_exception_of_the_network_is_no_mistake_of_ours():
    class ConnectFailure(Exception):
        __module__ = "keystoneauth1.exceptions.connection"

    assert type(of_exception(ConnectFailure("x"), "compute", "GET /")) is Unavailable
    assert type(of_exception(KeyError("x"), "compute", "GET /")) is InternalError
