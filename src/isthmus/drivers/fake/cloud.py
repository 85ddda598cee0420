"""The state of a fake account, and the passing of time in it."""

import itertools
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Drift, StackEvent
from isthmus.core.stacks import Change, Verb
from isthmus.errors import IsthmusError
from isthmus.ports import Clock

_EVENTS_KEPT = 50
STACK_TYPE = "Fake::Stack"


@dataclass(slots=True)
class FakeResource:
    """One resource. ``actual`` is what it is, ``properties`` what the stack made it."""

    type: str
    physical_id: str
    properties: Json
    actual: Json
    stateful: bool = False
    undeletable: str = ""
    state: str = "running"
    status: str = "CREATE_COMPLETE"
    labels: dict[str, str] = field(default_factory=dict[str, str])
    """What is put on it past the stack."""


@dataclass(slots=True)
class Work:
    """An operation in progress: its steps, with the time at which each ends."""

    verb: str
    steps: deque[tuple[datetime, Change]]
    wanted: Mapping[str, Json]
    digest: str
    before: dict[str, FakeResource]
    outputs: Json


@dataclass(slots=True)
class FakeStack:
    """One stack."""

    name: str
    id: str
    status: str
    tags: Mapping[str, str]
    digest: str = ""
    resources: dict[str, FakeResource] = field(default_factory=dict[str, FakeResource])
    outputs: dict[str, str] = field(default_factory=dict[str, str])
    events: deque[StackEvent] = field(default_factory=lambda: deque(maxlen=_EVENTS_KEPT))
    work: Work | None = None
    message: str = ""
    blockers: tuple[str, ...] = ()
    drift: Drift | None = None
    checked_until: datetime | None = None
    """Until then it is looked for drift, and nothing is said of it."""


@dataclass(slots=True)
class User:
    """One credential that somebody may log in with."""

    password: str
    tags: Mapping[str, str]


@dataclass(slots=True)
class Started:
    """One day-2 action that was started."""

    ends: datetime
    stack: str
    resource: str
    state: str
    result: Json


