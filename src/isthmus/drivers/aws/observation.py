"""Read a CloudFormation stack and say what it means: state, resources, events, cause, drift."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Drift, Phase, StackEvent, StackResource
from isthmus.core.stacks import TAG_INSTALLATION, TAG_NAMESPACE, TAG_UID, Observed
from isthmus.core.why import root_cause
from isthmus.drivers.aws import states
from isthmus.drivers.aws.errors import clean
from isthmus.drivers.aws.session import Aws
from isthmus.drivers.aws.template import DIGEST_OUTPUT, Attempt, Verb, attempt, marked_digest
from isthmus.errors import NotFound

STACK_TYPE: Final = "AWS::CloudFormation::Stack"
_NEWEST_EVENTS = 40
_MOST_EVENTS = 500
_REMEMBERED = 1000
"""Healthy stacks whose details are kept, about 5 kB each."""
_DEEPEST = 5
REVIEW: Final = "REVIEW_IN_PROGRESS"
_OUR_NAME: Final = re.compile(r"^isthmus-.*-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$")
_BAD_DRIFT = frozenset({"MODIFIED", "DELETED"})


@dataclass(frozen=True, slots=True)
class Native:
    """A stack as DescribeStacks shows it."""

    name: str
    id: str
    status: str
    reason: str = ""
    tags: dict[str, str] = field(default_factory=dict[str, str])
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    version: tuple[object, ...] = ()
    """Differs once the stack has moved on."""
    drift_status: str = ""
    drift_checked_at: datetime | None = None
    parameters: tuple[str, ...] = ()
    nested: bool = False

    @property
    def digest(self) -> str:
        """The digest of what the stack has, whatever was tried since."""
        return marked_digest(self.outputs)

    @property
    def owner_uid(self) -> str:
        """Whose it is; empty: not ours.

        A stack that is only a change set has no tags yet; the uid at the end of its name speaks.
        """
        uid = self.tags.get(TAG_UID, "")
        if uid or self.status != REVIEW:
            return uid
        match = _OUR_NAME.match(self.name)
        return match[1] if match else ""


class Observer:
    """Reads the stacks of one account."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._settled: OrderedDict[str, tuple[Native, Observed]] = OrderedDict()

    async def find(self, name: str) -> Native | None:
        """Return the stack, or None where there is none (or only a deleted one)."""
        try:
            answer = await self._aws.call("cloudformation", "describe_stacks", StackName=name)
        except NotFound:
            return None
        native = read_stack(cast("Json", answer["Stacks"][0]))
        return None if native.status == "DELETE_COMPLETE" else native

    async def observe(self, native: Native) -> Observed:
        """Say everything about a stack.

        A healthy stack that DescribeStacks shows as it was has the same resources and events, too:
        AWS is asked for those only once, since it throttles whoever asks often.
        """
        known = self._settled.get(native.id)
        if known is not None and known[0] == native:
            self._settled.move_to_end(native.id)
            return known[1]
        observed = await self._look(native)
        if observed.phase is Phase.READY:
            self._settled[native.id] = (native, observed)
            if len(self._settled) > _REMEMBERED:
                self._settled.popitem(last=False)
        return observed

    async def _look(self, native: Native) -> Observed:
        resources = await self.resources(native.id)
        raw = await self._events(native.id)
        events = await self._with_nested(_operation(raw), depth=0)
        drift = await self._drift(native)
        tried = _last_attempt(raw)
        state = states.of(native.status)
        phase = _phase(native, state.phase, tried)
        shown = events if phase is Phase.FAILED else ()
        return Observed(
            phase=phase,
            native_status=native.status,
            native_id=native.id,
            digest=_digest(native, phase, tried),
            owner_uid=native.owner_uid,
            owner_namespace=native.tags.get(TAG_NAMESPACE, ""),
            owner_installation=native.tags.get(TAG_INSTALLATION, ""),
            outputs={k: v for k, v in native.outputs.items() if k != DIGEST_OUTPUT},
            resources=resources,
            events=_newest(raw, events),
            message=_message(native, state.says, resources, shown) if state.says else "",
            blockers=_blockers(native, resources, events),
            drift=drift,
        )

    async def resources(self, stack: str) -> tuple[StackResource, ...]:
        """Return the stack's resources."""
        found: list[StackResource] = []
        pages = self._aws.pages("cloudformation", "list_stack_resources", StackName=stack)
        async for page in pages:
            found += [read_resource(r) for r in page.get("StackResourceSummaries", [])]
        return tuple(found)

    async def all(self) -> tuple[Native, ...]:
        """Return all stacks of the account and region."""
        found: list[Native] = []
        async for page in self._aws.pages("cloudformation", "describe_stacks"):
            found += [read_stack(s) for s in cast("list[Json]", page.get("Stacks", []))]
        return tuple(found)

    async def _events(self, stack: str) -> list[Json]:
        """Return the events of the newest operation and what came with them, newest first."""
        found: list[Json] = []
        pages = self._aws.pages("cloudformation", "describe_stack_events", StackName=stack)
        async for page in pages:
            found += page.get("StackEvents", [])
            if len(found) >= _MOST_EVENTS or any(_begins(e) for e in found):
                break
        return found

    async def _with_nested(self, raw: Sequence[Json], depth: int) -> list[StackEvent]:
        """Return events with those of failed nested stacks between them, oldest first."""
        found: list[StackEvent] = []
        seen: set[str] = set()
        for event in raw:
            found.append(read_event(event))
            nested = str(event.get("PhysicalResourceId") or "")
            if depth < _DEEPEST and nested not in seen and _failed_nested(event):
                seen.add(nested)
                inner = await self._with_nested(_operation(await self._events(nested)), depth + 1)
                found += [_below(str(event["LogicalResourceId"]), e) for e in inner]
        return sorted(found, key=lambda e: e.time)

    async def _drift(self, native: Native) -> Drift | None:
        if not native.drift_status or native.drift_status == "NOT_CHECKED":
            return None
        drifted = native.drift_status == "DRIFTED"
        details = await self._drifted_fields(native.id) if drifted else ()
        return Drift(checked_at=native.drift_checked_at, drifted=drifted, resources=details)

    async def _drifted_fields(self, stack: str) -> tuple[str, ...]:
        found: list[str] = []
        more: Json = {}
        while True:
            page = await self._aws.call(
                "cloudformation",
                "describe_stack_resource_drifts",
                StackName=stack,
                StackResourceDriftStatusFilters=sorted(_BAD_DRIFT),
                **more,
            )
            for resource in cast("list[Json]", page.get("StackResourceDrifts", [])):
                found += drifted_fields(resource)
            if not page.get("NextToken"):
                return tuple(found)
            more = {"NextToken": page["NextToken"]}


