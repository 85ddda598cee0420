"""What would happen, and whether it may: the answer to ``isthmus plan``, as values.

Others gather the facts (the native change set, who the caller is); this compares and judges.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, cast

from isthmus.api.meta import APPROVE_REPLACEMENT, DeletionPolicy, Json
from isthmus.api.v1alpha1 import OfferingSpec, Provider, Stack
from isthmus.core import schemas
from isthmus.core.prices import Estimate
from isthmus.core.render import as_text
from isthmus.core.stacks import Change, Changes, Verb

_ENOUGH_DIGITS = 12


class Intent(StrEnum):
    """What would become of the object."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterChange:
    """One parameter whose value would be another. Secrets are only ever references here."""

    name: str
    before: Any = None
    after: Any = None
    updatable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question that a policy, the catalog or the cloud asks."""

    name: str
    passed: bool
    message: str
    remedy: str = ""
    """What would help; a command where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Which state of the offering would be rendered."""

    offering: str
    before: str = ""
    after: str = ""
    newest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would happen."""

    subject: str
    intent: Intent
    provider: str = ""
    simulated: bool = False
    revision: Revision | None = None
    parameters: tuple[ParameterChange, ...] = ()
    changes: tuple[Change, ...] = ()
    price_before: Estimate | None = None
    price_after: Estimate | None = None
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str = ""
    """Names this very change, for its approval."""
    allowed: bool = field(init=False)
    """Every check is passed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "allowed", all(check.passed for check in self.checks))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """What the controllers would make of an instance, and what they made of it before."""

    stack: Stack
    definition: OfferingSpec
    provider: Provider
    values: Json
    revision: Revision
    former: Stack | None = None
    former_plan: str = ""
    former_values: Json = field(default_factory=dict[str, Any])
    notes: tuple[str, ...] = ()
    """What was chosen for the tenant, and why."""


def deletion_changes(stack: Stack) -> tuple[Change, ...]:
    """Return what deleting a stack would delete; what the template keeps is not among it."""
    if stack.spec.deletion_policy is DeletionPolicy.RETAIN:
        return ()
    declared = cast("dict[str, Json]", stack.spec.template.get("Resources") or {})
    kept = {name for name, one in declared.items() if one.get("DeletionPolicy") == "Retain"}
    return tuple(
        Change(
            verb=Verb.DELETE,
            logical_id=resource.logical_id,
            type=resource.type,
            physical_id=resource.physical_id,
            stateful=resource.logical_id in stack.spec.stateful,
        )
        for resource in stack.status.resources
        if resource.logical_id not in kept
    )


def deletion_notes(stack: Stack) -> tuple[str, ...]:
    """Return what a deletion would leave behind on purpose."""
    if stack.spec.deletion_policy is DeletionPolicy.RETAIN:
        return ("spec.deletionPolicy is Retain: the native stack stays as it is",)
    declared = cast("dict[str, Json]", stack.spec.template.get("Resources") or {})
    words = {"Retain": "stays", "Snapshot": "leaves a final snapshot"}
    policies = {name: str(one.get("DeletionPolicy")) for name, one in declared.items()}
    return tuple(f"{name} {words[p]}" for name, p in policies.items() if p in words)


def parameter_changes(
    definition: OfferingSpec, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[ParameterChange, ...]:
    """Return what differs, in the order of the offering's own parameters."""
    fixed = schemas.immutable_names(definition.parameters) if before else frozenset[str]()
    known = list(schemas.properties(definition.parameters))
    names = [*known, *sorted((before.keys() | after.keys()) - set(known))]
    return tuple(
        ParameterChange(
            name=name, before=before.get(name), after=after.get(name), updatable=name not in fixed
        )
        for name in names
        if before.get(name) != after.get(name)
    )


def immutables_check(changes: Sequence[ParameterChange]) -> Check:
    """Ask that no parameter changes that cannot."""
    stuck = [change.name for change in changes if not change.updatable]
    if not stuck:
        return Check(name="immutable parameters", passed=True, message="none would change")
    return Check(
        name="immutable parameters",
        passed=False,
        message=f"cannot be changed after creation: {', '.join(stuck)}",
        remedy="set them back, or make a new instance",
    )


def replacement_check(changes: Changes, *, approved: bool, target: str) -> Check:
    """Ask that nothing which holds data is lost without approval of this very change.

    Args:
        changes: The native change set.
        approved: Whether the object bears the approval of it.
        target: The object as kubectl names it, with its namespace:
            ``serviceinstance/db --namespace team-a``.
    """
    losing = [f"{c.logical_id} ({c.type}): {c.verb}" for c in changes.losing_data]
    name = "data"
    if not losing:
        return Check(name=name, passed=True, message="nothing that holds data is replaced")
    if approved:
        return Check(name=name, passed=True, message=f"approved: {'; '.join(losing)}")
    return Check(
        name=name,
        passed=False,
        message=f"data would be lost: {'; '.join(losing)}",
        remedy=f"kubectl annotate {target} --overwrite "
        f"{APPROVE_REPLACEMENT}={changes.digest[:_ENOUGH_DIGITS]}",
    )


def rights_check(allowed: bool, *, verb: str, resource: str, namespace: str) -> Check:
    """Say whether the caller may do the write that was planned."""
    where = f" in namespace {namespace!r}" if namespace else ""
    if allowed:
        return Check(name="rights", passed=True, message=f"you may {verb} {resource}{where}")
    return Check(
        name="rights",
        passed=False,
        message=f"you may not {verb} {resource}{where}",
        remedy="ask an administrator for the role isthmus-tenant there",
    )


def describe(value: Any) -> str:
    """Write a parameter's value for people; a reference to a Secret shows where it is kept."""
    if isinstance(value, dict) and "secretKeyRef" in value:
        reference = cast("Json", value)["secretKeyRef"]
        return f"(secret {reference['name']}/{reference['key']})"
    return "-" if value in (None, "", []) else as_text(value)
