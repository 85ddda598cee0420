"""What is wrong with an offering, each time with the path of the field and the remedy.

These are the rules that hold for every driver. Whether the native template itself is right is the
driver's ``lint``; see ``isthmus.ports.Driver``. Here are names, actions and bindings;
``lint_schemas`` holds parameters, plans and prices, ``lint_templates`` the placeholders.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Offering, OfferingSpec
from isthmus.core import lint_schemas, lint_templates
from isthmus.core.findings import Finding

Rule = Callable[[OfferingSpec], Iterator[Finding]]


def lint(manifest: Json) -> tuple[Finding, ...]:
    """Return everything that is wrong with an Offering manifest; it never raises."""
    try:
        offering = Offering.parse(manifest)
    except ValidationError as exc:
        return tuple(_misshapen(exc))
    except (RecursionError, TypeError, ValueError) as exc:
        return (Finding(path="", message=f"it cannot be read: {type(exc).__name__}", rule="shape"),)
    found = [*_head(manifest), *(f for rule in _RULES for f in rule(offering.spec))]
    return tuple(dict.fromkeys(found))


def _head(manifest: Json) -> Iterator[Finding]:
    for field, right in (("apiVersion", "isthmus.dev/v1alpha1"), ("kind", "Offering")):
        if manifest.get(field) != right:
            yield Finding(path=field, message=f"must be {right!r}", rule="shape")


def _misshapen(error: ValidationError) -> Iterator[Finding]:
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        path = ""
        for part in problem["loc"]:
            path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
        yield Finding(path=path, message=problem["msg"], rule="shape")


def _unique_names(spec: OfferingSpec) -> Iterator[Finding]:
    yield from _twice("spec.plans", (plan.name for plan in spec.plans), ".name")
    yield from _twice("spec.actions", (action.name for action in spec.actions), ".name")
    for driver, stack in spec.stacks.items():
        path = f"spec.stacks.{driver}.credentials"
        yield from _twice(path, (c.strategy for c in stack.credentials), ".strategy")
    for number, prices in enumerate(spec.prices):
        parts = (part.name for part in prices.hourly)
        yield from _twice(f"spec.prices[{number}].hourly", parts, ".name")
    yield from _twice("spec.prices", (f"{p.driver}/{p.region}" for p in spec.prices), ".region")


def _twice(path: str, names: Iterable[str], field: str) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            message = f"{name!r} is there twice; rename or remove one"
            yield Finding(path=f"{path}[{index}]{field}", message=message, rule="duplicate")
        seen.add(name)


def _actions(spec: OfferingSpec) -> Iterator[Finding]:
    declared = {action.name: index for index, action in enumerate(spec.actions)}
    for driver, stack in spec.stacks.items():
        for name in sorted(set(declared) - set(stack.actions)):
            message = f"action {name!r} has no calls in spec.stacks.{driver}.actions; add them"
            yield Finding(path=f"spec.actions[{declared[name]}]", message=message, rule="action")
        for name in sorted(set(stack.actions) - set(declared)):
            message = f"no action {name!r} is declared in spec.actions; declare or remove it"
            path = f"spec.stacks.{driver}.actions.{name}"
            yield Finding(path=path, message=message, rule="action")


def _binding(spec: OfferingSpec) -> Iterator[Finding]:
    for driver, stack in spec.stacks.items():
        path = f"spec.stacks.{driver}.credentials"
        if spec.binding is None and stack.credentials:
            message = "there are credentials but no spec.binding; add it or remove them"
            yield Finding(path=path, message=message, rule="binding")
        for index, credential in enumerate(stack.credentials):
            taken = set(credential.keys) & set(spec.binding.keys if spec.binding else {})
            yield from _keys(f"{path}[{index}].keys", credential.keys, taken)
    if spec.binding is not None:
        yield from _keys("spec.binding.keys", spec.binding.keys, set())


def _keys(path: str, keys: Iterable[str], taken: set[str]) -> Iterator[Finding]:
    for key in keys:
        if key in _GIVEN_KEYS:
            message = f"key {key!r} is added to every Secret already; remove it"
            yield Finding(path=f"{path}.{key}", message=message, rule="binding")
        elif key in taken:
            message = f"key {key!r} is in spec.binding.keys as well; keep one"
            yield Finding(path=f"{path}.{key}", message=message, rule="binding")


def _named_resources(spec: OfferingSpec) -> Iterator[Finding]:
    for driver, stack in spec.stacks.items():
        known: Any = stack.template.get("Resources") or stack.template.get("resources")
        if not isinstance(known, dict):
            continue
        named = {"stateful": stack.stateful}
        if stack.handover is not None:
            named["handover.to"] = stack.handover.to
        for field, logical_ids in named.items():
            for index, logical_id in enumerate(logical_ids):
                if logical_id not in known:
                    path = f"spec.stacks.{driver}.{field}[{index}]"
                    message = f"the template has no resource {logical_id!r}"
                    yield Finding(path=path, message=message, rule="resource")


_GIVEN_KEYS = frozenset({"type", "provider", "region"})
_RULES: tuple[Rule, ...] = (
    _unique_names,
    lint_schemas.parameters,
    lint_schemas.choices,
    lint_schemas.plans,
    lint_schemas.inputs,
    lint_schemas.prices,
    lint_templates.placeholders,
    lint_templates.unused,
    lint_templates.secrets,
    _actions,
    _binding,
    _named_resources,
)
