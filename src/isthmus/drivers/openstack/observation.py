"""Look at a Heat stack and say what it means: state, resources, events, cause, drift."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import quote

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Drift, Phase, StackEvent, StackResource
from isthmus.core.stacks import TAG_INSTALLATION, TAG_NAMESPACE, Observed
from isthmus.core.why import root_cause
from isthmus.drivers.openstack import blockers, readings, states
from isthmus.drivers.openstack.readings import Native, Part
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.states import Step
from isthmus.errors import IsthmusError, NotFound

_NEWEST_EVENTS: Final = 40
_MOST_FAILURES: Final = 100
_DEEPEST: Final = 5
"""Heat's own limit of nesting, ``max_nested_stack_depth``."""
_PAGE: Final = 200
_STALLED: Final = states.State(
    Phase.FAILED, Step.UPDATE, "Heat has lost what it was doing; it is asked once more"
)
_UNDOING: Final = states.of("ROLLBACK_IN_PROGRESS")
_A_MOMENT: Final = timedelta(seconds=60)
"""Within which Heat begins to roll back what failed; later its engine was killed before it did."""
_SOON: Final = timedelta(seconds=20)
"""How long a stack is looked at often anyway, so that more questions would be too many."""
_REMEMBERED: Final = 1000
"""Healthy stacks whose details are kept, about 5 kB each."""


