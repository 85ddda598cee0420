"""A connection to the API, as one person, for the length of one command."""

import ssl
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import orjson

from isthmus.api.meta import Json
from isthmus.errors import Unavailable
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.kubeconfig import Target
from isthmus.faces.paths import PREFIX
from isthmus.ports import Api
from isthmus.runtime.kube import path_of
from isthmus.runtime.transport import JSON, Answer, HttpTransport, Request

APPLY_PATCH = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io, application/json"
FIELD_MANAGER = "isthmus-cli"
_CODES = {
    400: Exit.INVALID,
    401: Exit.FORBIDDEN,
    403: Exit.FORBIDDEN,
    404: Exit.NOT_FOUND,
    409: Exit.CONFLICT,
    413: Exit.INVALID,
    422: Exit.INVALID,
    429: Exit.UNAVAILABLE,
    503: Exit.UNAVAILABLE,
    504: Exit.TIMEOUT,
}


class Client:
    """Requests to the API. Every failure is a ``CommandFailed`` that says what would help.

    Args:
        target: The server and who we are.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._transport = HttpTransport(target.server, token=target.bearer, tls=tls(target))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._transport.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Json:
        """Send one request and return the object that is answered."""
        request = Request(
            method=method,
            path=path,
            query=tuple((params or {}).items()),
            body=b"" if body is None else orjson.dumps(body),
            content_type=content_type,
            accept=accept,
        )
        try:
            answer = await self._transport.request(request)
        except Unavailable as exc:
            raise CommandFailed(_unreachable(self.target, exc), Exit.UNAVAILABLE) from exc
        if answer.status < 300:
            return orjson.loads(answer.body or b"{}")
        if answer.status == 404 and path.startswith(PREFIX) and not _said(answer):
            raise CommandFailed(
                f"{self.target.server} makes no plans and looks for nothing in accounts: only the "
                "API of `isthmus up` does",
                Exit.NOT_FOUND,
            )
        raise _failure(answer)

    async def get(self, api: Api, namespace: str, name: str) -> Json:
        """Read one object."""
        return await self.request("GET", path_of(api, namespace, name))

    async def find(self, api: Api, namespace: str, name: str) -> Json | None:
        """Read one object, or return None where there is none."""
        try:
            return await self.get(api, namespace, name)
        except CommandFailed as failure:
            if failure.code == Exit.NOT_FOUND:
                return None
            raise

    async def list(
        self, api: Api, namespace: str = "", params: Mapping[str, str] | None = None
    ) -> list[Json]:
        """Read all objects of a namespace, or of all."""
        answer = await self.request("GET", path_of(api, namespace), params=params)
        return answer.get("items") or []


def tls(target: Target) -> ssl.SSLContext:
    """Return what is trusted, with our certificate where we have one."""
    context = ssl.create_default_context(cadata=target.ca_pem or None)
    if target.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if target.client_certificate:
        _show(context, *target.client_certificate)
    return context


def _show(context: ssl.SSLContext, certificate: str, key: str) -> None:
    """Load a client certificate; OpenSSL reads files only, so it gets one for a moment."""
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # made with mode 0600
        file.write(f"{certificate}\n{key}\n".encode())
        file.flush()
        try:
            context.load_cert_chain(file.name)
        except ssl.SSLError as exc:
            raise CommandFailed(
                "the kubeconfig's client certificate and key cannot be read, or do not belong "
                "together",
                Exit.USAGE,
            ) from exc


def _unreachable(target: Target, failure: Unavailable) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in failure.detail:
        return (
            f"{target.server} shows a certificate that the kubeconfig does not trust; was the "
            "server set up anew? Use the kubeconfig that `isthmus up` wrote last"
        )
    if "Timeout" in failure.detail and "Connect" not in failure.detail:
        return f"{target.server} does not answer in time; try again"
    return f"no server answers at {target.server}; start it with `isthmus up`"


def _said(answer: Answer) -> str:
    """Return the message of the server itself, if it gave one that is about the request."""
    message = str(_status(answer).get("message") or "")
    return "" if message == "the server could not find the requested resource" else message


def _status(answer: Answer) -> Json:
    try:
        return orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}


def _failure(answer: Answer) -> CommandFailed:
    code = _CODES.get(answer.status, Exit.UNEXPECTED)
    status = _status(answer)
    if answer.status == 401:
        return CommandFailed(
            "the server does not know the token of the kubeconfig; was the server set up anew? "
            "Use the kubeconfig that `isthmus up` wrote last",
            code,
        )
    message = status.get("message") if status.get("kind") == "Status" else None
    return CommandFailed(str(message or f"the server answered {answer.status}"), code)
