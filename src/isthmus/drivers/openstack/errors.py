"""From an OpenStack error to one of ours: the only place that knows how its services say no.

Every service wraps its errors in its own way; the HTTP status, the words and, with Heat and
Neutron, the type decide. Sources: https://docs.openstack.org/api-ref/ and Heat's map of faults,
https://opendev.org/openstack/heat/src/branch/master/heat/api/middleware/fault.py
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

import orjson

from isthmus.api.meta import Json
from isthmus.errors import (
    AlreadyExists,
    CapacityExhausted,
    Conflict,
    DeletionBlocked,
    Forbidden,
    InternalError,
    InvalidSpec,
    IsthmusError,
    NotFound,
    NotYet,
    Retryable,
    StateForbids,
    Throttled,
    Unavailable,
)

_TYPES: Final[dict[str, type[IsthmusError]]] = {
    "ActionInProgress": NotYet,
    "StackExists": AlreadyExists,
    "OverQuota": CapacityExhausted,
    "RequestLimitExceeded": CapacityExhausted,
    "IpAddressGenerationFailure": CapacityExhausted,
    "ResourceActionNotSupported": StateForbids,
    "MessagingTimeout": Unavailable,
    "ImmutableParameterModified": InvalidSpec,
}
"""Heat's and Neutron's types of errors that say more than the status."""

_QUOTA: Final = re.compile(
    r"quota\w* exceeded|exceed\w* \w*\s*quota|exceed\w* (the )?(allowed|maximum)|LimitExceeded|"
    r"quota (has been )?(met|reached)|reached (the )?maximum|no more IP addresses",
    re.IGNORECASE,
)
_STATE: Final = re.compile(r"while it is in (vm|task|power)_state|when stack is|a stack when it is")
_USED: Final = re.compile(r"in use|still has|InUse|is not empty|has one or more|attached")
_TAKEN: Final = re.compile(r"already exists|already in use by|duplicate", re.IGNORECASE)
_URL: Final = re.compile(r"\bhttps?://[^\s\"'>)]+")
_WORDS: Final = ("message", "detail", "faultstring", "error_message", "description")
_MESSAGE_ROOM = 600
"""Characters. Some services answer with a whole page."""

_OF_THE_WORLD: Final = ("keystoneauth1", "openstack", "requests", "urllib3", "socket", "ssl")
"""Whose exceptions speak of the cloud or the network; anybody else's is a mistake of ours."""

QUOTA_NOTE = "ask for a higher quota or delete what is not needed"


def of_answer(
    service: str, what: str, status: int, headers: Mapping[str, str], body: bytes
) -> IsthmusError:
    """Return our error for an answer of 400 and above.

    Args:
        service: The service, as the service catalog calls its type.
        what: The call in a few words, for the message.
        status: Of HTTP.
        headers: Of the answer, by their names in lower case.
        body: The service's own words.
    """
    kind_name, words = read_fault(body)
    words = clean(words)
    kind = _kind(status, kind_name, words)
    detail = f"{service} {what}: {kind_name or '-'} ({status}): {words}"
    if kind is Forbidden:
        return Forbidden(_denied(status, service, what, words), detail=detail)
    message = f"OpenStack {service} ({what}): {words or f'HTTP {status}'}"
    if kind is CapacityExhausted:
        message = f"{message.rstrip('.')}; {QUOTA_NOTE}."
    if issubclass(kind, Retryable):
        after = _retry_after(headers.get("retry-after", ""))
        return kind(message, detail=detail, after=after)
    return kind(message, detail=detail)


