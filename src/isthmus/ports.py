"""Every seam of the system, on one page. Read this file first.

A port says what the rest of the system may rely on. Implementations live in ``isthmus.drivers``
(clouds) and ``isthmus.runtime`` (stores), and each one passes the port's contract tests in
``tests/contract``. Every failure is raised as an ``isthmus.errors.IsthmusError``.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

from isthmus.api.meta import Adopt, Json
from isthmus.core.findings import Finding as Finding
from isthmus.core.nodes import ClusterNode, ClusterPod, ControlPlaneWish, Eviction, JoinToken
from isthmus.core.stacks import Changes, NativeStack, Observed, Owned, StackName


class StackEngine(Protocol):
    """One account on one cloud, seen through that cloud's own stack engine.

    Every call returns as soon as the engine has accepted it and is idempotent: ``apply`` of an
    unchanged stack and ``delete`` of an absent one do nothing. A call may be repeated after a crash
    at any point; it then goes on where the first one stopped.
    """

    async def preview(self, stack: NativeStack) -> Changes:
        """Say what ``apply`` would do, and leave nothing behind."""
        ...

    async def observe(self, name: StackName) -> Observed:
        """Look, and change nothing. An absent stack is ``Phase.ABSENT``, not an error."""
        ...

    async def apply(self, stack: NativeStack) -> None:
        """Start creating or updating, and keep ``stack.digest`` beside the native stack.

        Raises:
            AlreadyExists: The name belongs to a stack that does not bear our uid.
            ApprovalRequired: It would lose data and ``replacement_approved`` is false.
        """
        ...

    async def delete(self, stack: NativeStack) -> None:
        """Take the next step of the deletion: ``pre_delete`` steps in order, then the stack.

        Call it until ``observe`` says ABSENT. Raises Forbidden for a stack that is not ours.
        """
        ...

    async def adopt(self, stack: NativeStack, adopt: Adopt) -> None:
        """Start taking over a stack, or importing the resources that ``adopt`` names."""
        ...

    async def check_drift(self, name: StackName) -> None:
        """Start looking for drift; a later ``observe`` carries the result."""
        ...

    async def owned(self) -> tuple[Owned, ...]:
        """List everything in the account that bears our tag and this installation's."""
        ...

    async def adoptable(self) -> tuple[Owned, ...]:
        """List the stacks in the account that bear nobody's tag, with an empty ``uid``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A request for one credential. ``id`` names it for ever and holds no secret."""

    id: str
    """Lower-case letters, digits and hyphens, at most 40 characters."""
    spec: Json
    """The strategy's rendered specification, from the offering."""
    parameters: Json
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


class CredentialSource(Protocol):
    """One strategy of making credentials, for example ``sql-user`` or ``iam-role``."""

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        """Make the credential and return its values, for example ``username`` and ``password``.

        The same id may be granted again after a crash: there is still one credential, and the
        returned values work.
        """
        ...

    async def revoke(self, grant: Grant) -> None:
        """Make it worthless and remove it; nothing happens where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCall:
    """A request for one day-2 action."""

    token: str
    """The same for every try of the same Operation."""
    spec: Json = field(repr=False)
    """The driver's rendered calls, from the offering. A cluster's key may be in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionState:
    """How far an action is."""

    done: bool
    handle: str = ""
    """What ``poll`` needs to find it again; shown to users, so no secret."""
    result: Json = field(default_factory=dict[str, object])
    message: str = ""


class Actions(Protocol):
    """The day-2 actions of a driver."""

    async def start(self, call: ActionCall) -> ActionState:
        """Start the action, once for a token.

        Raises:
            StateForbids: The target is in a state that does not allow it.
            StackFailed: The cloud refused or gave up.
        """
        ...

    async def poll(self, call: ActionCall, handle: str) -> ActionState:
        """Say how far it is. Raises StackFailed when it has failed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a connection says of itself."""

    account: str
    engine: str
    services: frozenset[str] = frozenset()
    """What the cloud has that stacks can use, by its own names, for example ``load-balancer``;
    ``core.automatic`` chooses by it. A driver of a cloud that always has all names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An open account."""

    engine: StackEngine
    credentials: Mapping[str, CredentialSource]
    """By strategy."""
    actions: Actions
    probe: Callable[[], Awaitable[Facts]]
    """Ask the cloud who we are. Raises Forbidden or Unavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How to reach an account: a Provider's spec with its Secret resolved."""

    provider: str
    region: str
    settings: Mapping[str, str]
    credentials: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    installation: str = ""
    """Which Isthmus this is; part of our tags, so that two never take each other's things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What a folder under ``isthmus/drivers`` exports as ``DRIVER``."""

    name: str
    """As written in ``Provider.spec.driver`` and as a key of an offering's ``stacks``."""
    settings: frozenset[str]
    """The settings it knows."""
    open: Callable[[Endpoint], AbstractAsyncContextManager[Connection]]
    """Connect; leaving the context disconnects. Raises InvalidSpec for a wrong setting."""
    lint: Callable[[Json], tuple[Finding, ...]] | None = None
    """Check a native template offline; paths are relative to the template."""
    generate: Callable[[str], Json] | None = None
    """Write an unreviewed Offering manifest for one native resource type."""


