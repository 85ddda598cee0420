"""AWS's errors become ours in one place; no secret gets through."""

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
)

from isthmus.drivers.aws.errors import clean, code_of, translate
from isthmus.errors import (
    AlreadyExists,
    CapacityExhausted,
    Conflict,
    DeletionBlocked,
    Forbidden,
    InvalidSpec,
    IsthmusError,
    NotFound,
    StateForbids,
    Throttled,
    Unavailable,
)


def refusal(code: str, message: str = "", status: int = 400, **headers: str) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return ClientError(response, "Some")


@pytest.mark.parametrize(
    ("code", "message", "status", "kind"),
    [
        ("Throttling", "Rate exceeded", 400, Throttled),
        ("TooManyRequestsException", "", 429, Throttled),
        ("SomethingNew", "", 429, Throttled),
        ("SlowDown", "", 503, Throttled),
        ("AccessDenied", "", 403, Forbidden),
        ("SomethingNew", "", 403, Forbidden),
        ("ValidationError", "Stack with id x does not exist", 400, NotFound),
        ("ChangeSetNotFound", "", 404, NotFound),
        ("NoSuchEntity", "", 404, NotFound),
        ("NoSuchBucket", "", 404, NotFound),
        ("DBClusterNotFoundFault", "", 404, NotFound),
        ("AWS.SimpleQueueService.NonExistentQueue", "", 400, NotFound),
        ("ResourceNotFoundException", "", 400, NotFound),
        ("AlreadyExistsException", "", 400, AlreadyExists),
        ("EntityAlreadyExists", "", 409, AlreadyExists),
        ("DBClusterSnapshotAlreadyExistsFault", "", 400, AlreadyExists),
        ("DBClusterAlreadyExistsFault", "", 400, AlreadyExists),
        ("ResourceInUseException", "Table already exists: t", 400, AlreadyExists),
        ("ResourceInUseException", "Table is being updated", 400, DeletionBlocked),
        ("DependencyViolation", "", 400, DeletionBlocked),
        ("BucketNotEmpty", "", 409, DeletionBlocked),
        ("DistributionNotDisabled", "", 409, DeletionBlocked),
        ("InvalidDBClusterStateFault", "", 400, StateForbids),
        ("InvalidClusterState", "", 400, StateForbids),
        ("InsufficientInstanceCapacity", "", 500, CapacityExhausted),
        ("InsufficientDBInstanceCapacityFault", "", 400, CapacityExhausted),
        ("DBClusterQuotaExceededFault", "", 403, CapacityExhausted),
        ("LimitExceededException", "", 400, CapacityExhausted),
        ("TooManyBuckets", "", 400, CapacityExhausted),
        ("OperationInProgressException", "", 409, Conflict),
        ("InternalFailure", "", 500, Unavailable),
        ("SomethingNew", "", 502, Unavailable),
        ("ValidationError", "Template format error", 400, InvalidSpec),
        ("InvalidParameterValue", "bad", 400, InvalidSpec),
    ],
)
def test_a_code_means_one_of_our_errors(code, message, status, kind):
    assert type(translate(refusal(code, message, status), "svc", "do_it")) is kind


def test_throttling_says_when_to_come_back():
    error = translate(refusal("Throttling", **{"retry-after": "7"}), "rds", "list")
    assert isinstance(error, Throttled)
    assert error.after == timedelta(seconds=7)
    error = translate(refusal("Throttling", **{"retry-after": "nonsense"}), "rds", "list")
    assert isinstance(error, Throttled)
    assert error.after is None


def test_a_refusal_names_the_action_and_the_resource():
    words = (
        "User: arn:aws:iam::1:user/x is not authorized to perform: rds:CreateDBCluster on "
        "resource: arn:aws:rds:us-east-1:1:cluster:db because no identity-based policy allows it"
    )
    error = translate(refusal("AccessDenied", words, 403), "cloudformation", "create_stack")
    assert error.message == (
        "AWS does not allow us rds:CreateDBCluster on arn:aws:rds:us-east-1:1:cluster:db; give "
        "that right to the Provider's identity."
    )
    error = translate(refusal("AccessDenied", "no", 403), "s3", "put_object")
    assert "s3:PutObject" in error.message


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("ExpiredToken", "have expired"),
        ("InvalidClientTokenId", "does not know the Provider's access key"),
        ("SignatureDoesNotMatch", "does not accept the Provider's secret access key"),
    ],
)
def test_wrong_credentials_name_the_remedy(code, words):
    error = translate(refusal(code, "", 403), "sts", "get_caller_identity")
    assert isinstance(error, Forbidden)
    assert words in error.message


@pytest.mark.parametrize(
    ("exc", "kind"),
    [
        (NoCredentialsError(), Forbidden),
        (ParamValidationError(report="Unknown parameter"), InvalidSpec),
        (EndpointConnectionError(endpoint_url="https://rds"), Unavailable),
        (ConnectTimeoutError(endpoint_url="https://rds"), Unavailable),
        (OSError("reset"), Unavailable),
    ],
)
def test_errors_without_an_answer(exc, kind):
    assert type(translate(exc, "rds", "list")) is kind


def test_no_secret_gets_through():
    words = "1 error: Value 'hunter2' at 'masterUserPassword' failed to satisfy constraint"
    error = translate(refusal("ValidationException", words), "rds", "create_db_cluster")
    assert "hunter2" not in error.message + error.detail
    assert "masterUserPassword" in error.message


def test_words_are_unwrapped_and_short():
    wrapped = 'Resource handler returned message: "Too\n small" (RequestToken: 1, X: Y)'
    assert clean(wrapped) == "Too small"
    assert len(clean("x" * 9000)) == 600


def test_the_code_behind_an_error_can_be_asked_for():
    caught: IsthmusError | None = None
    try:
        try:
            raise refusal("Odd")
        except ClientError as exc:
            raise translate(exc, "a", "b") from exc
    except IsthmusError as exc:
        caught = exc
    assert caught is not None
    assert code_of(caught) == "Odd"
    assert code_of(ValueError()) == ""
