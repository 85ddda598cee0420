"""Open accounts, shared by all who need them.

A connection is opened once for a Provider's spec and its Secret's version; when either changes, new
users get a new one and the former closes after its last user. Every call through it is timed.
"""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog

from isthmus.api.meta import Adopt
from isthmus.api.v1alpha1 import Provider
from isthmus.core.stacks import Changes, NativeStack, Observed, Owned, StackName
from isthmus.errors import InvalidSpec, IsthmusError, NotYet
from isthmus.ports import (
    ActionCall,
    Actions,
    ActionState,
    Clock,
    Connection,
    CredentialSource,
    Driver,
    Endpoint,
    Facts,
    Grant,
    StackEngine,
    Store,
)
from isthmus.runtime import telemetry
from isthmus.runtime.cache import Cache
from isthmus.runtime.kinds import SECRETS

log = structlog.get_logger(__name__)

IDLE = timedelta(minutes=10)
"""A connection that nobody used for so long is closed."""
_SWEEP = timedelta(minutes=1)

Permit = Callable[[], None]
_T = TypeVar("_T")


def _everybody() -> None:
    """Let everybody act: there is only one of us."""


@dataclass(slots=True)
class _Open:
    version: tuple[str, int, str]
    connection: Connection
    exit: AsyncExitStack
    used: datetime
    users: int = 0
    superseded: bool = False


@dataclass(slots=True)
class _Slot:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    open: _Open | None = None


class Connections:
    """The pool of open accounts.

    Args:
        store: Where the Secrets are.
        secrets: The cache of their versions.
        load: Finds a driver by its name.
        installation: Which Isthmus this is; part of the tags of all that is made.
        clock: The time.
    """

    def __init__(
        self,
        store: Store,
        secrets: Cache,
        *,
        load: Callable[[str], Driver],
        installation: str,
        clock: Clock,
    ) -> None:
        self.installation = installation
        self.permit: Permit = _everybody
        """Called before each call to a cloud; raises where we may not act (any more)."""
        self._store = store
        self._secrets = secrets
        self._load = load
        self._clock = clock
        self._slots: dict[str, _Slot] = {}

    @asynccontextmanager
    async def use(self, provider: Provider) -> AsyncGenerator[Connection, None]:
        """Lend the connection of a Provider.

        Raises:
            InvalidSpec: Unknown driver or setting.
            NotYet: Its Secret is missing.
        """
        opened = await self._opened(provider)
        opened.users += 1
        try:
            yield opened.connection
        finally:
            opened.users -= 1
            opened.used = self._clock.now()
            if opened.superseded and not opened.users:
                await self._shut(opened)

    async def sweep(self) -> None:
        """Close idle connections, for ever."""
        while True:
            await asyncio.sleep(_SWEEP.total_seconds())
            for slot in list(self._slots.values()):
                idle = slot.open is not None and not slot.open.users
                if slot.open and idle and self._clock.now() - slot.open.used >= IDLE:
                    await self._retire(slot)

    async def close(self) -> None:
        """Close all."""
        for slot in self._slots.values():
            if slot.open is not None:
                await self._shut(slot.open)
        self._slots.clear()

    async def forget(self, provider: Provider) -> None:
        """Close the connection of a Provider that goes."""
        slot = self._slots.pop(provider.metadata.name, None)
        if slot is not None:
            await self._retire(slot)

    async def _opened(self, provider: Provider) -> _Open:
        version = self._version(provider)
        slot = self._slots.setdefault(provider.metadata.name, _Slot())
        async with slot.lock:
            if slot.open is None or slot.open.version != version:
                await self._retire(slot)
                slot.open = await self._open(provider, version)
            return slot.open

    def _version(self, provider: Provider) -> tuple[str, int, str]:
        ref = provider.spec.credentials_secret
        secret = self._secrets.version(ref.namespace, ref.name) if ref is not None else ""
        return provider.metadata.uid, provider.metadata.generation, secret

    async def _open(self, provider: Provider, version: tuple[str, int, str]) -> _Open:
        spec = provider.spec
        driver = self._load(spec.driver)
        if unknown := sorted(spec.settings.keys() - driver.settings):
            known = ", ".join(sorted(driver.settings)) or "none"
            raise InvalidSpec(
                f"spec.settings.{unknown[0]}: driver {spec.driver!r} does not know it; "
                f"it knows: {known}."
            )
        endpoint = Endpoint(
            provider=provider.metadata.name,
            region=spec.region,
            settings=spec.settings,
            credentials=await self._credentials(provider),
            installation=self.installation,
        )
        stack = AsyncExitStack()
        connection = await stack.enter_async_context(driver.open(endpoint))
        log.info("provider opened", provider=provider.metadata.name, driver=spec.driver)
        return _Open(version, timed(connection, spec.driver, self.permit), stack, self._clock.now())

    async def _credentials(self, provider: Provider) -> Mapping[str, str]:
        ref = provider.spec.credentials_secret
        if ref is None:
            return {}
        secret = await self._store.get(SECRETS, ref.namespace, ref.name)
        if secret is None:
            raise NotYet(
                f"spec.credentialsSecret: there is no Secret {ref.name!r} in namespace "
                f"{ref.namespace!r}; create it, or have Provider {provider.metadata.name!r} name "
                "another."
            )
        return secret_values(secret)

    async def _retire(self, slot: _Slot) -> None:
        former, slot.open = slot.open, None
        if former is None:
            return
        former.superseded = True
        if not former.users:
            await self._shut(former)

    async def _shut(self, opened: _Open) -> None:
        try:
            await opened.exit.aclose()
        except Exception:
            log.exception("provider did not close")