class Observer:
    """Reads the stacks of one project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._settled: OrderedDict[str, tuple[Native, Observed]] = OrderedDict()

    async def find(self, name: str) -> Native | None:
        """Return the stack of that name or id, or None where there is none (any more)."""
        try:
            answer = await self._cloud.get("orchestration", f"/stacks/{quote(name, safe='')}")
        except NotFound:
            return None
        native = readings.read_stack(cast("Json", answer["stack"]))
        return None if states.of(native.status).phase is Phase.ABSENT else native

    async def observe(self, native: Native) -> Observed:
        """Say everything about a stack.

        A healthy stack that Heat shows as it was has the same resources and events, too: Heat is
        asked for those only once.
        """
        known = self._settled.get(native.id)
        if known is not None and known[0] == native:
            self._settled.move_to_end(native.id)
            return known[1]
        observed = await self._look(native)
        if observed.phase is Phase.READY and not observed.checking:
            self._settled[native.id] = (native, observed)
            if len(self._settled) > _REMEMBERED:
                self._settled.popitem(last=False)
        return observed

    async def _look(self, native: Native) -> Observed:
        state = states.of(native.status)
        # At once: a busy Heat takes seconds for each, and a stack's end is to be noticed soon.
        parts, raw, stalled, undoing = await asyncio.gather(
            self.parts(native), self._events(native), self.stalled(native), self.undoing(native)
        )
        types = {part.resource.logical_id: part.resource.type for part in parts}
        events = [readings.read_event(event, types) for event in raw]
        below: tuple[Part, ...] = ()
        if stalled:
            # Neither at work nor what it is wanted to be: so that it is asked for anew.
            state, native = _STALLED, replace(native, marks=replace(native.marks, digest=""))
        if undoing:
            state = _UNDOING
        if native.status.endswith("_FAILED"):
            below = await self.failed_parts(native)
            events = _merged(events, await self._nested_failures(native, raw, below))
        resources = tuple(part.resource for part in parts)
        left = await self._left(native, parts) if state.phase is Phase.WORKING else None
        shown = events if state.phase is Phase.FAILED else ()
        return Observed(
            phase=state.phase,
            native_status=native.status,
            native_id=native.id,
            digest=_digest(native),
            owner_uid=native.owner_uid,
            owner_namespace=native.tags.get(TAG_NAMESPACE, ""),
            owner_installation=native.tags.get(TAG_INSTALLATION, ""),
            outputs=native.outputs,
            resources=_with_failed(resources, below),
            events=tuple(events),
            message=_message(native, state.says, resources, shown) if state.says else "",
            blockers=await blockers.named(self._cloud, _stuck(native, resources, below)),
            drift=_drift(native, events, below),
            checking=state.phase is Phase.READY and state.step is Step.WAIT,
            left=left,
        )

    async def parts(self, native: Native, **query: Any) -> tuple[Part, ...]:
        """Return the stack's resources."""
        answer = await self._cloud.get("orchestration", f"{native.path}/resources", **query)
        found = cast("list[Json]", answer.get("resources", []))
        return tuple(readings.read_part(resource) for resource in found)

    async def stalled(self, native: Native) -> bool:
        """Tell whether Heat says that it works and has not done anything for long.

        An engine of Heat that is killed takes along what it was doing, and nobody goes on with it
        until the stack's timeout. A change or a deletion of the stack makes another engine do so.
        """
        if states.of(native.status).step is not Step.WAIT or not native.updated:
            return False
        long_ago = datetime.now(UTC) - timedelta(minutes=self._cloud.settings.stall_minutes)
        if readings.read_time(native.updated) > long_ago:
            return False
        return not await self._has_said_something(native, since=long_ago)

    async def undoing(self, native: Native) -> bool:
        """Tell whether Heat says that it failed and is about to roll that back."""
        if not native.rolls_back or native.status not in states.ROLLED_BACK:
            return False
        return await self._has_said_something(native, since=datetime.now(UTC) - _A_MOMENT)

    async def everything(self, native: Native) -> tuple[StackResource, ...]:
        """Return the resources at every depth, by their paths: ``pool/0/server``."""
        parts = await self.deep(native)
        where = readings.paths(parts)
        return tuple(readings.located(part, where) for part in parts)

    async def deep(self, native: Native) -> tuple[Part, ...]:
        """Return the resources at every depth."""
        return await self.parts(native, nested_depth=_DEEPEST)

    async def all(self, tag: str = "") -> tuple[Native, ...]:
        """Return all stacks of the project that are not part of others, newest first."""
        found: list[Native] = []
        marker: str | None = None
        while True:
            answer = await self._cloud.get(
                "orchestration", "/stacks", limit=_PAGE, marker=marker, tags=tag or None
            )
            page = [readings.read_stack(s) for s in cast("list[Json]", answer.get("stacks", []))]
            found += [n for n in page if states.of(n.status).phase is not Phase.ABSENT]
            if len(page) < _PAGE:
                return tuple(found)
            marker = page[-1].id

    async def _events(self, native: Native) -> list[Json]:
        """Return the newest events of the stack and its own resources, oldest first."""
        answer = await self._cloud.get(
            "orchestration", f"{native.path}/events", limit=_NEWEST_EVENTS, sort_dir="desc"
        )
        return cast("list[Json]", answer.get("events", []))[::-1]

    async def _has_said_something(self, native: Native, *, since: datetime) -> bool:
        """Tell whether there is an event so new, at whatever depth."""
        answer = await self._cloud.get(
            "orchestration",
            f"{native.path}/events",
            nested_depth=_DEEPEST,
            limit=1,
            sort_dir="desc",
        )
        newest = cast("list[Json]", answer.get("events", []))
        return any(readings.read_time(str(e["event_time"])) >= since for e in newest)

    async def _left(self, native: Native, parts: Sequence[Part]) -> int:
        """Return how many resources are not done; below the stack's own, those in work count."""
        deleting = native.status.startswith("DELETE_")
        own = [part for part in parts if _undone(part.resource.status, deleting=deleting)]
        if not any(part.nested_id for part in own) or _is_young(native):
            return len(own)
        try:
            deep = await self.parts(native, nested_depth=_DEEPEST, status="IN_PROGRESS")
        except IsthmusError:
            return len(own)  # It only says how soon to look again.
        return max(len(own), sum(1 for part in deep if not part.nested_id))

    async def failed_parts(self, native: Native) -> tuple[Part, ...]:
        """Return what failed in the stack, at every depth."""
        return await self.parts(native, nested_depth=_DEEPEST, status="FAILED")

    async def _nested_failures(
        self, native: Native, raw: Sequence[Json], below: Sequence[Part]
    ) -> list[StackEvent]:
        """Return the failures of the newest operation at every depth, under their paths.

        What is told of a nested stack itself is left out: it only repeats what happened in it.
        """
        answer = await self._cloud.get(
            "orchestration",
            f"{native.path}/events",
            nested_depth=_DEEPEST,
            resource_status="FAILED",
            limit=_MOST_FAILURES,
            sort_dir="desc",
        )
        where = readings.paths(below)
        types = {(p.stack_id, p.resource.logical_id): p.resource.type for p in below}
        began = _began(raw)
        found: list[tuple[int, StackEvent]] = []
        for event in cast("list[Json]", answer.get("events", []))[::-1]:
            stack = readings.stack_of(event)
            own = readings.is_of_stack(event)
            if (own and stack != native.id) or str(event["event_time"]) < began:
                continue
            above, name = where.get(stack, ""), str(event.get("resource_name", ""))
            read = readings.read_event(event, {name: types.get((stack, name), "")})
            path = f"{above}/{read.logical_id}" if above else read.logical_id
            depth = -1 if own else path.count("/")
            found.append((-depth, read.model_copy(update={"logical_id": path})))
        # Heat's clock has whole seconds: in one of them what is deeper came first.
        return [event for _, event in sorted(found, key=lambda pair: (pair[1].time, pair[0]))]