def read_stack(stack: Json) -> Native:
    """Read one stack of DescribeStacks."""
    drift = cast("dict[str, Any]", stack.get("DriftInformation", {}))
    return Native(
        name=str(stack["StackName"]),
        id=str(stack.get("StackId", "")),
        status=str(stack["StackStatus"]),
        reason=clean(str(stack.get("StackStatusReason") or "")),
        tags={t["Key"]: t["Value"] for t in stack.get("Tags", [])},
        outputs={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])},
        version=(stack.get("StackId"), stack.get("LastUpdatedTime"), stack.get("DeletionTime")),
        drift_status=str(drift.get("StackDriftStatus", "")),
        drift_checked_at=drift.get("LastCheckTimestamp"),
        parameters=tuple(p["ParameterKey"] for p in stack.get("Parameters", [])),
        nested=bool(stack.get("ParentId")),
    )


def read_resource(resource: Json) -> StackResource:
    """Read one resource of ListStackResources."""
    drift = cast("dict[str, Any]", resource.get("DriftInformation", {}))
    return StackResource(
        logical_id=str(resource["LogicalResourceId"]),
        type=str(resource.get("ResourceType", "")),
        physical_id=str(resource.get("PhysicalResourceId") or ""),
        status=str(resource.get("ResourceStatus", "")),
        reason=clean(str(resource.get("ResourceStatusReason") or "")),
        drifted=drift.get("StackResourceDriftStatus") in _BAD_DRIFT,
    )


def read_event(event: Json) -> StackEvent:
    """Read one event of DescribeStackEvents."""
    return StackEvent(
        id=str(event["EventId"]),
        time=event["Timestamp"],
        logical_id=str(event.get("LogicalResourceId", "")),
        type=str(event.get("ResourceType", "")),
        status=str(event.get("ResourceStatus", "")),
        reason=clean(str(event.get("ResourceStatusReason") or "")),
    )