def secret_values(secret: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the decoded values of a Secret as the API serves it."""
    data = secret.get("data") or {}
    return {key: base64.b64decode(value).decode() for key, value in data.items()}


def timed(connection: Connection, driver: str, permit: Permit = _everybody) -> Connection:
    """Return the same connection with every call permitted, timed and traced."""

    async def probe() -> Facts:
        permit()
        with telemetry.driver_call(driver, "probe"):
            return await connection.probe()

    return Connection(
        engine=_TimedEngine(connection.engine, driver, permit),
        credentials={
            name: _TimedCredentials(source, f"{driver}/{name}", permit)
            for name, source in connection.credentials.items()
        },
        actions=_TimedActions(connection.actions, driver, permit),
        probe=probe,
    )


class _Timed:
    def __init__(self, driver: str, permit: Permit) -> None:
        self._driver = driver
        self._permit = permit

    async def _call(self, name: str, call: Coroutine[Any, Any, _T]) -> _T:
        try:
            self._permit()
        except IsthmusError:
            call.close()
            raise
        with telemetry.driver_call(self._driver, name):
            return await call


class _TimedEngine(_Timed):
    def __init__(self, inner: StackEngine, driver: str, permit: Permit) -> None:
        super().__init__(driver, permit)
        self._inner = inner

    async def preview(self, stack: NativeStack) -> Changes:
        return await self._call("preview", self._inner.preview(stack))

    async def observe(self, name: StackName) -> Observed:
        return await self._call("observe", self._inner.observe(name))

    async def apply(self, stack: NativeStack) -> None:
        await self._call("apply", self._inner.apply(stack))

    async def delete(self, stack: NativeStack) -> None:
        await self._call("delete", self._inner.delete(stack))

    async def adopt(self, stack: NativeStack, adopt: Adopt) -> None:
        await self._call("adopt", self._inner.adopt(stack, adopt))

    async def check_drift(self, name: StackName) -> None:
        await self._call("check_drift", self._inner.check_drift(name))

    async def owned(self) -> tuple[Owned, ...]:
        return await self._call("owned", self._inner.owned())

    async def adoptable(self) -> tuple[Owned, ...]:
        return await self._call("adoptable", self._inner.adoptable())


class _TimedCredentials(_Timed):
    def __init__(self, inner: CredentialSource, driver: str, permit: Permit) -> None:
        super().__init__(driver, permit)
        self._inner = inner

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        return await self._call("grant", self._inner.grant(grant))

    async def revoke(self, grant: Grant) -> None:
        await self._call("revoke", self._inner.revoke(grant))


class _TimedActions(_Timed):
    def __init__(self, inner: Actions, driver: str, permit: Permit) -> None:
        super().__init__(driver, permit)
        self._inner = inner

    async def start(self, call: ActionCall) -> ActionState:
        return await self._call("start", self._inner.start(call))

    async def poll(self, call: ActionCall, handle: str) -> ActionState:
        return await self._call("poll", self._inner.poll(call, handle))
