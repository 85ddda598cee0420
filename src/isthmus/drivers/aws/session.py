"""One account and region: every call to AWS goes through ``Aws.call``.

The SDK blocks, so calls run on a small pool of threads; its own retries are off, because the
runtime's backoff does that and must know about throttling.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar, cast

from isthmus.api.meta import Json
from isthmus.drivers.aws.errors import translate
from isthmus.drivers.aws.settings import Settings
from isthmus.errors import InvalidSpec

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.session import Session

THREADS = 8
_CONNECT_SECONDS = 5
_READ_SECONDS = 30
_ROLE_SECONDS = 3600
"""How long assumed credentials live; they are renewed 15 minutes before."""

T = TypeVar("T")


class Aws:
    """Calls AWS as the Provider says."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="aws")
        self._clients: dict[tuple[str, str], Any] = {}
        self._session: Session | None = None
        self._making = threading.Lock()  # Making clients is the part of the SDK that is not safe.

    async def call(self, service: str, operation: str, /, **arguments: Any) -> Json:
        """Make one call, with boto3's names: ``call("sqs", "list_queues")``.

        Raises:
            IsthmusError: Whatever AWS or the network answered, see ``errors``.
        """
        return await self.run(lambda: self.call_now(service, operation, arguments))

    async def pages(self, service: str, operation: str, /, **arguments: Any) -> AsyncIterator[Json]:
        """Yield every page of a call that the SDK can page."""
        pages = await self.run(lambda: self._pages(service, operation, arguments))
        while (page := await self.run(lambda: _next(pages, service, operation))) is not None:
            yield page

    async def run(self, function: Callable[[], T]) -> T:
        """Run something that blocks on the pool."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function)

    def call_now(self, service: str, operation: str, arguments: Json, region: str = "") -> Json:
        """Make one call on this thread."""
        method = self._method(service, operation, region)
        try:
            return cast("Json", method(**arguments))
        except Exception as exc:
            raise translate(exc, service, operation) from exc

    def client(self, service: str, region: str = "") -> Any:
        """Return the SDK's client of a service, made once."""
        key = (service, region or self.settings.region)
        with self._making:
            if key not in self._clients:
                try:
                    self._clients[key] = self._client(*key)
                except Exception as exc:
                    raise translate(exc, service, "open") from exc
            return self._clients[key]

    def token_parameters(self, service: str, operation: str) -> tuple[str, ...]:
        """Return the parameters that the service's model marks as idempotency token."""
        self._method(service, operation, "")
        meta = self.client(service).meta
        model = meta.service_model.operation_model(meta.method_to_api_mapping[operation])
        return tuple(cast("list[str]", model.idempotent_members))

    def close(self) -> None:
        """Let running calls end by themselves, start no more, and close the connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    def _method(self, service: str, operation: str, region: str) -> Any:
        client = self.client(service, region)
        if operation not in client.meta.method_to_api_mapping:
            raise InvalidSpec(f"There is no AWS call {service}.{operation}.")
        return getattr(client, operation)

    def _pages(self, service: str, operation: str, arguments: Json) -> Any:
        client = self.client(service)
        try:
            return iter(client.get_paginator(operation).paginate(**arguments))
        except Exception as exc:
            raise translate(exc, service, operation) from exc

    def _client(self, service: str, region: str) -> Any:
        if self._session is None:
            self._session = _open_session(self.settings)
        return self._session.create_client(
            cast("Any", service),
            region_name=region,
            endpoint_url=self.settings.endpoint_url or None,
            config=_config(self.settings),
        )


def _next(pages: Any, service: str, operation: str) -> Json | None:
    try:
        return cast("Json | None", next(pages, None))
    except Exception as exc:
        raise translate(exc, service, operation) from exc


def _config(settings: Settings) -> "Config":
    from botocore.config import Config

    return Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=THREADS,
        retries={"mode": "standard", "total_max_attempts": 1},
        user_agent_extra="isthmus",
        # A lab answers on one name; virtual-host buckets would need DNS for each.
        s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
    )


def _open_session(settings: Settings) -> "Session":
    from botocore.session import Session

    session = Session()
    if settings.access_key is not None:
        key = settings.access_key
        session.set_credentials(key.id, key.secret, key.session_token or None)
    return _assume(session, settings) if settings.role_arn else session


def _assume(source: "Session", settings: Settings) -> "Session":
    """Return a session of the role; its credentials are renewed before they expire."""
    from botocore.credentials import DeferredRefreshableCredentials
    from botocore.session import Session

    sts: Any = source.create_client(
        "sts",
        region_name=settings.region,
        endpoint_url=settings.endpoint_url or None,
        config=_config(settings),
    )
    arguments: Json = {
        "RoleArn": settings.role_arn,
        "RoleSessionName": settings.session_name,
        "DurationSeconds": _ROLE_SECONDS,
    }
    if settings.external_id:
        arguments["ExternalId"] = settings.external_id

    def refresh() -> dict[str, str]:
        fresh = sts.assume_role(**arguments)["Credentials"]
        return {
            "access_key": fresh["AccessKeyId"],
            "secret_key": fresh["SecretAccessKey"],
            "token": fresh["SessionToken"],
            "expiry_time": fresh["Expiration"].isoformat(),
        }

    assumed = Session()
    # The SDK has no public way to hand over refreshable credentials; this attribute is the one
    # that its own `set_credentials` writes.
    cast("Any", assumed)._credentials = DeferredRefreshableCredentials(refresh, "assume-role")
    return assumed
