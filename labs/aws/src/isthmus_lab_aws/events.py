"""Stack events as CloudFormation tells them, where ministack tells them otherwise.

During an update ministack tells UPDATE events of every resource, of unchanged and of new ones too,
and none of the cleanup. AWS tells nothing of an unchanged resource, CREATE events of a new one,
"Resource creation Initiated" once there is a physical id, and the cleanup's deletes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from isthmus_lab_aws import journal, ministack
from isthmus_lab_aws.journal import Operation
from isthmus_lab_aws.resource import Request

CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"


@dataclass(slots=True)
class Event:
    """One event, with ministack's arguments."""

    stack_id: str
    stack: str
    logical_id: str
    kind: str
    status: str
    more: tuple[Any, ...] = ()
    named: dict[str, Any] = field(default_factory=dict[str, Any])
    before: str = ""
    """The resource's status of before this event, where the event is held."""


class Events:
    """Takes the place of ministack's `_add_event`. `changed` is called after each event."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed

    def add(  # ministack's signature.
        self,
        stack_id: str,
        stack: str,
        logical_id: str,
        kind: str,
        status: str,
        *more: Any,
        **named: Any,
    ) -> None:
        """Tell an event now, later, or not at all."""
        event = Event(stack_id, stack, logical_id, kind, status, more, named)
        operation = journal.running()
        if operation is None or logical_id == stack:
            self._tell(operation, event)
            return
        key = (stack, logical_id)
        if status == "UPDATE_IN_PROGRESS" and not more and not named.get("reason"):
            event.before = str((_record_of(event) or {}).get("ResourceStatus", ""))
            operation.held[key] = event
            return
        held = operation.held.pop(key, None)
        if held is not None and status == "UPDATE_COMPLETE":
            _correct_record(event, held.before or status)
            return  # Nothing was done to it.
        if key in operation.fresh:
            event.status = status.replace("UPDATE_", "CREATE_")
            _correct_record(event, event.status)
        self._tell(operation, event)

    def creating(self, request: Request) -> None:
        """A resource is about to be made."""
        operation = journal.running()
        if operation is None:
            return
        held = operation.held.pop((request.stack, request.logical_id), None)
        if held is not None:
            operation.fresh.add((request.stack, request.logical_id))
            held.status = "CREATE_IN_PROGRESS"
            self._tell(operation, held)

    def created(self, kind: str, request: Request, physical_id: str) -> None:
        """A resource has its physical id; the wait for it begins."""
        operation = journal.running()
        record = ministack.stack_record(request.stack)
        if operation is None or record is None:
            return
        more = ("Resource creation Initiated", physical_id)
        status = "CREATE_IN_PROGRESS"
        identity = str(record["StackId"])
        self._tell(
            operation, Event(identity, request.stack, request.logical_id, kind, status, more)
        )

    def updating(self, request: Request) -> None:
        """A resource is about to be changed."""
        operation = journal.running()
        if operation is None:
            return
        held = operation.held.pop((request.stack, request.logical_id), None)
        if held is not None:
            self._tell(operation, held)

    def deleting(self, kind: str, request: Request) -> Callable[[], None] | None:
        """A resource is about to go; in the cleanup of an update the events are told here.

        Returns what tells the end, where ministack does not.
        """
        operation = journal.running()
        record = ministack.stack_record(request.stack) if request.stack else None
        if operation is None or record is None or record["StackStatus"] not in _CLEANED_UP:
            return None
        identity = str(record["StackId"])
        if record["StackStatus"] != CLEANUP:
            record["StackStatus"] = CLEANUP
            stack_kind = "AWS::CloudFormation::Stack"
            cleanup = Event(
                identity, request.stack, request.stack, stack_kind, CLEANUP, ("", identity)
            )
            self._tell(operation, cleanup)

        def tell(status: str) -> None:
            more = ("", request.physical_id)
            self._tell(
                operation, Event(identity, request.stack, request.logical_id, kind, status, more)
            )

        tell("DELETE_IN_PROGRESS")
        return lambda: tell("DELETE_COMPLETE")

    def _tell(self, operation: Operation | None, event: Event) -> None:
        if operation and operation.seen_before(event.logical_id, event.status):
            return
        ministack.original("_add_event")(
            event.stack_id,
            event.stack,
            event.logical_id,
            event.kind,
            event.status,
            *event.more,
            **event.named,
        )
        self._changed()


_CLEANED_UP = frozenset({"UPDATE_IN_PROGRESS", CLEANUP})


def _record_of(event: Event) -> dict[str, Any] | None:
    record = ministack.stack_record(event.stack) or {}
    return record.get("_resources", {}).get(event.logical_id)


def _correct_record(event: Event, status: str) -> None:
    resource = _record_of(event)
    if resource is not None:
        resource["ResourceStatus"] = status
