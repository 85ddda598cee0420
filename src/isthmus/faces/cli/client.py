"""A connection to the API, as one person, for the length of one command."""

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx2
import orjson

from isthmus.api.meta import Json
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.kubeconfig import Target
from isthmus.ports import Api

MERGE_PATCH = "application/merge-patch+json"
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
_TIMEOUT_SECONDS = 60.0


def path_of(api: Api, namespace: str = "", name: str = "") -> str:
    """Return the URL path of a collection, or of one object."""
    prefix = "/api" if api.group_version == "v1" else "/apis"
    inside = f"/namespaces/{namespace}" if api.namespaced and namespace else ""
    return f"{prefix}/{api.group_version}{inside}/{api.plural}" + (f"/{name}" if name else "")


class Client:
    """Requests to the API. Every failure is a ``CommandFailed`` that says what would help.

    Args:
        target: The server and who we are.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
        self._http = httpx2.AsyncClient(
            base_url=target.server,
            headers=headers | {"User-Agent": "isthmus"},
            verify=_tls(target),
            timeout=_TIMEOUT_SECONDS,
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """Send one request and return the object that is answered."""
        content = None if body is None else orjson.dumps(body)
        sent = {"Content-Type": "application/json", "Accept": "application/json"}
        try:
            answer = await self._http.request(
                method, path, params=params, content=content, headers=sent | dict(headers or {})
            )
        except httpx2.TimeoutException as exc:
            raise CommandFailed(
                f"{self.target.server} did not answer in {_TIMEOUT_SECONDS:.0f} s; try again",
                Exit.UNAVAILABLE,
            ) from exc
        except httpx2.TransportError as exc:
            raise CommandFailed(_unreachable(self.target, exc), Exit.UNAVAILABLE) from exc
        if answer.is_success:
            return orjson.loads(answer.content or b"{}")
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


def _tls(target: Target) -> ssl.SSLContext | bool:
    if not target.server.startswith("https:"):
        return False
    context = ssl.create_default_context(cadata=target.ca_pem or None)
    if target.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if target.client_certificate:
        context.load_cert_chain(*target.client_certificate)
    return context


def _unreachable(target: Target, failure: Exception) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(failure):
        return (
            f"{target.server} shows a certificate that the kubeconfig does not trust; was the "
            "server set up anew? Use the kubeconfig that `isthmus up` wrote last"
        )
    return f"no server answers at {target.server}; start it with `isthmus up`"


def _failure(answer: httpx2.Response) -> CommandFailed:
    code = _CODES.get(answer.status_code, Exit.UNEXPECTED)
    try:
        status: Json = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        status = {}
    if answer.status_code == 401:
        return CommandFailed(
            "the server does not know the token of the kubeconfig; was the server set up anew? "
            "Use the kubeconfig that `isthmus up` wrote last",
            code,
        )
    message = status.get("message") if status.get("kind") == "Status" else None
    return CommandFailed(str(message or f"the server answered {answer.status_code}"), code)
