"""From an AWS error to one of ours: the only place that knows AWS's error codes.

AWS writes hundreds of codes; services spell the same thing differently. We decide by exact code
first and by the family that a code's name belongs to next. The codes are those of the services'
API references, for example
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/CommonErrors.html
"""

import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

from isthmus.errors import (
    AlreadyExists,
    CapacityExhausted,
    Conflict,
    DeletionBlocked,
    Forbidden,
    InvalidSpec,
    IsthmusError,
    NotFound,
    Retryable,
    StackFailed,
    StateForbids,
    Throttled,
    Unavailable,
)

_EXACT: Final[dict[str, type[IsthmusError]]] = {
    "Throttling": Throttled,
    "ThrottlingException": Throttled,
    "ThrottledException": Throttled,
    "RequestThrottled": Throttled,
    "RequestThrottledException": Throttled,
    "RequestLimitExceeded": Throttled,
    "BandwidthLimitExceeded": Throttled,
    "TooManyRequestsException": Throttled,
    "ProvisionedThroughputExceededException": Throttled,
    "TransactionInProgressException": Throttled,
    "PriorRequestNotComplete": Throttled,
    "SlowDown": Throttled,
    "EC2ThrottledException": Throttled,
    "AccessDenied": Forbidden,
    "AccessDeniedException": Forbidden,
    "AuthFailure": Forbidden,
    "UnauthorizedOperation": Forbidden,
    "UnauthorizedException": Forbidden,
    "NotAuthorized": Forbidden,
    "InvalidClientTokenId": Forbidden,
    "UnrecognizedClientException": Forbidden,
    "SignatureDoesNotMatch": Forbidden,
    "IncompleteSignature": Forbidden,
    "InvalidAccessKeyId": Forbidden,
    "ExpiredToken": Forbidden,
    "ExpiredTokenException": Forbidden,
    "OptInRequired": Forbidden,
    "OptInRequiredException": Forbidden,
    "EntityAlreadyExists": AlreadyExists,
    "BucketAlreadyOwnedByYou": AlreadyExists,
    "DeleteConflict": DeletionBlocked,
    "DependencyViolation": DeletionBlocked,
    "ResourceInUse": DeletionBlocked,
    "ResourceInUseException": DeletionBlocked,
    "BucketNotEmpty": DeletionBlocked,
    "HostedZoneNotEmpty": DeletionBlocked,
    "DistributionNotDisabled": DeletionBlocked,
    "OperationInProgressException": Conflict,
    "PreconditionFailed": Conflict,
    "InvalidIfMatchVersion": Conflict,
    "ConcurrentModification": Conflict,
    "ConcurrentModificationException": Conflict,
    "RequestTimeout": Unavailable,
    "RequestTimeoutException": Unavailable,
    "RequestExpired": Unavailable,
    "ServiceUnavailable": Unavailable,
    "ServiceUnavailableException": Unavailable,
    "InternalFailure": Unavailable,
    "InternalError": Unavailable,
    "InternalServerError": Unavailable,
    "InternalServerException": Unavailable,
    "InternalServiceError": Unavailable,
    "IDPCommunicationError": Unavailable,
    "InvalidChangeSetStatus": StateForbids,
    "TokenAlreadyExistsException": StateForbids,
    "NonEmptyBucket": DeletionBlocked,
}

_FAMILIES: Final[tuple[tuple[re.Pattern[str], type[IsthmusError]], ...]] = (
    (
        re.compile(
            r"^Insufficient.*Capacity|InsufficientCapacity|CapacityNotAvailable|"
            r"^Insufficient(DB|Instance|Cache|Cluster|Storage)"
        ),
        CapacityExhausted,
    ),
    (
        re.compile(r"(Quota|Limit).*(Exceeded|Fault)|^TooMany|LimitExceeded|^Max.*Exceeded"),
        CapacityExhausted,
    ),
    (
        re.compile(r"Already(Exists|Exist)|AlreadyOwned|^Duplicate|Exists(Fault|Exception)?$"),
        AlreadyExists,
    ),
    (re.compile(r"NotFound|^NoSuch|^NotFound|DoesNotExist|NonExistent|ResourceNotFound"), NotFound),
    (
        re.compile(r"^Invalid\w*State(Fault|Exception)?$|NotInState|InvalidStatus|StateFault$"),
        StateForbids,
    ),
    (re.compile(r"Throttl|RateExceeded"), Throttled),
)

_ABSENT_TEXT = re.compile(r"does not exist|not found|is not in an? .*exist", re.IGNORECASE)
_PERFORM = re.compile(
    r"not authorized to perform:? (?P<action>[\w:*-]+)(?: on resource:? "
    r"(?P<resource>[^\s,]+))?"
)
_SECRET_VALUE = re.compile(
    r"(?i)(value(?:s)?(?: at)? )'[^']*'( at '[^']*(?:password|secret|token|credential)[^']*')"
)
_HANDLER = re.compile(
    r'^Resource handler returned message: "(?P<words>.*)" \(RequestToken: .*\)\.?$', re.DOTALL
)
_MESSAGE_ROOM = 600
"""Characters. Some services answer with a whole policy."""

