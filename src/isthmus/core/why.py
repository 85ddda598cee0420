"""Why is it not ready: one causal chain from what the user asked for down to the native event.

The caller collects the objects on the way (binding, instance, stack, and the Provider where it is
at fault); this decides what each adds and where the chain ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from isthmus.api.meta import Condition, Resource
from isthmus.api.v1alpha1 import Stack, StackEvent

_CONSEQUENCES = ("cancelled", "canceled", "the following resource(s) failed")
"""Words of engines for a failure that only follows from another one, in lower case."""
_UNTOLD = "unknown (server error, code unknown)"
"""Of a server that failed, and of which Nova has not yet noted why: another try may tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One step of the chain; each is caused by the next."""

    subject: str
    """For example ``ServiceInstance team-a/db`` or ``AWS::RDS::DBInstance Writer``."""
    state: str
    """A reason or a native status."""
    message: str = ""
    since: datetime | None = None


def why(objects: Sequence[Resource[Any, Any]]) -> tuple[Link, ...]:
    """Return the chain for objects ordered from the one asked about to the deepest.

    A ready object adds nothing, except as the only link: then there is nothing to explain.
    """
    links: list[Link] = []
    for obj in objects:
        link = _link(obj)
        if link is not None:
            links.append(link)
        if isinstance(obj, Stack):
            links += _native(obj)
    return tuple(links) or (_fine(objects[0]),)


def root_cause(events: Sequence[StackEvent]) -> StackEvent | None:
    """Return the failure that others follow from, in the engine's last operation.

    Engines cancel the siblings of what failed and then fail the stack: the cause is the first
    failure whose reason is not one of those and says something. Events are oldest first.
    """
    failed = [event for event in _last_operation(events) if "FAILED" in event.status.upper()]
    causes = [e for e in failed if e.reason and not _is_consequence(e)]
    return next(iter(causes or failed), None)


def _last_operation(events: Sequence[StackEvent]) -> Sequence[StackEvent]:
    """Events since the last time the stack itself was settled before its newest trouble."""
    start = 0
    troubled = max((i for i, e in enumerate(events) if "FAILED" in e.status.upper()), default=0)
    for index, event in enumerate(events[:troubled]):
        if _is_stack(event) and event.status.upper().endswith("_COMPLETE"):
            start = index + 1
    return events[start:]


def _is_stack(event: StackEvent) -> bool:
    return event.type.endswith("::Stack")


def _is_consequence(event: StackEvent) -> bool:
    reason = event.reason.lower()
    return any(words in reason for words in (*_CONSEQUENCES, _UNTOLD))


def _link(obj: Resource[Any, Any]) -> Link | None:
    ready = obj.condition("Ready")
    if obj.ready and not obj.deleting:
        return None
    if ready is None:
        state, message = "NotYetSeen", "No controller has looked at it yet."
    else:
        state, message = ready.reason, _stale(obj, ready) or ready.message
    since = obj.metadata.deletion_timestamp or (ready.last_transition_time if ready else None)
    return Link(subject=subject(obj), state=state, message=message, since=since)


def _stale(obj: Resource[Any, Any], ready: Condition) -> str:
    if ready.status == "True" and ready.observed_generation != obj.metadata.generation:
        return "Its spec has changed and no controller has looked at the change yet."
    return ""


def _native(stack: Stack) -> list[Link]:
    if stack.ready and not stack.deleting:
        return []
    event = root_cause(stack.status.events)
    if event is not None:
        return [_event_link(event)]
    busy = [r for r in stack.status.resources if r.status.upper().endswith("IN_PROGRESS")]
    return [
        Link(subject=f"{r.type} {r.logical_id}", state=r.status, message=r.reason) for r in busy[:1]
    ]


def _event_link(event: StackEvent) -> Link:
    return Link(
        subject=f"{event.type} {event.logical_id}".strip(),
        state=event.status,
        message=event.reason,
        since=event.time,
    )


def _fine(obj: Resource[Any, Any]) -> Link:
    ready = obj.condition("Ready")
    since = ready.last_transition_time if ready else None
    return Link(subject=subject(obj), state="Ready", message="There is nothing wrong.", since=since)


def subject(obj: Resource[Any, Any]) -> str:
    """Return how messages call an object: ``Stack team-a/db``."""
    meta = obj.metadata
    name = f"{meta.namespace}/{meta.name}" if meta.namespace else meta.name
    return f"{obj.names.kind} {name}"