def of_exception(exc: Exception, service: str, what: str) -> IsthmusError:
    """Return our error for one that the SDK raised; the caller chains the original."""
    response: Any = getattr(exc, "response", None)
    status = getattr(response, "status_code", 0) or getattr(exc, "http_status", 0)
    if isinstance(status, int) and status >= 400:
        headers = {
            str(k).lower(): str(v) for k, v in dict(getattr(response, "headers", {})).items()
        }
        body: bytes = getattr(response, "content", b"") or _as_body(exc)
        return of_answer(service, what, status, headers, body)
    name = type(exc).__name__
    detail = f"{service} {what}: {name}: {clean(str(exc))}"
    if name in ("EndpointNotFound", "EmptyCatalog", "CatalogException", "ServiceDisabledException"):
        return InvalidSpec(
            f"spec.region: the service catalog has no {service} service in this region for this "
            "interface.",
            detail=detail,
        )
    if name == "MissingRequiredOptions":
        return InvalidSpec(f"OpenStack {service} ({what}): {clean(str(exc))}", detail=detail)
    if name in ("NotFoundException", "ResourceNotFound"):
        return NotFound(f"OpenStack {service} ({what}): {clean(str(exc))}", detail=detail)
    if type(exc).__module__.split(".")[0] not in _OF_THE_WORLD:
        return InternalError(
            "Something went wrong inside Isthmus; its log says more.", detail=detail
        )
    return Unavailable(f"OpenStack {service} did not answer ({what}).", detail=detail)


def read_fault(body: bytes) -> tuple[str, str]:
    """Return type and words of an error as any of the services writes it."""
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        text = re.sub(r"<[^>]+>", " ", body.decode(errors="replace"))
        return "", text
    return _fault(document)


def _fault(node: Any) -> tuple[str, str]:
    """Look for the words: at the top, or below the one key that the service wraps them in."""
    if isinstance(node, list) and node:
        return _fault(cast("list[Any]", node)[0])
    if isinstance(node, str):
        return read_fault(node.encode()) if node.startswith("{") else ("", node)
    if not isinstance(node, dict):
        return "", ""
    document = cast("Json", node)
    kind = document.get("type")
    for name in _WORDS:
        if isinstance(document.get(name), str) and document[name]:
            _, words = _fault(document[name])
            return (kind if isinstance(kind, str) else ""), words
    for value in document.values():
        if isinstance(value, dict | list):
            found = _fault(value)
            if found[1]:
                return found
    return "", str(document.get("title") or "")


def clean(text: str) -> str:
    """Return OpenStack's words without addresses, on one line, of bearable length."""
    one_line = " ".join(_URL.sub("…", text).split())
    return one_line if len(one_line) <= _MESSAGE_ROOM else one_line[: _MESSAGE_ROOM - 1] + "…"


def _kind(status: int, name: str, words: str) -> type[IsthmusError]:
    short = name.rsplit(".", 1)[-1]
    if short in _TYPES:
        return _TYPES[short]
    if status == 429 or (status == 413 and not _QUOTA.search(words)):
        return Throttled
    if status in (400, 403, 409, 413) and _QUOTA.search(words):
        return CapacityExhausted
    if status in (400, 409) and _STATE.search(words):
        return StateForbids
    if status == 409:
        return _conflict(short, words)
    if status >= 500:
        return Unavailable
    return {401: Forbidden, 403: Forbidden, 404: NotFound, 410: NotFound}.get(status, InvalidSpec)


def _conflict(name: str, words: str) -> type[IsthmusError]:
    if _TAKEN.search(words):
        return AlreadyExists
    if name.endswith("InUse") or _USED.search(words):
        return DeletionBlocked
    return Conflict


def _denied(status: int, service: str, what: str, words: str) -> str:
    if status == 401:
        return (
            "Keystone does not accept the Provider's credentials; they are wrong, expired or for "
            "another project. Put valid ones into its Secret."
        )
    said = f": {words}" if words else ""
    return (
        f"OpenStack {service} does not allow us {what}{said.rstrip('.')}; give that right to the "
        "Provider's user."
    )


def _as_body(exc: Exception) -> bytes:
    words = str(getattr(exc, "details", "") or getattr(exc, "message", "") or exc)
    return orjson.dumps({"message": words})


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
