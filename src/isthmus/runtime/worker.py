"""One step of one object, and the only place where an error becomes a condition."""

import asyncio
import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from pydantic import ValidationError

from isthmus.api.meta import API_VERSION, FINALIZER, Condition, Json, Resource, Status
from isthmus.errors import (
    Conflict,
    DeletionBlocked,
    Forbidden,
    InternalError,
    InvalidSpec,
    IsthmusError,
    NotFound,
    NotYet,
    Retryable,
    Unavailable,
)
from isthmus.ports import Clock, Store
from isthmus.runtime import conditions, telemetry
from isthmus.runtime.cache import Cache
from isthmus.runtime.events import Events
from isthmus.runtime.kinds import Key, api_of
from isthmus.runtime.outcome import Done, Happening, Outcome, Progress, Waiting

log = structlog.get_logger(__name__)

RESYNC = timedelta(minutes=10)
"""How often everything is looked at even if nothing is known to have changed: a watch may miss
an event, and it cannot see drift in a cloud at all."""
BLOCKED_RETRY = timedelta(minutes=1)
"""How often a blocked deletion, or what we may not do, is tried again: nobody tells us when the
blocker is gone, or the right is there."""
_AGAIN = timedelta(milliseconds=20)
_OUR_MISTAKE = "We made a mistake; it has been logged under the id {id}."

ResourceT = TypeVar("ResourceT", bound=Resource[Any, Any])


class Reconciler(ABC, Generic[ResourceT]):
    """The logic of one kind. It gets the object, never the event, and may be called at any time."""

    kind: type[ResourceT]
    steps: ClassVar[tuple[str, ...]]
    """Its conditions, in the order in which they are reached; Ready is derived from them."""
    holds: ClassVar[bool] = True
    """Whether a deletion must wait for ``release``: the object then bears our finalizer."""
    announces: ClassVar[bool] = True
    """Whether an Event says that it became ready; not where others say so already."""

    @abstractmethod
    async def reconcile(self, obj: ResourceT, progress: Progress[Any]) -> Outcome:
        """Bring the world one step closer to ``obj.spec``; safe to repeat."""

    async def release(self, obj: ResourceT, progress: Progress[Any]) -> Outcome:
        """Take down what ``reconcile`` made; done once nothing is left."""
        del obj, progress
        return Done()

    def trace(self, obj: ResourceT) -> str:
        """Name the trace that this object's reconciles belong to."""
        return f"{obj.metadata.uid}/{obj.metadata.generation}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Next:
    """When to look at the object again."""

    after: timedelta | None = RESYNC
    """None: it is gone."""
    failed: bool = False
    """Back off; ``after`` then is what the other side asked for, or None."""


GONE = Next(after=None)


