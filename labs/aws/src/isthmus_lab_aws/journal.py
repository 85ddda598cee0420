"""The journal of running stack operations, so that one interrupted by `kill -9` goes on.

An operation is a tree of coroutine calls (`Work`) and the steps done so far. After a restart the
same tree runs again from its beginning: a step noted here answers from its note instead of acting
a second time, and an event already recorded is not recorded twice.
"""

from __future__ import annotations

import contextvars
import json
import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from isthmus_lab_aws.resource import Place, ResourceFailure


class Cancelled(ResourceFailure):
    """The operation was overtaken (its stack is being deleted) and stops at the next step."""

    def __init__(self) -> None:
        super().__init__("Resource creation cancelled")


@dataclass(slots=True)
class Work:
    """A coroutine by name, with arguments that are plain data or further `Work`."""

    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Step:
    """What a create or update made, before the operation's own record could hold it."""

    physical_id: str
    attributes: dict[str, Any]
    kind: str = ""
    stack: str = ""
    logical_id: str = ""
    seed: str = ""
    """ministack's seed of a generated name; the next update derives the same name from it."""


@dataclass(slots=True)
class Principal:
    """Whose rights a stack's resources are made with: the service role's, or else the caller's."""

    kind: str
    """root, user or role."""
    name: str = ""
    account: str = ""
    arn: str = ""


@dataclass(slots=True)
class Operation:
    """One create, update, delete, rollback or import of a stack."""

    id: str
    place: Place
    stack: str
    stack_id: str
    work: Work
    principal: Principal
    token: str = ""
    """The request's ClientRequestToken, which its events carry."""
    events_before: int = 0
    """How many events the stack had when the operation began."""
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    removed: set[str] = field(default_factory=set[str])
    recorded: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """Events (logical id, status) of before the restart, still to be met again."""
    held: dict[tuple[str, str], Any] = field(default_factory=dict[tuple[str, str], Any])
    """Events not told yet, by stack and logical id (see `events.py`)."""
    fresh: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    """Resources that this operation made, by stack and logical id."""
    policy: str = ""
    """The stack policy that holds for this update."""
    finished: threading.Event = field(default_factory=threading.Event)
    overtaken: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raise `Cancelled` once the operation is overtaken."""
        if self.overtaken.is_set():
            raise Cancelled

    def seen_before(self, logical_id: str, status: str) -> bool:
        """Whether this event was recorded before the restart; each is met once."""
        if self.recorded[logical_id, status] > 0:
            self.recorded[logical_id, status] -= 1
            return True
        return False


_running: contextvars.ContextVar[Operation | None] = contextvars.ContextVar("lab_operation")


def running() -> Operation | None:
    """The operation that this thread or task works for."""
    return _running.get(None)


def enter(operation: Operation) -> None:
    """Work for `operation` from here on in this context."""
    _running.set(operation)


def new_operation(place: Place, stack: str, stack_id: str, work: Work) -> Operation:
    """An operation that begins now, with the caller's rights unknown (root) so far."""
    return Operation(uuid.uuid4().hex, place, stack, stack_id, work, Principal("root"))


class Journal:
    """All operations under way. Kept by the snapshots, together with the state it speaks of."""

    def __init__(self) -> None:
        self._operations: dict[str, Operation] = {}
        self._lock = threading.Lock()

    def open(self, operation: Operation) -> None:
        """Note an operation before its first step."""
        with self._lock:
            self._operations[operation.id] = operation

    def close(self, operation: Operation) -> None:
        """Forget an operation that came to its end."""
        with self._lock:
            self._operations.pop(operation.id, None)
        operation.finished.set()

    def of_stack(self, place: Place, stack: str) -> Operation | None:
        """The operation under way on a stack."""
        with self._lock:
            found = [
                operation
                for operation in self._operations.values()
                if operation.place == place and operation.stack == stack
            ]
        return found[-1] if found else None

    def all(self) -> list[Operation]:
        """Every operation under way, oldest first."""
        with self._lock:
            return list(self._operations.values())

    def dump(self) -> bytes:
        """The journal as JSON."""
        return json.dumps([_to_json(operation) for operation in self.all()]).encode()

    def load(self, saved: bytes) -> None:
        """Take over the operations that a former process left unfinished."""
        for document in json.loads(saved):
            self.open(_from_json(document))


def _to_json(operation: Operation) -> dict[str, Any]:
    return {
        "id": operation.id,
        "place": asdict(operation.place),
        "stack": operation.stack,
        "stack_id": operation.stack_id,
        "work": _work_to_json(operation.work),
        "principal": asdict(operation.principal),
        "token": operation.token,
        "events_before": operation.events_before,
        "policy": operation.policy,
        "steps": {key: asdict(step) for key, step in operation.steps.items()},
        "removed": sorted(operation.removed),
    }


def _from_json(document: Mapping[str, Any]) -> Operation:
    return Operation(
        id=document["id"],
        place=Place(**document["place"]),
        stack=document["stack"],
        stack_id=document["stack_id"],
        work=_work_from_json(document["work"]),
        principal=Principal(**document["principal"]),
        token=document["token"],
        events_before=document["events_before"],
        policy=document["policy"],
        steps={key: Step(**step) for key, step in document["steps"].items()},
        removed=set(document["removed"]),
    )


def _work_to_json(work: Work) -> dict[str, Any]:
    return {
        "name": work.name,
        "arguments": {
            key: {"$work": _work_to_json(value)} if isinstance(value, Work) else value
            for key, value in work.arguments.items()
        },
    }


def _work_from_json(document: Mapping[str, Any]) -> Work:
    def revive(value: Any) -> Any:
        if isinstance(value, dict) and "$work" in value:
            return _work_from_json(cast("dict[str, Any]", value)["$work"])
        return cast("Any", value)

    return Work(
        document["name"], {key: revive(value) for key, value in document["arguments"].items()}
    )