class FakeCloud:
    """One account.

    Args:
        clock: The time; work proceeds as it passes, whenever somebody looks.
        latency_seconds: How long each resource takes, unless the template says otherwise.
    """

    def __init__(self, clock: Clock, *, latency_seconds: float = 0) -> None:
        self.clock = clock
        self.latency_seconds = latency_seconds
        self.changeable = False
        """It takes a change even while it works, as a Kubernetes cluster does."""
        self.check_seconds: float = 0
        """How long it looks for drift."""
        self.services: frozenset[str] = frozenset()
        """What it says that it has."""
        self.stacks: dict[str, FakeStack] = {}
        self.users: dict[str, User] = {}
        self.started: dict[str, Started] = {}
        self.calls: Counter[str] = Counter()
        self._failures: dict[str, deque[IsthmusError]] = {}
        self._ids = itertools.count(1)

    def fail_next(self, call: str, *errors: IsthmusError) -> None:
        """Have the next calls of a name fail, one with each error."""
        self._failures.setdefault(call, deque()).extend(errors)

    def called(self, call: str) -> None:
        """Count a call, and fail it if somebody asked for that."""
        self.calls[call] += 1
        waiting = self._failures.get(call)
        if waiting:
            raise waiting.popleft()

    def tamper(self, stack: str, resource: str, name: str, value: Any) -> None:
        """Change a property behind our back."""
        self.stacks[stack].resources[resource].actual[name] = value

    def login(self, user: str, password: str) -> bool:
        """Try a credential."""
        known = self.users.get(user)
        return known is not None and known.password == password

    def new_id(self, prefix: str) -> str:
        """Return an id that was never used."""
        return f"{prefix}-{next(self._ids):06d}"

    def look(self, name: str) -> FakeStack | None:
        """Return a stack as it is now; its work has gone on meanwhile."""
        stack = self.stacks.get(name)
        if stack is not None and stack.work is not None:
            self._advance(stack, stack.work)
        return self.stacks.get(name)

    def begin(self, stack: FakeStack, work: Work) -> None:
        """Start an operation."""
        stack.work = work
        stack.status = f"{work.verb}_IN_PROGRESS"
        stack.message = ""
        stack.blockers = ()
        self.record(stack, stack.name, stack.status)

    def record(self, stack: FakeStack, logical_id: str, status: str, reason: str = "") -> None:
        """Add an event."""
        resource = stack.resources.get(logical_id)
        stack.events.append(
            StackEvent(
                id=self.new_id("event"),
                time=self.clock.now(),
                logical_id=logical_id,
                type=resource.type if resource is not None else STACK_TYPE,
                status=status,
                reason=reason,
            )
        )

    def ends(
        self, resources: Mapping[str, Json], changes: list[Change]
    ) -> deque[tuple[datetime, Change]]:
        """Say when each change will be done, one after the other."""
        due = self.clock.now()
        steps: deque[tuple[datetime, Change]] = deque()
        for change in changes:
            spec = resources.get(change.logical_id, {})
            due += timedelta(seconds=spec.get("seconds", self.latency_seconds))
            steps.append((due, change))
        return steps

    def _advance(self, stack: FakeStack, work: Work) -> None:
        now = self.clock.now()
        while work.steps and work.steps[0][0] <= now:
            _, change = work.steps.popleft()
            problem = self._take(stack, work, change)
            if problem:
                self._give_up(stack, work, change, problem)
                return
        if not work.steps:
            self._finish(stack, work)

    def _take(self, stack: FakeStack, work: Work, change: Change) -> str:
        """Take one step; return what went wrong."""
        if change.verb is Verb.DELETE:
            return self._remove(stack, change.logical_id)
        spec = work.wanted[change.logical_id]
        if spec.get("failWith"):
            return str(spec["failWith"])
        self._put(stack, change, spec)
        return ""

    def _remove(self, stack: FakeStack, logical_id: str) -> str:
        resource = stack.resources.get(logical_id)
        if resource is None:
            return ""
        if resource.undeletable:
            return resource.undeletable
        self.record(stack, logical_id, "DELETE_COMPLETE")
        del stack.resources[logical_id]
        return ""

    def _put(self, stack: FakeStack, change: Change, spec: Json) -> None:
        former = stack.resources.get(change.logical_id)
        keeps = former is not None and change.verb is Verb.UPDATE
        verb = "UPDATE" if former is not None else "CREATE"
        properties: Json = spec.get("properties", {})
        stack.resources[change.logical_id] = FakeResource(
            type=spec["type"],
            physical_id=former.physical_id if former is not None and keeps else self.new_id("res"),
            properties=properties,
            actual=dict(properties),
            stateful=bool(spec.get("stateful")),
            undeletable=spec.get("undeletable", ""),
            state=former.state if former is not None else "running",
            status=f"{verb}_COMPLETE",
            labels=former.labels if former is not None and keeps else {},
        )
        self.record(stack, change.logical_id, f"{verb}_COMPLETE")

    def _give_up(self, stack: FakeStack, work: Work, change: Change, problem: str) -> None:
        """Roll back, as stack engines do; a deletion stays where it stopped."""
        stack.work = None
        verb = "DELETE" if change.verb is Verb.DELETE else work.verb
        words = f"{change.logical_id} ({change.type}): {problem}"
        self.record(stack, change.logical_id, f"{verb}_FAILED", problem)
        if work.verb == "DELETE":
            stack.status, stack.blockers = "DELETE_FAILED", (words,)
        else:
            stack.resources = work.before
            rolled_back = "ROLLBACK" if work.verb == "CREATE" else "UPDATE_ROLLBACK"
            stack.status, stack.digest = f"{rolled_back}_COMPLETE", work.digest
        stack.message = f"{words}."
        self.record(stack, stack.name, stack.status)

    def _finish(self, stack: FakeStack, work: Work) -> None:
        stack.work = None
        if work.verb == "DELETE":
            del self.stacks[stack.name]
            return
        stack.status, stack.digest = f"{work.verb}_COMPLETE", work.digest
        stack.outputs = outputs_of(stack, work.outputs)
        self.record(stack, stack.name, stack.status)


def outputs_of(stack: FakeStack, outputs: Json) -> dict[str, str]:
    """Fill in ``${Resource.attribute}`` and ``${stack.name}``."""
    values = {"stack.name": stack.name, "stack.id": stack.id}
    groups: dict[str, dict[str, str]] = {}
    for logical_id, resource in stack.resources.items():
        group, _, index = logical_id.rpartition("-")
        if group and index.isdigit():
            groups.setdefault(group, {})[index] = resource.physical_id
    values |= {f"{name}.members": orjson.dumps(found).decode() for name, found in groups.items()}
    for logical_id, resource in stack.resources.items():
        facts = {
            "id": resource.physical_id,
            "host": f"{resource.physical_id}.fake.test",
            "port": "5432",
            "state": resource.state,
        }
        for name, value in (facts | resource.properties).items():
            values[f"{logical_id}.{name}"] = str(value)
    return {name: _filled(str(text), values) for name, text in outputs.items()}


def _filled(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text
