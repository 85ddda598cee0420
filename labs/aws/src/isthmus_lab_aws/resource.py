"""What a resource type and a service API of the lab promise: the seam that `types/*` is written on.

A type says what to make, change and remove; the engine (`engine.py`) does the rest for it: the
delay, the intermediate state, the guards, faults, rights, the journal that lets an interrupted
operation go on after a restart. Nothing here touches ministack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

Properties = Mapping[str, Any]


class ResourceFailure(Exception):
    """A create, update or delete is refused; the text is the event's reason, as AWS words it.

    `code` is CloudFormation's HandlerErrorCode: AlreadyExists, NotFound, AccessDenied,
    InvalidRequest, Throttling, ResourceConflict, GeneralServiceException...
    """

    def __init__(self, reason: str, code: str = "GeneralServiceException") -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call happens: twelve-digit account and region."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Physical:
    """A made resource: `Ref` gives `id`, `Fn::GetAtt` an entry of `attributes`."""

    id: str
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Request:
    """One operation on one resource of a stack.

    `properties` are resolved (no intrinsic is left) and carry the stack's tags. For a create,
    `physical_id` is empty; for an update, `old_properties` and `attributes` are what it has now.
    """

    place: Place
    stack: str
    logical_id: str
    properties: Properties
    physical_id: str = ""
    old_properties: Properties = field(default_factory=dict[str, Any])
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])

    def name(self, longest: int = 63) -> str:
        """A name made from the stack's and the resource's, where the template gives none."""
        return f"{self.stack}-{self.logical_id}".lower()[:longest].rstrip("-")


@dataclass(frozen=True, slots=True)
class Delays:
    """How long AWS takes, by experience; the lab multiplies it by its time scale."""

    create: timedelta = timedelta(seconds=5)
    update: timedelta = timedelta(seconds=5)
    delete: timedelta = timedelta(seconds=5)


class ResourceType:
    """One CloudFormation type that the lab adds, or whose behaviour in ministack it changes.

    A type of our own overrides `create`, `update` and `delete`. One that only guards or corrects
    what ministack does starts from `isthmus_lab_aws.ministack.NativeType` and calls `super()`.
    Every method may raise `ResourceFailure`. Methods run on worker threads, with account and
    region set.
    """

    name: str = ""
    delays: Delays = Delays()
    replacing: tuple[str, ...] | None = None
    """Properties whose change replaces the resource; None keeps what ministack knows."""
    generic: bool = False
    """True for a type that exists in the lab's memory only, checked by its schema."""
    composite: bool = False
    """True for a nested stack, whose own resources are journalled one by one."""

    def create(self, request: Request) -> Physical:
        """Make it. The answer is complete: the delay comes afterwards, from the engine."""
        raise NotImplementedError(self.name)

    def update(self, request: Request) -> Physical:
        """Change it in place from `request.old_properties` to `request.properties`."""
        raise NotImplementedError(self.name)

    def delete(self, request: Request) -> None:
        """Remove it. Promise: what is absent already is no error."""
        raise NotImplementedError(self.name)

    def snapshot(self, request: Request) -> None:
        """Keep what `DeletionPolicy: Snapshot` promises; called just before `delete`."""

    def find(self, place: Place, identifier: Mapping[str, str]) -> Physical:
        """The existing resource that an import adopts; `ResourceFailure` where there is none."""
        raise ResourceFailure(f"{self.name} does not support import operations in the lab.")

    def read(self, place: Place, physical_id: str) -> Properties | None:
        """What it is now, as properties of a template, for drift; None where it is gone.

        Only what is given is compared, so a type may read a part. A type that does not override
        this one is not checked for drift (or as ministack checks it).
        """
        raise NotImplementedError(self.name)

    def taken(self, place: Place, properties: Properties) -> str | None:
        """Why an existing thing of this name refuses a create; None where the name is free."""
        return None

    def undeletable(self, place: Place, physical_id: str) -> str | None:
        """Why a delete is refused: not empty, protected, still enabled; None where it may go."""
        return None

    def begin(self, place: Place, physical_id: str, state: str) -> None:
        """Show `creating`, `modifying` or `deleting` in the service's own API."""

    def settle(self, place: Place, physical_id: str) -> None:
        """Show the state that the service reports once the work is done."""


@dataclass(frozen=True, slots=True)
class Call:
    """One API call that arrived: who, where and what.

    `action` is the operation's name ("CreateCluster"); for REST services, which name none, it
    is empty. `parameters` holds the query protocol's or the JSON protocol's members.
    """

    service: str
    action: str
    place: Place
    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes
    parameters: Mapping[str, Any]
    principal: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer in the service's own protocol."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class ServiceApi(Protocol):
    """A service's direct API that the lab adds: the caller is known and allowed before it runs."""

    def handles(self, call: Call) -> bool:
        """Whether the call is this API's (by `call.service`, or its version)."""
        ...

    def resource(self, call: Call) -> str:
        """The ARN that the caller's policies are checked against; `*` where none is named."""
        ...

    def handle(self, call: Call) -> Answer:
        """Do it. Runs on a worker thread, with account and region set."""
        ...


@dataclass(frozen=True, slots=True)
class ApiHook:
    """A change to ministack's own API of a service, for the named actions (empty: all).

    `before` may answer in ministack's place (a refusal); `after` sees the answer and may replace
    it. Both run on worker threads, with account and region set.
    """

    service: str
    actions: frozenset[str]
    before: Callable[[Call], Answer | None] | None = None
    after: Callable[[Call, Answer], Answer] | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """State of our own that must survive `kill -9`, beside ministack's.

    `dump` gives JSON-able or pickled bytes and must be cheap (it runs after every call that may
    change something); `load` restores them at start, before the first call.
    """

    name: str
    dump: Callable[[], bytes]
    load: Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class Extension:
    """What one module of `types/` brings. Each module offers it as `EXTENSION`.

    `started` runs once after state is restored and the port is open (restart databases);
    `health` is merged into `/_lab/health`; `inventory` lists what ministack's state does not
    show, as (place, type, id), for `/_lab/state`.
    """

    types: tuple[ResourceType, ...] = ()
    apis: tuple[ServiceApi, ...] = ()
    hooks: tuple[ApiHook, ...] = ()
    saved: tuple[Saved, ...] = ()
    started: Callable[[], None] | None = None
    stopping: Callable[[], None] | None = None
    health: Callable[[], Mapping[str, Any]] | None = None
    inventory: Callable[[], list[tuple[Place, str, str]]] | None = None