def drifted_fields(resource: Json) -> list[str]:
    """Name what differs, as paths in the template without ``Resources.``."""
    logical_id = str(resource["LogicalResourceId"])
    if resource.get("StackResourceDriftStatus") == "DELETED":
        return [f"{logical_id} (deleted)"]
    paths = [str(d["PropertyPath"]) for d in resource.get("PropertyDifferences", [])]
    return [f"{logical_id}.Properties{p.replace('/', '.')}" for p in paths] or [logical_id]


def _operation(raw: Sequence[Json]) -> list[Json]:
    """Return the events of the newest operation, oldest first.

    An operation begins where the stack itself goes into ``*_IN_PROGRESS`` by a request; its
    rollback and clean-up belong to it.
    """
    taken: list[Json] = []
    for event in raw:
        taken.append(event)
        if _begins(event):
            break
    return taken[::-1]


_BEGINNINGS = frozenset(
    {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS"}
)


def _begins(event: Json) -> bool:
    return _is_stack(event) and str(event.get("ResourceStatus")) in _BEGINNINGS


def _is_stack(event: Json) -> bool:
    return event.get("PhysicalResourceId") == event.get("StackId")


def _failed_nested(event: Json) -> bool:
    return (
        event.get("ResourceType") == STACK_TYPE
        and not _is_stack(event)
        and "FAILED" in str(event.get("ResourceStatus", ""))
        and bool(event.get("PhysicalResourceId"))
    )


def _below(parent: str, event: StackEvent) -> StackEvent:
    return event.model_copy(update={"logical_id": f"{parent}/{event.logical_id}"})


def _last_attempt(raw: Sequence[Json]) -> Attempt | None:
    """Read the token of the newest operation; None where somebody else started it."""
    tokens = (str(e.get("ClientRequestToken") or "") for e in raw if _is_stack(e))
    return attempt(next(tokens, ""))


def _phase(native: Native, phase: Phase, tried: Attempt | None) -> Phase:
    """Take a rolled-back update that was not ours for healthy: our state serves on."""
    if native.status == "UPDATE_ROLLBACK_COMPLETE" and tried is None and native.digest:
        return Phase.READY
    return phase


def _digest(native: Native, phase: Phase, tried: Attempt | None) -> str:
    """Return the digest that the engine has, or has tried in vain.

    After ``continue`` the stack is healthy again and the wanted state untried: no digest, so that
    the next ``apply`` tries it.
    """
    if phase is Phase.READY or tried is None:
        return native.digest
    if tried.verb is Verb.DELETE:
        return ""
    if tried.verb is Verb.CONTINUE and native.status == "UPDATE_ROLLBACK_COMPLETE":
        return ""
    return tried.digest


def _message(
    native: Native,
    says: str,
    resources: Sequence[StackResource],
    failures: Sequence[StackEvent],
) -> str:
    cause = root_cause(failures)
    if cause is not None:
        return f"{says}: {cause.logical_id} ({cause.type}): {cause.reason or cause.status}"
    busy = [f"{r.logical_id} ({r.type})" for r in resources if r.status.endswith("_IN_PROGRESS")]
    if busy:
        return f"{says} {', '.join(busy[:3])}{' …' if len(busy) > 3 else ''}"
    return f"{says}: {native.reason}" if native.reason else says


def _blockers(
    native: Native, resources: Sequence[StackResource], events: Sequence[StackEvent]
) -> tuple[str, ...]:
    """Name what cannot be deleted, and why; a resource may leave the reason to its event."""
    if native.status != "DELETE_FAILED":
        return ()
    said = {e.logical_id: e.reason for e in events if e.status == "DELETE_FAILED" and e.reason}
    return tuple(
        f"{r.logical_id} ({r.type}): {r.reason or said.get(r.logical_id) or r.status}"
        for r in resources
        if r.status == "DELETE_FAILED"
    )


def _newest(raw: Sequence[Json], events: Sequence[StackEvent]) -> tuple[StackEvent, ...]:
    """Return the newest events with all failures of the newest operation, oldest first."""
    newest = [read_event(e) for e in raw[:_NEWEST_EVENTS]]
    failures = [e for e in events if "FAILED" in e.status]
    merged = {e.id: e for e in [*newest, *failures]}
    return tuple(sorted(merged.values(), key=lambda e: e.time))
