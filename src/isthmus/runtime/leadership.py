"""One leader among several: a Lease that is renewed, and a fence that falls before it runs out.

The rules are those of client-go, so that its tools read our Lease. A standby counts from when it
last saw the Lease change, by a clock of its own, so nobody's clocks need to agree. The leader
counts from before it asked for the last renewal that came through, and gives up a third earlier:
when the others may take over it has stopped writing for long.
https://github.com/kubernetes/client-go/blob/master/tools/leaderelection/leaderelection.go
"""

import asyncio
import math
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from isthmus.api.meta import Json
from isthmus.errors import AlreadyExists, Conflict, IsthmusError, Unavailable
from isthmus.ports import Api, Clock, Listing, Store, WatchEvent

log = structlog.get_logger(__name__)

LEASES = Api("coordination.k8s.io/v1", "leases")
DURATION = timedelta(seconds=15)
_GIVE_UP = 2 / 3
"""Share of the lease after which a leader that could not renew it has stopped."""
_RENEWALS = 5
"""How many tries fit in that time."""
_LOOK = timedelta(seconds=1)
"""How soon a standby notices that the leader gave the Lease back."""


def identity() -> str:
    """Return a name for this process that no other one has, nor itself after a restart."""
    return f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(4)}"


def uptime() -> float:
    """Return seconds that nobody sets back, and that go on while the machine sleeps."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Which Lease, as whom, and for how long."""

    namespace: str
    name: str
    identity: str
    duration: timedelta = DURATION

    @property
    def give_up(self) -> float:
        """Seconds after a renewal at which its holder stops, unless another one came through."""
        return self.duration.total_seconds() * _GIVE_UP


class Leadership:
    """The campaign of one process, and its fence.

    Args:
        store: Where the Lease is; not the fenced one.
        terms: Which Lease, and for how long.
        clock: For the times that people read in the Lease.
        seconds: What the lease is measured by.
    """

    def __init__(
        self,
        store: Store,
        terms: Terms,
        *,
        clock: Clock,
        seconds: Callable[[], float] = uptime,
    ) -> None:
        self.terms = terms
        self._store = store
        self._clock = clock
        self._seconds = seconds
        self._until = -math.inf
        self._seen: Json = {}
        self._seen_at = 0.0

    @property
    def leads(self) -> bool:
        """Whether this process may act now."""
        return self._seconds() < self._until

    @property
    def leader(self) -> str:
        """Who holds the Lease, as far as we have seen; empty: nobody."""
        return str(self._seen.get("holderIdentity") or "")

    def check(self) -> None:
        """Let only the leader pass.

        Raises:
            Unavailable: We do not lead, or not any more.
        """
        if not self.leads:
            raise Unavailable("Another process looks after this now.", detail="no lease")

    async def win(self) -> None:
        """Wait until this process leads, for as long as it takes."""
        while not await self.attempt():
            every = min(_LOOK, self.terms.duration / 10)
            await asyncio.sleep(every.total_seconds())

    async def keep(self) -> None:
        """Renew; return when that could not be done in time, or somebody else leads."""
        pause = self.terms.give_up / _RENEWALS
        while self.leads:
            await asyncio.sleep(min(pause, max(self._until - self._seconds(), 0)))
            if self.leads and not await self.attempt() and self.leader != self.terms.identity:
                self._until = -math.inf  # Nobody can be faster than the lease: it was taken away.

    async def release(self) -> None:
        """Give the Lease back, so that a standby need not wait; where that fails, it runs out."""
        if not self.leads:
            return
        self._until = -math.inf
        try:
            async with asyncio.timeout(self.terms.give_up):
                found = await self._store.get(LEASES, self.terms.namespace, self.terms.name)
                if found is not None and _holder(found["spec"]) == self.terms.identity:
                    freed = {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._store.replace(LEASES, found | {"spec": found["spec"] | freed})
        except (IsthmusError, TimeoutError) as exc:
            log.warning("lease not given back; it runs out", detail=str(exc))

    async def attempt(self) -> bool:
        """Take or renew the Lease, once; say whether we hold it."""
        started = self._seconds()
        left = self._until - started
        within = left if left > 0 else self.terms.give_up
        try:
            async with asyncio.timeout(within):
                held = await self._claim()
        except (AlreadyExists, Conflict):
            return False  # Somebody was faster; the next look says who.
        except (IsthmusError, TimeoutError) as exc:
            log.warning("lease not renewed" if left > 0 else "lease not read", detail=str(exc))
            return False
        if held:
            self._until = started + self.terms.give_up
        return held

    async def _claim(self) -> bool:
        terms, now = self.terms, self._clock.now()
        found = await self._store.get(LEASES, terms.namespace, terms.name)
        if found is None:
            metadata = {"namespace": terms.namespace, "name": terms.name}
            spec = self._spec({}, now) | {"leaseTransitions": 0}
            self._saw(await self._store.create(LEASES, {"metadata": metadata, "spec": spec}))
            return True
        self._saw(found)
        if self.leader not in ("", terms.identity) and not self._ran_out():
            return False
        spec = found["spec"] | self._spec(found["spec"], now)
        self._saw(await self._store.replace(LEASES, found | {"spec": spec}))
        return True

    def _spec(self, former: Json, now: datetime) -> Json:
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        ours: Json = {
            "holderIdentity": self.terms.identity,
            "leaseDurationSeconds": math.ceil(self.terms.duration.total_seconds()),
            "renewTime": stamp,
        }
        if _holder(former) != self.terms.identity:
            ours["acquireTime"] = stamp
            ours["leaseTransitions"] = int(former.get("leaseTransitions") or 0) + 1
        return ours

    def _saw(self, lease: Json) -> None:
        if lease["spec"] != self._seen:
            self._seen, self._seen_at = lease["spec"], self._seconds()

    def _ran_out(self) -> bool:
        lasts = float(self._seen.get("leaseDurationSeconds") or 0)
        return self._seconds() >= self._seen_at + lasts


def _holder(spec: Json) -> str:
    return str(spec.get("holderIdentity") or "")


class FencedStore:
    """Implements ``isthmus.ports.Store``: everybody may read, only the leader may write.

    Args:
        store: Where objects live.
        check: Raises where we may not write.
    """

    def __init__(self, store: Store, check: Callable[[], None]) -> None:
        self._store = store
        self._check = check

    async def get(self, api: Api, namespace: str, name: str) -> Json | None:
        """See ``Store``."""
        return await self._store.get(api, namespace, name)

    async def list(self, api: Api, namespace: str = "", selector: str = "") -> Listing:
        """See ``Store``."""
        return await self._store.list(api, namespace, selector)

    def watch(self, api: Api, since: str) -> AsyncIterator[WatchEvent]:
        """See ``Store``."""
        return self._store.watch(api, since)

    async def create(self, api: Api, obj: Json) -> Json:
        """See ``Store``."""
        self._check()
        return await self._store.create(api, obj)

    async def replace(self, api: Api, obj: Json, subresource: str = "") -> Json:
        """See ``Store``."""
        self._check()
        return await self._store.replace(api, obj, subresource)

    async def patch(self, api: Api, namespace: str, name: str, patch: Json) -> Json:
        """See ``Store``."""
        self._check()
        return await self._store.patch(api, namespace, name, patch)

    async def delete(self, api: Api, namespace: str, name: str, uid: str = "") -> None:
        """See ``Store``."""
        self._check()
        await self._store.delete(api, namespace, name, uid)
