"""Offerings are data; this resolves a request against one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import (
    Action,
    Binding,
    ClaimSpec,
    CredentialTemplate,
    OfferingSpec,
    Plan,
    StackTemplate,
)
from isthmus.core import schemas
from isthmus.core.stacks import digest
from isthmus.errors import InvalidSpec

_REVISION_DIGITS = 10


def revision_name(offering: str, spec: OfferingSpec) -> str:
    """Return the name of the OfferingRevision that holds this state of the offering."""
    body = spec.model_dump(mode="json", by_alias=True)
    return f"{offering}-{digest(body)[:_REVISION_DIGITS]}"


def plan_of(definition: OfferingSpec, name: str) -> Plan:
    """Return a plan by name, or say which there are."""
    plan = next((p for p in definition.plans if p.name == name), None)
    if plan is None:
        names = ", ".join(p.name for p in definition.plans)
        raise InvalidSpec(f"spec.plan: no plan {name!r}; the offering has: {names}.")
    return plan


def usual(definition: OfferingSpec, plan: Plan) -> Json:
    """Return the values of parameters that nobody gives: schema's default, then plan."""
    return schemas.defaults(definition.parameters) | plan.parameters


def values_of(definition: OfferingSpec, spec: ClaimSpec) -> Json:
    """Return the value of every parameter: schema's default, then plan, then claim.

    Secret parameters stay ``{secretKeyRef: ...}``.

    Raises:
        InvalidSpec: Names the field that does not fit and what would.
    """
    plan = plan_of(definition, spec.plan)
    own, asked = spec.own_parameters(), spec.asked()
    if twice := sorted(own & set(spec.parameters)):
        raise InvalidSpec(f"spec.parameters.{twice[0]}: set spec.{twice[0]} instead.")
    if taken := sorted(set(asked) & set(plan.fixed)):
        raise InvalidSpec(
            f"{spec.where(taken[0])}: plan {plan.name!r} fixes it; remove it or choose "
            "another plan."
        )
    values = usual(definition, plan) | asked
    schemas.check(definition.parameters, values, field="spec.parameters", where=spec.where)
    return values


def changed_immutables(definition: OfferingSpec, old: Json, new: Json) -> tuple[str, ...]:
    """Return the parameters that differ though the offering says that they cannot change."""
    fixed = schemas.immutable_names(definition.parameters)
    return tuple(sorted(name for name in fixed if old.get(name) != new.get(name)))


def stack_of(definition: OfferingSpec, driver: str) -> StackTemplate:
    """Return the template for a driver, or say which drivers there are."""
    template = definition.stacks.get(driver)
    if template is None:
        raise InvalidSpec(
            f"spec.provider: the offering has no stack for driver {driver!r}; it has: "
            f"{', '.join(sorted(definition.stacks))}."
        )
    return template


def binding_of(definition: OfferingSpec) -> Binding:
    """Return how it is bound, or say that it cannot be."""
    if definition.binding is None:
        raise InvalidSpec("spec.instance: its offering cannot be bound.")
    return definition.binding


def credential_of(template: StackTemplate, strategy: str) -> CredentialTemplate:
    """Return the credential template of that strategy, or the first where none is named."""
    known = template.credentials
    found = next((c for c in known if strategy in ("", c.strategy)), None)
    if found is None:
        names = ", ".join(c.strategy for c in known) or "none"
        raise InvalidSpec(f"spec.strategy: no strategy {strategy!r} here; there are: {names}.")
    return found


def action_of(definition: OfferingSpec, name: str) -> Action:
    """Return an action by name, or say which there are."""
    action = next((a for a in definition.actions if a.name == name), None)
    if action is None:
        names = ", ".join(a.name for a in definition.actions) or "none"
        raise InvalidSpec(f"spec.action: no action {name!r}; the offering has: {names}.")
    return action


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The names that templates of one claim may use; see ``api.v1alpha1.offering``."""

    values: Mapping[str, Any]
    name: str
    namespace: str
    uid: str

    def of_stack(self) -> dict[str, Any]:
        """Names for the stack template."""
        own = {
            "isthmus.name": self.name,
            "isthmus.namespace": self.namespace,
            "isthmus.uid": self.uid,
        }
        return dict(self.values) | own

    def of_use(self, outputs: Mapping[str, str], provider: Mapping[str, str]) -> dict[str, Any]:
        """Names for bindings and actions: also the stack's outputs and the provider's facts."""
        more = {f"outputs.{k}": v for k, v in outputs.items()}
        return self.of_stack() | more | {f"provider.{k}": v for k, v in provider.items()}