class ClusterNodes(Protocol):
    """The nodes of one Kubernetes cluster, through that cluster's own API.

    Every call is bounded in time and may be repeated. Failures: Unavailable (nobody answers, or the
    cluster cannot), Throttled, Forbidden (our certificate is not accepted, or may not do this),
    Conflict, and NotFound where it is said.
    """

    async def version(self) -> str:
        """Return the API server's version, for example ``v1.36.2``."""
        ...

    async def nodes(self) -> tuple[ClusterNode, ...]:
        """Return all nodes, sorted by name."""
        ...

    async def pods(self, node: str) -> tuple[ClusterPod, ...]:
        """Return the pods on a node; none where there is no such node."""
        ...

    async def cordon(self, node: str) -> None:
        """Have no new pod placed on it. Raises NotFound."""
        ...

    async def uncordon(self, node: str) -> None:
        """Allow pods on it again. Raises NotFound."""
        ...

    async def evict(self, pod: ClusterPod) -> Eviction:
        """Ask that very pod (by its uid) to go, as far as PodDisruptionBudgets allow.

        A pod that is gone, or was made anew under its name, counts as accepted.
        """
        ...

    async def delete_node(self, node: str) -> None:
        """Forget a node whose machine is gone, and with it the pods on it. Absent is fine."""
        ...

    async def issue_join_token(self, ttl: timedelta) -> JoinToken:
        """Make a token that lets machines join for so long, and remove expired ones of ours."""
        ...

    async def extend_join_token(self, token_id: str, ttl: timedelta) -> datetime:
        """Let a token live for so long from now, and return when it ends.

        Raises NotFound where it is gone, Forbidden for one that is not ours.
        """
        ...

    async def revoke_join_token(self, token_id: str) -> None:
        """Make a token worthless. Absent is fine; raises Forbidden for one that is not ours."""
        ...

    async def ask_control_plane(self, wish: ControlPlaneWish) -> None:
        """Ask the nodes of the control plane to upgrade themselves, instead of a former wish.

        It returns at once. Each node that ``upgrades_itself`` follows when all before it, by name,
        have the version and are ready; one that cannot says so in its ``upgrade_failure``.
        """
        ...


OpenCluster = Callable[[str], AbstractAsyncContextManager[ClusterNodes]]
"""Reach a cluster by its kubeconfig, given as text and held in memory only.

Leaving the context disconnects. No call goes out on entering. Raises InvalidSpec for a kubeconfig
that names nothing to connect to or asks us to run a program.
"""


@dataclass(frozen=True, slots=True)
class Api:
    """One resource of the Kubernetes API, for example ``Api("v1", "secrets")``."""

    group_version: str
    plural: str
    namespaced: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects, and the version from which a watch sees everything later."""

    items: tuple[Json, ...]
    version: str


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change of one object, or a bookmark that only carries a version."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Json


class Expired(Exception):
    """The version to watch from is too old: list again."""


class Store(Protocol):
    """Where objects live: a Kubernetes API, embedded or real.

    A write that returned is durable. Failures: Conflict (the object moved on), InvalidSpec,
    Forbidden, NotFound, AlreadyExists, Unavailable.
    """

    async def get(self, api: Api, namespace: str, name: str) -> Json | None:
        """Return the object, or None where there is none."""
        ...

    async def list(self, api: Api, namespace: str = "", selector: str = "") -> Listing:
        """Return all objects, of all namespaces where ``namespace`` is empty."""
        ...

    def watch(self, api: Api, since: str) -> AsyncIterator[WatchEvent]:
        """Yield changes after version ``since``, for ever. Raises Expired."""
        ...

    async def create(self, api: Api, obj: Json) -> Json:
        """Create and return what is stored."""
        ...

    async def replace(self, api: Api, obj: Json, subresource: str = "") -> Json:
        """Replace the object (or its status) if its resourceVersion is still the newest."""
        ...

    async def patch(self, api: Api, namespace: str, name: str, patch: Json) -> Json:
        """Apply a JSON merge patch (RFC 7386)."""
        ...

    async def delete(self, api: Api, namespace: str, name: str, uid: str = "") -> None:
        """Ask for the deletion; with ``uid`` only of that very object. Absent is fine."""
        ...


class Clock(Protocol):
    """The time, so that tests can hold it."""

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        ...
