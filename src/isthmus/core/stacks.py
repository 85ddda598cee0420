"""The native stack as plain values: what an engine is given and what it answers.

External names and tags are derived, never remembered: after a crash we find the same stack again.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType, cast

import orjson

from isthmus.api.meta import GROUP, Json
from isthmus.api.v1alpha1 import (
    Drift,
    Phase,
    Stack,
    StackEvent,
    StackResource,
    StackSpec,
)

StackName = NewType("StackName", str)

TAG_UID = f"{GROUP}/uid"
TAG_NAMESPACE = f"{GROUP}/namespace"
TAG_NAME = f"{GROUP}/name"
TAG_INSTALLATION = f"{GROUP}/installation"
"""Tag values that say whose a thing is. What lacks ``TAG_UID`` is never deleted."""

_NAME_ROOM = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeStack:
    """Everything an engine needs to realise a stack; secrets are resolved in it.

    Never log it: ``parameters`` may hold secrets.
    """

    name: StackName
    template: Json
    parameters: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    secret_parameters: frozenset[str] = frozenset()
    """Names of the parameters whose values nobody may see."""
    digest: str = ""
    """Of template, parameters and the versions of the Secrets; the engine keeps it beside the
    stack, so that it can say later what it has."""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    stateful: tuple[str, ...] = ()
    pre_delete: tuple[Json, ...] = ()
    ignore_fields: tuple[str, ...] = ()
    replacement_approved: bool = False
    adopted: bool = False
    """The stack was there before us: change it though it does not bear our tag yet."""
    former_owner: str = ""
    """Uid of an object of this installation that is gone: its stack may be adopted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the native engine says about a stack right now."""

    phase: Phase
    native_status: str = ""
    native_id: str = ""
    digest: str = ""
    owner_uid: str = ""
    """Value of our uid tag; empty: it is not ours."""
    owner_namespace: str = ""
    owner_installation: str = ""
    """Values of our other tags: where that owner is, or was."""
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    resources: tuple[StackResource, ...] = ()
    events: tuple[StackEvent, ...] = ()
    """The newest events, oldest first."""
    message: str = ""
    """While working: what is going on. When failed: the native cause, naming the resource."""
    blockers: tuple[str, ...] = ()
    """What keeps the engine from deleting: logical id, type and the engine's words."""
    drift: Drift | None = None
    checking: bool = False
    """The engine looks for drift: what it said of resources and drift before still counts."""
    changeable: bool = False
    """The engine takes a change even while it works."""
    left: int | None = None
    """While working: how many resources are not done yet; None where the engine does not tell."""


ABSENT = Observed(phase=Phase.ABSENT)


class Verb(StrEnum):
    """What would happen to one resource."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    MAY_REPLACE = "may-replace"
    DELETE = "delete"
    IMPORT = "import"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What would happen to one native resource."""

    verb: Verb
    logical_id: str
    type: str
    physical_id: str = ""
    properties: tuple[str, ...] = ()
    stateful: bool = False
    """It holds data that the change would lose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The native change set, as values."""

    changes: tuple[Change, ...] = ()
    digest: str = ""
    notes: tuple[str, ...] = ()
    """What the engine wants to be known, for example a limit of its preview."""

    @property
    def losing_data(self) -> tuple[Change, ...]:
        """The changes that need approval."""
        lossy = {Verb.REPLACE, Verb.MAY_REPLACE, Verb.DELETE}
        return tuple(c for c in self.changes if c.stateful and c.verb in lossy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """One native thing that bears our tag, for the search for orphans."""

    name: str
    native_id: str
    type: str
    uid: str
    namespace: str = ""
    object_name: str = ""


def external_name(stack: Stack) -> StackName:
    """Derive the engine's name of a stack from its owner's uid, or its own where it has no owner.

    The owner's, so that a Stack object that was lost and made again finds the same native stack.
    """
    if stack.spec.adopt is not None and not stack.spec.adopt.resources:
        return StackName(stack.spec.adopt.external_name)
    readable = re.sub(r"[^A-Za-z0-9]+", "-", stack.metadata.name)[:_NAME_ROOM].strip("-")
    return StackName(f"isthmus-{readable}-{owner_uid(stack)}")


def owner_uid(stack: Stack) -> str:
    """Return the uid that our tags carry: of the controlling owner, else of the Stack itself."""
    owner = next((o for o in stack.metadata.owner_references if o.controller), None)
    return owner.uid if owner is not None else stack.metadata.uid


def tags(stack: Stack, installation: str) -> dict[str, str]:
    """Return our tags for everything the stack makes."""
    return {
        TAG_UID: owner_uid(stack),
        TAG_NAMESPACE: stack.metadata.namespace,
        TAG_NAME: stack.metadata.name,
        TAG_INSTALLATION: installation,
    }


def digest(*parts: object) -> str:
    """Return a stable digest of JSON-like values: key order and formatting do not matter."""
    text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(text).hexdigest()


def wanted_digest(spec: StackSpec, secret_versions: Mapping[str, str], *, retry: str = "") -> str:
    """Return the digest of what a Stack asks for.

    Ignored fields are left out, so a change of them alone is not applied; secrets count by the
    version of their Secret, never by value. A new ``retry`` asks for the same once more.
    """
    parameters = {
        name: parameter.model_dump(mode="json", exclude_defaults=True)
        for name, parameter in spec.parameters.items()
    }
    template = without(spec.template, spec.ignore_fields)
    return digest(template, parameters, dict(secret_versions), *([retry] if retry else []))


def without(document: Json, paths: Iterable[str]) -> Json:
    """Return a document without the values at these dotted paths."""
    for path in paths:
        document = _without(document, path.split("."))
    return document


def _without(node: Json, path: Sequence[str]) -> Json:
    head, *rest = path
    if head not in node:
        return node
    if not rest:
        return {key: value for key, value in node.items() if key != head}
    below = node[head]
    return node | {head: _without(cast("Json", below), rest)} if isinstance(below, dict) else node


def unignored(drift: Drift, ignored: Sequence[str]) -> Drift:
    """Return the drift without the fields that others may change.

    Engines name drifted fields as the template does, without the word for resources at its top:
    ``Resources.Cluster.Properties.Size`` is ``Cluster.Properties.Size``.
    """
    fields = tuple(path.partition(".")[2] for path in ignored)
    kept = tuple(
        found
        for found in drift.resources
        if not any(found == field or found.startswith(f"{field}.") for field in fields if field)
    )
    drifted = drift.drifted and (bool(kept) or not drift.resources)
    return drift.model_copy(update={"resources": kept, "drifted": drifted})


def matters(event: StackEvent) -> bool:
    """Tell whether a native event is worth an Event: the stack came to an end, or a failure.

    That a single resource is complete stands in the stack's resources.
    """
    ended = event.type.endswith("::Stack") and event.status.endswith("COMPLETE")
    return ended or failed(event)


def failed(event: StackEvent) -> bool:
    """Tell whether a native event speaks of a failure."""
    return "FAILED" in event.status or event.status.startswith("ROLLBACK")


def kept(events: Sequence[StackEvent], newest: int) -> tuple[StackEvent, ...]:
    """Return the newest events and every failure before them: the cause must not be pushed out."""
    older = [event for event in events[:-newest] if "FAILED" in event.status]
    return (*older[-newest:], *events[-newest:])


def approves(annotation: str, wanted_digest: str) -> bool:
    """Tell whether an approval names this very change: its digest or at least 12 digits of it."""
    return len(annotation) >= 12 and wanted_digest.startswith(annotation)