def _began(raw: Sequence[Json]) -> str:
    """Return when the newest operation began, in Heat's words."""
    beginnings = (
        str(event["event_time"])
        for event in reversed(raw)
        if readings.is_of_stack(event)
        and str(event.get("resource_status", "")).endswith("_IN_PROGRESS")
    )
    return next(beginnings, "")


def _merged(newest: Sequence[StackEvent], failures: Sequence[StackEvent]) -> list[StackEvent]:
    """Return both, each event once, oldest first; of one second the failures as they followed."""
    failed = {event.id for event in failures}
    both = [*(event for event in newest if event.id not in failed), *failures]
    return sorted(both, key=lambda event: event.time)


def _is_young(native: Native) -> bool:
    """Tell whether Heat has only just begun; its clock may be ahead of ours."""
    since = readings.read_time(native.updated) if native.updated else None
    return since is not None and datetime.now(UTC) - since < _SOON


def _undone(status: str, *, deleting: bool) -> bool:
    """Tell whether a resource has still to be made, changed or deleted, as far as it shows."""
    if deleting:
        return status != "DELETE_COMPLETE"
    return status.endswith("_IN_PROGRESS") or status == "INIT_COMPLETE"


def _digest(native: Native) -> str:
    """Return the digest that Heat has, or has tried in vain; a deletion leaves none."""
    return "" if native.status.startswith("DELETE_") else native.digest


def _message(
    native: Native,
    says: str,
    resources: Sequence[StackResource],
    failures: Sequence[StackEvent],
) -> str:
    cause = root_cause(failures)
    if cause is not None and cause.type != readings.STACK_TYPE:
        kind = f" ({cause.type})" if cause.type else ""
        return f"{says}: {cause.logical_id}{kind}: {cause.reason or cause.status}"
    busy = [f"{r.logical_id} ({r.type})" for r in resources if r.status.endswith("_IN_PROGRESS")]
    if busy:
        return f"{says} {', '.join(busy[:3])}{' …' if len(busy) > 3 else ''}"
    return f"{says}: {native.reason}" if failures and native.reason else says


def _causes(below: Sequence[Part]) -> list[StackResource]:
    """Return the failed resources that are no stacks themselves, under their paths."""
    where = readings.paths(below)
    return [readings.located(part, where) for part in below if not part.nested_id]


def _stuck(
    native: Native, resources: Sequence[StackResource], below: Sequence[Part]
) -> tuple[StackResource, ...]:
    """Return what a deletion could not remove: resources, or the stack as a whole."""
    if native.status != "DELETE_FAILED":
        return ()
    stuck = tuple(r for r in _causes(below) or resources if r.status == "DELETE_FAILED")
    whole = StackResource(
        logical_id=native.name,
        type=readings.STACK_TYPE,
        status=native.status,
        reason=native.reason,
    )
    return stuck or (whole,)


def _with_failed(
    resources: Sequence[StackResource], below: Sequence[Part]
) -> tuple[StackResource, ...]:
    """Return the stack's resources, marked where a check found them amiss, and failed deeper ones.

    Healthy members of nested stacks are left out: a pool of a hundred nodes would fill the status.
    """
    deeper = [r for r in _causes(below) if "/" in r.logical_id]
    return tuple(_marked(resource) for resource in (*resources, *deeper))


def _marked(resource: StackResource) -> StackResource:
    drifted = readings.amiss(resource)
    return resource.model_copy(update={"drifted": True}) if drifted else resource


def _drift(native: Native, events: Sequence[StackEvent], below: Sequence[Part]) -> Drift | None:
    """Read the outcome of a check, as long as nothing else has happened to the stack since."""
    if native.status not in ("CHECK_COMPLETE", "CHECK_FAILED"):
        return None
    checked = [e.time for e in events if e.status == native.status]
    causes = _causes(below)
    amiss = tuple(r.logical_id for r in causes if readings.amiss(r))
    return Drift(
        checked_at=max(checked, default=None),
        drifted=native.status == "CHECK_FAILED" and bool(amiss or not causes),
        resources=amiss,
    )
