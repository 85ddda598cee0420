"""One project in one region: every call to OpenStack goes through ``Cloud``.

The SDK blocks, so calls run on a small pool of threads; its own retries are off, because the
runtime's backoff does that and must know about throttling. A token that Keystone no longer accepts
is renewed by the SDK, once a call. Providers of the same identity share one token, whatever their
regions; each probe takes a new one, for a catalog is as old as its token.
"""

import asyncio
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from weakref import WeakValueDictionary

import orjson

from isthmus.api.meta import Json
from isthmus.drivers.openstack.errors import of_answer, of_exception
from isthmus.drivers.openstack.settings import Settings
from isthmus.errors import InvalidSpec

if TYPE_CHECKING:
    from keystoneauth1.identity.v3 import Auth
    from openstack.connection import Connection

THREADS: Final = 8
_READ_SECONDS: Final = 120
"""Heat works a while on the preview of a large stack."""

_VERSIONS: Final = {"network": "2.0"}
"""Of services whose address in the catalog often lacks it."""

_HEADERS: Final = {
    "container-infrastructure-management": {"OpenStack-API-Version": "container-infra 1.10"}
}
"""Versions within a service; Magnum's knows node groups that may be empty."""

T = TypeVar("T")

_identities: "WeakValueDictionary[str, Auth]" = WeakValueDictionary()
_identities_lock = threading.Lock()


class Cloud:
    """Calls OpenStack as the Provider says."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="openstack")
        self._opening = threading.Lock()
        self._connection: Connection | None = None
        self._clients: dict[str, Any] = {}
        self._ca_file = ""

    async def get(self, service: str, path: str, **query: Any) -> Json:
        """Read, for example ``get("orchestration", "/stacks", limit=100)``.

        Raises:
            IsthmusError: Whatever OpenStack or the network answered, see ``errors``.
        """
        return await self.ask(service, "GET", path, query=query)

    async def ask(
        self,
        service: str,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> Json:
        """Make one call of a service's API; an answer without a body is an empty one."""
        return await self.run(lambda: self._ask(service, method, path, (body, query or {})))

    async def project(self) -> str:
        """Return the id of the project that we are in."""
        return await self.run(self._project)

    async def services(self) -> frozenset[str]:
        """Return the types of services that the catalog of our token offers us here."""
        return await self.run(self._services)

    async def log_in(self) -> None:
        """Take a new token, and with it the catalog as it is now."""
        await self.run(self._log_in)

    async def delegates(self) -> bool:
        """Return whether Keystone lets us hand on our rights, as Heat does for every stack.

        Since 2026.1 it denies that to application credentials, unless its operator says otherwise.
        https://docs.openstack.org/keystone/latest/configuration/config-options.html
        """
        return await self.run(self._delegates)

    async def run(self, function: Callable[[], T]) -> T:
        """Run something that blocks on the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def proxy(self, service: str) -> Any:
        """Return the SDK's proxy of a service, for example ``compute``."""
        connection = self._opened()
        try:
            return getattr(connection, service.replace("-", "_"))
        except Exception as exc:
            raise of_exception(exc, service, "open") from exc

    def close(self) -> None:
        """Let running calls end by themselves, start no more, and close the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._connection is not None:
            cast("Any", self._connection).session.session.close()
            self._connection.close()
        if self._ca_file:
            os.unlink(self._ca_file)

    def _ask(
        self, service: str, method: str, path: str, content: tuple[Json | None, Mapping[str, Any]]
    ) -> Json:
        body, query = content
        what = f"{method} {path.split('?')[0]}"
        try:
            answer: Any = self._client(service).request(
                path,
                method,
                json=body,
                params={k: v for k, v in query.items() if v is not None},
                raise_exc=False,
            )
        except Exception as exc:
            raise of_exception(exc, service, what) from exc
        if answer.status_code >= 400:
            headers = {str(k).lower(): str(v) for k, v in answer.headers.items()}
            raise of_answer(service, what, answer.status_code, headers, answer.content)
        try:
            return cast("Json", orjson.loads(answer.content)) if answer.content else {}
        except orjson.JSONDecodeError:
            return {"text": answer.text}

    def _client(self, service: str) -> Any:
        """Return keystoneauth's bare client of a service, as our settings choose its endpoint."""
        from keystoneauth1.adapter import Adapter

        if service not in self._clients:
            self._clients[service] = Adapter(
                session=self._opened().session,
                service_type=service,
                interface=self.settings.interface,
                region_name=self.settings.region,
                version=_VERSIONS.get(service),
                additional_headers=_HEADERS.get(service),
            )
        return self._clients[service]

    def _project(self) -> str:
        try:
            return str(self._opened().session.get_project_id() or "")
        except Exception as exc:
            raise of_exception(exc, "identity", "authenticate") from exc

    def _log_in(self) -> None:
        try:
            session: Any = self._opened().session
            session.auth.auth_ref = session.auth.get_auth_ref(session)
        except Exception as exc:
            raise of_exception(exc, "identity", "authenticate") from exc

    def _services(self) -> frozenset[str]:
        try:
            auth: Any = self._opened().session.auth
            catalog = auth.get_access(self._opened().session).service_catalog
            found = catalog.get_endpoints(
                region_name=self.settings.region, interface=self.settings.interface
            )
        except Exception as exc:
            raise of_exception(exc, "identity", "authenticate") from exc
        return frozenset(str(name) for name, endpoints in found.items() if endpoints)

    def _delegates(self) -> bool:
        try:
            session = self._opened().session
            trusts = f"{self.settings.auth_url}/OS-TRUST/trusts"
            query = {"trustor_user_id": session.get_user_id()}
            answer: Any = session.get(trusts, params=query, raise_exc=False)
        except Exception as exc:
            raise of_exception(exc, "identity", "GET /OS-TRUST/trusts") from exc
        return answer.status_code != 403

    def _opened(self) -> "Connection":
        with self._opening:
            if self._connection is None:
                self._connection = self._open()
            return self._connection

    def _open(self) -> "Connection":
        from keystoneauth1.session import Session
        from openstack.config.cloud_region import from_session
        from openstack.connection import Connection

        if self.settings.ca_bundle:
            with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
                file.write(self.settings.ca_bundle)
                self._ca_file = file.name
        session = Session(
            auth=_auth(self.settings),
            verify=self._ca_file or True,
            timeout=_READ_SECONDS,
            app_name="isthmus",
        )
        region = from_session(
            session,
            name=self.settings.region,
            region_name=self.settings.region,
            interface=self.settings.interface,
        )
        return Connection(config=region)


def _auth(settings: Settings) -> "Auth":
    """Return the identity's plug-in, which holds the token: one a process for each identity."""
    from keystoneauth1.identity.v3 import ApplicationCredential, Password

    method, arguments = settings.identity.method, settings.identity.arguments
    parts = [settings.auth_url, settings.ca_bundle, method, *sorted(arguments.items())]
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    plugins: dict[str, Any] = {
        "application_credential": ApplicationCredential,
        "password": Password,
    }
    with _identities_lock:
        known = _identities.get(key)
        if known is None:
            if method not in plugins:
                raise InvalidSpec(f"spec.credentialsSecret: {method!r} is no way to authenticate.")
            known = plugins[method](settings.auth_url, **arguments)
            _identities[key] = known
        return known
