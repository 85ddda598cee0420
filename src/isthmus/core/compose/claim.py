"""A claim to its Stack."""

from collections.abc import Mapping
from typing import Any, cast

from isthmus.api.meta import (
    APPROVE_REPLACEMENT,
    FINALIZER,
    PAUSED,
    RETRY,
    Json,
    ObjectMeta,
    SecretKeyRef,
)
from isthmus.api.v1alpha1 import (
    AnyClaim,
    OfferingSpec,
    Provider,
    Stack,
    StackParameter,
    StackSpec,
)
from isthmus.core import catalog, schemas
from isthmus.core.render import as_text, placeholders, substitute
from isthmus.errors import InvalidSpec

_PASSED_ON = (PAUSED, APPROVE_REPLACEMENT, RETRY)
"""Annotations that mean the same on the Stack."""


def compose(claim: AnyClaim, definition: OfferingSpec, provider: Provider, values: Json) -> Stack:
    """Render a claim to its Stack.

    Args:
        claim: What is asked for.
        definition: The offering.
        provider: Where it lands.
        values: Of every parameter, see ``catalog.values_of`` and ``automatic.decide``.

    Raises:
        InvalidSpec: Names the field that does not fit.
    """
    template = catalog.stack_of(definition, provider.spec.driver)
    secrets = schemas.secret_names(definition.parameters)
    scope = scope_of(claim, values).of_stack()
    open_scope = {name: value for name, value in scope.items() if name not in secrets}
    spec = StackSpec(
        provider=provider.metadata.name,
        template=substitute(template.template, open_scope, path="template"),
        parameters={
            name: _parameter(text, scope, secrets) for name, text in template.parameters.items()
        },
        stateful=template.stateful,
        pre_delete=_before_deletion(template.pre_delete, open_scope),
        management=claim.spec.management,
        adopt=claim.spec.adopt,
        ignore_fields=claim.spec.ignore_fields,
        deletion_policy=claim.spec.deletion_policy,
    )
    return Stack(metadata=_metadata(claim), spec=spec)


def scope_of(claim: AnyClaim, values: Json) -> catalog.Scope:
    """Return the names that the claim's templates may use."""
    meta = claim.metadata
    return catalog.Scope(values=values, name=meta.name, namespace=meta.namespace, uid=meta.uid)


def _before_deletion(steps: tuple[Json, ...], scope: Mapping[str, Any]) -> tuple[Json, ...]:
    """Render the steps; outputs are known only then, so their placeholders stay."""
    names = {name for _, name in placeholders(steps) if name.startswith("outputs.")}
    later = {name: f"${{{name}}}" for name in names}
    return tuple(substitute(steps, dict(scope) | later, path="preDelete"))


def _parameter(text: str, scope: dict[str, Any], secrets: frozenset[str]) -> StackParameter:
    used = {name for _, name in placeholders(text)}
    if not used & secrets:
        return StackParameter(value=as_text(substitute(text, scope, path="parameters")))
    if len(used) > 1 or text != f"${{{next(iter(used))}}}":
        raise InvalidSpec(f"parameters: {text!r} mixes a secret with text; pass it alone.")
    value = scope.get(next(iter(used)))
    if value is None:
        return StackParameter(value="")
    return StackParameter(
        secret_key_ref=SecretKeyRef.model_validate(cast("Json", value)["secretKeyRef"])
    )


def _metadata(claim: AnyClaim) -> ObjectMeta:
    meta = claim.metadata
    return ObjectMeta(
        name=claim.stack_name,
        namespace=meta.namespace,
        labels={claim.label: meta.name},
        annotations={k: v for k, v in meta.annotations.items() if k in _PASSED_ON},
        finalizers=(FINALIZER,),
        owner_references=(claim.owner_reference(),),
    )