QUOTA_NOTE = "ask for a higher quota or delete what is not needed"


def translate(exc: Exception, service: str, operation: str) -> IsthmusError:
    """Return our error for one that boto3 raised; the caller chains the original."""
    response: object = getattr(exc, "response", None)
    if isinstance(response, dict):
        return _of_response(cast("dict[str, Any]", response), service, operation)
    return _of_client(exc, service, operation)


def clean(text: str) -> str:
    """Return AWS's words without secret values and wrapping, on one line, of bearable length."""
    wrapped = _HANDLER.match(text)
    words = wrapped["words"] if wrapped else text
    one_line = " ".join(_SECRET_VALUE.sub(r"\1'***'\2", words).split())
    return one_line if len(one_line) <= _MESSAGE_ROOM else one_line[: _MESSAGE_ROOM - 1] + "…"


def code_of(exc: BaseException) -> str:
    """Return AWS's own code behind one of our errors, or an empty text."""
    response: object = getattr(exc.__cause__, "response", None)
    if not isinstance(response, dict):
        return ""
    error = cast("dict[str, Any]", response).get("Error", {})
    return str(error.get("Code", ""))


def _of_response(response: dict[str, Any], service: str, operation: str) -> IsthmusError:
    error = cast("dict[str, Any]", response.get("Error", {}))
    code, words = str(error.get("Code", "")), clean(str(error.get("Message", "")))
    http = cast("dict[str, Any]", response.get("ResponseMetadata", {}))
    status = int(http.get("HTTPStatusCode", 0) or 0)
    kind = _kind(code, words, status)
    detail = f"{service}.{operation}: {code} ({status})"
    if kind is Forbidden:
        return Forbidden(_denied(code, words, service, operation), detail=detail)
    message = f"AWS {service} ({operation}): {words or code}"
    if kind is CapacityExhausted and "nsufficient" not in code:
        message = f"{message.rstrip('.')}; {QUOTA_NOTE}."
    if issubclass(kind, Retryable):
        headers = cast("dict[str, str]", http.get("HTTPHeaders", {}))
        return kind(message, detail=detail, after=_retry_after(headers.get("retry-after", "")))
    return kind(message, detail=detail)


def _kind(code: str, words: str, status: int) -> type[IsthmusError]:
    if code.startswith("ResourceInUse") and "already exists" in words:
        return AlreadyExists  # DynamoDB says it so.
    if code in _EXACT:
        return _EXACT[code]
    name = code.removesuffix("Exception").rsplit(".", 1)[-1]
    for pattern, kind in _FAMILIES:
        if pattern.search(name):
            return kind
    if code in ("ValidationError", "InvalidParameterValue") and _ABSENT_TEXT.search(words):
        return NotFound
    if code == "LimitExceeded":
        return CapacityExhausted
    return _by_status(status)


def _by_status(status: int) -> type[IsthmusError]:
    if status == 429:
        return Throttled
    if status >= 500:
        return Unavailable
    return {403: Forbidden, 404: NotFound, 409: Conflict}.get(status, InvalidSpec)


def _denied(code: str, words: str, service: str, operation: str) -> str:
    if code.startswith("ExpiredToken"):
        return "The Provider's AWS credentials have expired; renew them in its Secret."
    if code in ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"):
        return "AWS does not know the Provider's access key; put a valid one into its Secret."
    if code in ("SignatureDoesNotMatch", "IncompleteSignature"):
        return "AWS does not accept the Provider's secret access key; correct it in its Secret."
    found = _PERFORM.search(words)
    action = found["action"] if found else f"{service}:{_camel(operation)}"
    where = f" on {found['resource'].rstrip('.')}" if found and found["resource"] else ""
    return f"AWS does not allow us {action}{where}; give that right to the Provider's identity."


def _of_client(exc: Exception, service: str, operation: str) -> IsthmusError:
    """Errors that boto3 raises without an answer from AWS, by the name of their class."""
    name = type(exc).__name__
    detail = f"{service}.{operation}: {name}: {clean(str(exc))}"
    if name in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        return Forbidden(
            "There are no AWS credentials: name a Secret in spec.credentialsSecret, or give the "
            "process an identity.",
            detail=detail,
        )
    if name in ("ParamValidationError", "UnknownParameterError", "ValidationError"):
        return InvalidSpec(f"AWS {service} ({operation}): {clean(str(exc))}", detail=detail)
    if name in ("UnknownServiceError", "OperationNotPageableError", "AttributeError"):
        return InvalidSpec(f"There is no AWS call {service}.{operation}.", detail=detail)
    return Unavailable(f"AWS {service} did not answer ({operation}).", detail=detail)


def _retry_after(header: str) -> timedelta | None:
    """Read a Retry-After header: seconds, or a date."""
    if header.isdigit():
        return timedelta(seconds=int(header))
    if not header:
        return None
    try:
        return max(parsedate_to_datetime(header) - datetime.now(UTC), timedelta(0))
    except (TypeError, ValueError):
        return None


def _camel(operation: str) -> str:
    return "".join(part.capitalize() for part in operation.split("_"))


def failed(words: str) -> StackFailed:
    """Return a StackFailed with AWS's words."""
    return StackFailed(clean(words))