class Worker(Generic[ResourceT]):
    """Steps objects of one kind: finalizer, reconcile or release, one write of the status."""

    def __init__(
        self,
        reconciler: Reconciler[ResourceT],
        store: Store,
        cache: Cache,
        *,
        clock: Clock,
        events: Events,
    ) -> None:
        self.name = reconciler.kind.names.kind.lower()
        self.limit = timedelta(minutes=2)
        """A reconcile that takes longer is broken off and tried again."""
        self.reconciler = reconciler
        self._store = store
        self._cache = cache
        self._clock = clock
        self._events = events
        self._api = api_of(reconciler.kind)

    async def step(self, key: Key) -> Next:
        """Look at one object once, and say when to look again."""
        raw = self._cache.get(*key)
        if raw is None:
            return GONE
        identity = f"{random.getrandbits(48):012x}"
        with structlog.contextvars.bound_contextvars(
            kind=self.reconciler.kind.names.kind, namespace=key[0], name=key[1], reconcile=identity
        ):
            try:
                obj = self.reconciler.kind.parse(raw)
            except ValidationError as exc:
                return await self._unreadable(raw, exc)
            with telemetry.reconcile(self.name, self.reconciler.trace(obj)) as timed:
                following = await self._step(obj, identity, timed)
            return following

    async def _step(self, obj: ResourceT, identity: str, timed: telemetry.Timed) -> Next:
        if obj.paused:
            timed.outcome = "Paused"
            return await self._pause(obj)
        if obj.deleting and FINALIZER not in obj.metadata.finalizers:
            return GONE
        progress: Progress[Any] = Progress(obj.status, self._clock.now().replace(microsecond=0))
        try:
            obj = await self._hold(obj)
            stopped = await self._act(obj, progress, identity)
            timed.outcome = _label(stopped)
            if obj.deleting and isinstance(stopped, Done):
                await self._let_go(obj)
                return GONE
            await self._write(obj, progress, stopped)
        except NotFound:
            return await self._refresh(obj)  # It went while we worked.
        except Conflict:
            timed.outcome = Conflict.reason
            return await self._refresh(obj)
        except IsthmusError as err:
            timed.outcome = err.reason
            log.warning("store refused", reason=err.reason, why=err.message, detail=err.detail)
            return Next(after=None, failed=True)
        return _next(stopped)

    async def _act(
        self, obj: ResourceT, progress: Progress[Any], identity: str
    ) -> Outcome | IsthmusError:
        act = self.reconciler.release if obj.deleting else self.reconciler.reconcile
        try:
            async with asyncio.timeout(self.limit.total_seconds()):
                return await act(obj, progress)
        except Conflict:
            raise
        except IsthmusError as err:
            log.info("reconcile refused", reason=err.reason, why=err.message, detail=err.detail)
            return err
        except TimeoutError:
            log.warning("reconcile timed out")
            return Unavailable(f"No answer within {self.limit.seconds} seconds; trying again.")
        except Exception:
            log.exception("reconcile broke")  # A bug: the tenant learns only that it is ours.
            return InternalError(_OUR_MISTAKE.format(id=identity))

    async def _hold(self, obj: ResourceT) -> ResourceT:
        """Set the finalizer before the first outward call, else a deletion could leak."""
        if obj.deleting or not self.reconciler.holds or FINALIZER in obj.metadata.finalizers:
            return obj
        return await self._set_finalizers(obj, [*obj.metadata.finalizers, FINALIZER])

    async def _let_go(self, obj: ResourceT) -> None:
        await self._set_finalizers(obj, [f for f in obj.metadata.finalizers if f != FINALIZER])

    async def _set_finalizers(self, obj: ResourceT, finalizers: list[str]) -> ResourceT:
        meta = obj.metadata
        patch = {"metadata": {"finalizers": finalizers, "resourceVersion": meta.resource_version}}
        stored = await self._store.patch(self._api, meta.namespace, meta.name, patch)
        self._cache.put(stored)
        metadata = type(meta).model_validate(stored["metadata"])
        return obj.model_copy(update={"metadata": metadata})

    async def _pause(self, obj: ResourceT) -> Next:
        progress: Progress[Any] = Progress(obj.status, self._clock.now().replace(microsecond=0))
        paused = Condition(type=conditions.PAUSED, status="True", reason="Annotated")
        try:
            await self._save(obj, progress, [paused])
        except (Conflict, NotFound):
            return await self._refresh(obj)
        return Next()

    async def _write(
        self, obj: ResourceT, progress: Progress[Any], stopped: Outcome | IsthmusError
    ) -> None:
        new = conditions.of_steps(self.reconciler.steps, progress.steps, stopped)
        if obj.condition(conditions.PAUSED) is not None:
            new.append(Condition(type=conditions.PAUSED, status="False", reason="Resumed"))
        await self._save(obj, progress, [*new, *progress.notes.values()])
        self._tell(obj, progress, stopped)

    async def _save(self, obj: ResourceT, progress: Progress[Any], new: list[Condition]) -> None:
        """Write the status once, and only if it says something new."""
        status: Status = conditions.merged(
            progress.status, new, generation=obj.metadata.generation, now=progress.now
        )
        if status == obj.status:
            return
        body = status_body(obj, status)
        self._cache.put(await self._store.replace(self._api, body, "status"))
        telemetry.STATUS_WRITES.labels(self.name).inc()

    def _tell(
        self, obj: ResourceT, progress: Progress[Any], stopped: Outcome | IsthmusError
    ) -> None:
        for happening in progress.happenings:
            self._events.tell(obj, happening)
        before = obj.condition(conditions.READY)
        said = conditions.said(stopped)
        if said is None:
            news = before is None or before.status != "True"
            if news and self.reconciler.announces:
                self._events.tell(obj, Happening(reason=conditions.READY, message="It is ready."))
        elif _worth_telling(stopped) and (
            before is None or (before.reason, before.message) != said
        ):
            self._events.tell(obj, Happening(reason=said[0], message=said[1], type="Warning"))

    async def _refresh(self, obj: ResourceT) -> Next:
        """Read again what somebody else wrote, and look at it at once."""
        key = obj.metadata.namespace, obj.metadata.name
        try:
            found = await self._store.get(self._api, *key)
        except IsthmusError:
            return Next(after=None, failed=True)
        if found is None:
            self._cache.forget(key)
            return GONE
        self._cache.put(found)
        return Next(after=_AGAIN)

    async def _unreadable(self, raw: Json, exc: ValidationError) -> Next:
        """Say which fields we cannot read; the values stay out of it, they may be secret."""
        fields = sorted({".".join(map(str, e["loc"])) + ": " + e["msg"] for e in exc.errors()})
        err = InvalidSpec("; ".join(fields[:3]))
        log.warning("object unreadable", fields=fields)
        kind = self.reconciler.kind
        meta = kind.model_fields["metadata"].annotation
        assert meta is not None
        metadata = meta.model_validate(raw["metadata"])
        obj = kind.model_construct(metadata=metadata, spec=None, status=Status())
        progress: Progress[Any] = Progress(Status(), self._clock.now().replace(microsecond=0))
        previous = raw.get("status", {}).get("conditions", [])
        if not any(c.get("message") == err.message for c in previous):
            try:
                await self._write(obj, progress, err)
            except IsthmusError as refused:
                log.warning("store refused", reason=refused.reason, detail=refused.detail)
        return Next()


def status_body(obj: Resource[Any, Any], status: Status) -> Json:
    """Return the smallest object whose status the API takes: name, version and the status."""
    meta = obj.metadata
    metadata: Json = {"name": meta.name, "resourceVersion": meta.resource_version, "uid": meta.uid}
    if meta.namespace:
        metadata["namespace"] = meta.namespace
    return {
        "apiVersion": API_VERSION,
        "kind": obj.names.kind,
        "metadata": metadata,
        "status": status.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }


def _worth_telling(stopped: Outcome | IsthmusError) -> bool:
    if isinstance(stopped, IsthmusError):
        return not isinstance(stopped, NotYet)
    return isinstance(stopped, Waiting) and stopped.troubled


def _label(stopped: Outcome | IsthmusError) -> str:
    if isinstance(stopped, IsthmusError):
        return stopped.reason
    return "done" if isinstance(stopped, Done) else "waiting"


def _next(stopped: Outcome | IsthmusError) -> Next:
    if isinstance(stopped, DeletionBlocked | Forbidden):
        return Next(after=BLOCKED_RETRY)
    if isinstance(stopped, Retryable):
        return Next(after=stopped.after, failed=True)
    if isinstance(stopped, InternalError):
        return Next(after=None, failed=True)
    if isinstance(stopped, IsthmusError):
        return Next()
    return Next(after=stopped.after if stopped.after is not None else RESYNC)
