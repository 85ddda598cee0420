"""Each create, update and delete of a stack's resource passes here on its way to its type.

The engine adds what ministack leaves out: time and intermediate states, guards against existing
and protected things, faults, rights, the stack policy, and a note in the journal of what was done.
"""

from __future__ import annotations

import hashlib
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from time import monotonic
from typing import Protocol

from isthmus_lab_aws import journal, lab, ministack, registration
from isthmus_lab_aws.events import Events
from isthmus_lab_aws.faults import Faults, Rule
from isthmus_lab_aws.gate import Gate
from isthmus_lab_aws.gateway import Arrived
from isthmus_lab_aws.journal import Cancelled, Operation, Step
from isthmus_lab_aws.resource import Answer, Physical, Request, ResourceFailure, ResourceType

_LOOK_SECONDS = 0.02
"""How soon a step that is held up sees that its rule was taken away."""


class Refusal(Protocol):
    """A check before a step: returns why it is refused, or raises `ResourceFailure`."""

    def __call__(self, operation: str, kind: ResourceType, request: Request) -> str | None:
        """The reason, or None."""
        ...


class Engine:
    """Runs resource steps. `changed` is called after each change of state worth keeping."""

    def __init__(self, gate: Gate, faults: Faults, changed: Callable[[], None]) -> None:
        self.events = Events(changed)
        self._gate = gate
        self._faults = faults
        self._changed = changed
        self._types: dict[str, ResourceType] = {}
        self._refusals: list[Refusal] = []
        self._imports_known = False

    def add(self, types: Iterable[ResourceType]) -> None:
        """Take over these types; a later one of the same name wins."""
        for kind in types:
            self._types[kind.name] = kind
            registration.register(kind)

    async def import_gatekeeper(self, arrived: Arrived) -> Answer | None:
        """Before the first import, make the types known that can be imported."""
        given = arrived.call.parameters
        imports = given.get("ChangeSetType") == "IMPORT" or given.get("ImportExistingResources")
        if imports and not self._imports_known:
            registration.register_imports(self._types.values())
            self._imports_known = True
        return None

    def refuse_by(self, refusal: Refusal) -> None:
        """Ask `refusal` before each step, after those asked already."""
        self._refusals.append(refusal)

    def types(self) -> Mapping[str, ResourceType]:
        """The types that the lab added or changed, by name."""
        return self._types

    def create(self, name: str, request: Request) -> Physical:
        """Make a resource, slowly; on failure after it was made, unmake it again."""
        kind = self._kind(name)
        self.events.creating(request)
        key = _key("create", name, request)
        operation = journal.running()
        step = operation.steps.get(key) if operation else None
        loss: Rule | None = None
        if step is None:
            loss = self._check("create", kind, request)
            reason = kind.taken(request.place, request.properties)
            if reason:
                raise ResourceFailure(reason, "AlreadyExists")
            if kind.composite:
                self._clear_away(request)
            step = self._make(key, name, request, self._passage(kind), lambda: kind.create(request))
        else:
            ministack.set_name_seed(step.seed)
        made = Physical(step.physical_id, step.attributes)
        self.events.created(name, request, made.id)
        try:
            self._take_time(kind, request, made.id, "creating", kind.delays.create)
            _lose(loss)
        except ResourceFailure:
            self._unmake(kind, request, made)
            raise
        return made

    def update(self, name: str, request: Request) -> Physical:
        """Change a resource in place, or replace it where a property demands it."""
        kind = self._kind(name)
        if request.properties == request.old_properties:
            return Physical(request.physical_id, request.attributes)
        self.events.updating(request)
        key = _key("update", name, request)
        operation = journal.running()
        step = operation.steps.get(key) if operation else None
        loss: Rule | None = None
        if step is None:
            loss = self._check("update", kind, request)
            # A replacement passes the gate itself, in the create that it is.
            replaces = ministack.replaces(kind.name, request)
            passage = nullcontext() if replaces else self._passage(kind)
            step = self._make(
                key, name, request, passage, lambda: ministack.run_update(kind, request)
            )
        if step.physical_id == request.physical_id:
            # A replacement was created through `create` and took its time there.
            self._take_time(kind, request, step.physical_id, "modifying", kind.delays.update)
        _lose(loss)
        return Physical(step.physical_id, step.attributes)

    def delete(self, name: str, request: Request) -> None:
        """Remove a resource, slowly, unless it refuses."""
        if not name:
            return  # A rollback that goes on after a restart meets what it had removed already.
        kind = self._kind(name)
        key = _key("delete", name, request)
        operation = journal.running()
        if operation and key in operation.removed:
            return
        tell_end = self.events.deleting(name, request)
        loss = self._check("delete", kind, request)
        reason = kind.undeletable(request.place, request.physical_id)
        if reason:
            raise ResourceFailure(reason, "ResourceConflict")
        self._take_time(kind, request, request.physical_id, "deleting", kind.delays.delete)
        with self._passage(kind):
            kind.delete(request)
            if operation:
                operation.removed.add(key)
        self._changed()
        if tell_end is not None:
            tell_end()
        _lose(loss)

    def snapshot(self, name: str, request: Request) -> None:
        """Take the snapshot that `DeletionPolicy: Snapshot` promises."""
        kind = self._kind(name)
        with self._passage(kind):
            kind.snapshot(request)
        self._changed()

    def find(self, name: str, identifier: Mapping[str, str]) -> Physical:
        """The existing resource that an import adopts."""
        return self._kind(name).find(ministack.here(), identifier)

    def _kind(self, name: str) -> ResourceType:
        kind = self._types.get(name)
        if kind is None:
            kind = ministack.native(name)
        return kind

    def _check(self, operation: str, kind: ResourceType, request: Request) -> Rule | None:
        """Raise what forbids the step; return the fault that strikes once its work is done."""
        under_way = journal.running()
        if under_way and operation != "delete":
            under_way.check()
        rule = self._faults.of_step(kind.name, operation, request.logical_id)
        if rule is not None and rule.effect in ("delay", "timeout"):
            _hold(under_way, rule, cancellable=operation != "delete")
        if rule is not None and rule.effect not in ("delay", "lose"):
            raise _failure(rule)
        for refusal in self._refusals:
            reason = refusal(operation, kind, request)
            if reason:
                raise ResourceFailure(reason, "InvalidRequest")
        return rule if rule is not None and rule.effect == "lose" else None

    def _make(
        self,
        key: str,
        name: str,
        request: Request,
        passage: AbstractContextManager[None],
        act: Callable[[], Physical],
    ) -> Step:
        operation = journal.running()
        with passage:
            made = act()
            step = Step(
                made.id,
                dict(made.attributes),
                name,
                request.stack,
                request.logical_id,
                ministack.name_seed(),
            )
            if operation:
                operation.steps[key] = step
        self._changed()
        return step

    def _clear_away(self, request: Request) -> None:
        """Remove what an interrupted attempt at this nested stack made: the next one is named anew.

        ministack removes what the child's own record holds; a step may be noted here only.
        """
        operation = journal.running()
        if operation is None:
            return
        prefix = f"{request.stack}-{request.logical_id}-"
        for key, step in list(operation.steps.items()):
            if step.stack.startswith(prefix):
                left = Request(request.place, step.stack, step.logical_id, {}, step.physical_id)
                with self._gate.shared():
                    self._kind(step.kind).delete(left)
                    del operation.steps[key]
                self._changed()

    def _passage(self, kind: ResourceType) -> AbstractContextManager[None]:
        return nullcontext() if kind.composite else self._gate.shared()

    def _unmake(self, kind: ResourceType, request: Request, made: Physical) -> None:
        with self._passage(kind):
            kind.delete(_with_physical(request, made))
            operation = journal.running()
            if operation:
                operation.steps.pop(_key("create", kind.name, request), None)
        self._changed()

    def _take_time(
        self, kind: ResourceType, request: Request, physical_id: str, state: str, time: timedelta
    ) -> None:
        operation = journal.running()
        kind.begin(request.place, physical_id, state)
        try:
            _wait(operation, lab.current().seconds(time), cancellable=state != "deleting")
        finally:
            if state != "deleting":
                kind.settle(request.place, physical_id)


