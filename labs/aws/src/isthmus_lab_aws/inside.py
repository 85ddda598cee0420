"""Calls of ministack's services from inside the lab, as CloudFormation calls a service.

A botocore client without a network: it builds the request by AWS's model, ministack's handler
answers it in this thread's account and region, and botocore reads the answer. Nobody is asked to
authorise it, for the engine has done so for the stack's principal.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from isthmus_lab_aws import ministack, models
from isthmus_lab_aws.resource import ResourceFailure

_HANDLERS = {
    "cloudwatch": "monitoring",
    "elbv2": "elasticloadbalancing",
}
_clients: dict[tuple[str, str], Any] = {}
_lock = threading.Lock()


def call(service: str, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Call an operation with a template's properties; what it does not know is left out.

    Args:
        service: botocore's name of the client, such as `rds`.
        operation: the API's name, such as `CreateDBCluster`.
        parameters: properties or parameters; their types are brought to the operation's.

    Raises:
        ResourceFailure: the service refused; the text is worded as CloudFormation words it.
    """
    from botocore.exceptions import ClientError, ParamValidationError

    model = models.operation_model(service, operation)
    given: dict[str, Any] = (
        models.coerce(model.input_shape, parameters) if model.input_shape else {}
    )
    client = _client(service, ministack.here().region)
    try:
        answer: dict[str, Any] = client._make_api_call(operation, given)
    except ClientError as refusal:
        raise _failure(service, refusal.response) from refusal
    except ParamValidationError as refusal:
        raise ResourceFailure(str(refusal), "InvalidRequest") from refusal
    answer.pop("ResponseMetadata", None)
    return answer


def _failure(service: str, response: Mapping[str, Any]) -> ResourceFailure:
    error, meta = response["Error"], response["ResponseMetadata"]
    code = str(error.get("Code", ""))
    status = meta.get("HTTPStatusCode", 400)
    text = f"{error.get('Message', code)} (Service: {service.capitalize()}, Status Code: {status})"
    return ResourceFailure(text, handler_code(code, status))


@contextmanager
def absent_is_fine() -> Generator[None]:
    """Let a delete of what is gone already pass."""
    try:
        yield
    except ResourceFailure as failure:
        if failure.code != "NotFound":
            raise


def handler_code(code: str, status: int) -> str:
    """CloudFormation's HandlerErrorCode for a service's error code."""
    if "AlreadyExist" in code or "Duplicate" in code:
        return "AlreadyExists"
    if "NotFound" in code or status == 404 or code.startswith("NoSuch"):
        return "NotFound"
    if "State" in code or "InUse" in code or "Conflict" in code:
        return "ResourceConflict"
    return "InvalidRequest" if status < 500 else "GeneralServiceException"


def _client(service: str, region: str) -> Any:
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config

    with _lock:
        if (service, region) not in _clients:
            client: Any = botocore.session.get_session().create_client(
                service,
                region_name=region,
                endpoint_url="http://inside.lab",
                config=Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1}),  # pyright: ignore[reportArgumentType]
            )
            client.meta.events.register("before-send", partial(_send, service))
            _clients[service, region] = client
        return _clients[service, region]


def _send(service: str, request: Any, **_: Any) -> Any:
    """Answer a request in place of the network; botocore's hook `before-send`."""
    from botocore.awsrequest import AWSResponse

    handler = ministack.module("app").SERVICE_HANDLERS[_HANDLERS.get(service, _signing(service))]
    url = urlsplit(str(request.url))
    headers = {
        key.lower(): value.decode() if isinstance(value, bytes) else str(value)
        for key, value in request.headers.items()
    }
    body = request.body if isinstance(request.body, bytes) else (request.body or "").encode()
    query = parse_qs(url.query, keep_blank_values=True)
    status, answer_headers, answer = _finish(
        handler(request.method, url.path or "/", headers, body, query)
    )
    raw = _Raw(answer if isinstance(answer, bytes) else str(answer).encode())
    return AWSResponse(request.url, status, _headers(answer_headers), raw)


def _finish(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a handler to its end, also where an event loop is already at work in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(context.run, asyncio.run, work).result()


def _headers(answer: Mapping[str, str]) -> Any:
    from botocore.compat import HTTPHeaders

    return HTTPHeaders.from_pairs([(key.lower(), value) for key, value in answer.items()])


def _signing(service: str) -> str:
    model = models.service_model(service)
    return str(model.signing_name)


class _Raw:
    """The body of an answer, in the form in which botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: object) -> list[bytes]:
        """The whole body as one piece."""
        return [self._body]