def reason(failure: ResourceFailure) -> str:
    """The event's reason in the words of CloudFormation's resource handlers."""
    if isinstance(failure, Cancelled):
        return str(failure)
    return (
        f'Resource handler returned message: "{failure}" '
        f"(RequestToken: {uuid.uuid4()}, HandlerErrorCode: {failure.code})"
    )


def _failure(rule: Rule) -> ResourceFailure:
    if rule.effect == "throttle":
        return ResourceFailure("Rate exceeded", "Throttling")
    code = "GeneralServiceException" if rule.code == "InternalFailure" else rule.code
    return ResourceFailure(rule.message, code)


def _lose(rule: Rule | None) -> None:
    if rule is not None:
        raise _failure(rule)


def _hold(operation: Operation | None, rule: Rule, *, cancellable: bool) -> None:
    """Wait as a rule says, but no longer than it is in force."""
    deadline = monotonic() + rule.seconds
    while (left := deadline - monotonic()) > 0 and not rule.replaced.is_set():
        _wait(operation, min(left, _LOOK_SECONDS), cancellable=cancellable)


def _wait(operation: Operation | None, seconds: float, *, cancellable: bool) -> None:
    """Wait on a worker thread; an overtaken operation wakes up and ends with `Cancelled`."""
    closing = lab.current().closing
    if operation is None or not cancellable:
        closing.wait(seconds)
    elif operation.overtaken.wait(seconds):
        raise Cancelled
    if closing.is_set():
        # The journal keeps the operation for the next start; this thread ends with the process.
        threading.Event().wait()


def _key(operation: str, name: str, request: Request) -> str:
    identity = [
        operation,
        name,
        request.stack,
        request.logical_id,
        request.physical_id,
        request.properties if operation == "update" else None,
    ]
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()


def _with_physical(request: Request, made: Physical) -> Request:
    return Request(
        request.place,
        request.stack,
        request.logical_id,
        request.properties,
        physical_id=made.id,
        attributes=made.attributes,
    )
