"""What is wrong with the rules that a definition declares, in Kubernetes' own words.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from isthmus.apiserver.celchecker import checked
from isthmus.apiserver.celestimates import estimate
from isthmus.apiserver.celtokens import SyntaxFault
from isthmus.apiserver.celtypes import BOOL, STRING, Type, optional, type_of
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_list, as_map
from isthmus.apiserver.rulebudgets import Budget, elements

_RULES = "x-kubernetes-validations"
_REASONS = (
    "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired",
)  # fmt: skip
_STEP = re.compile(r"\.([A-Za-z_]\w*)|\['((?:[^'\\]|\\.)*)'\]", re.ASCII)
_GO_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


class _Place(NamedTuple):
    """A schema with rules.

    Attributes:
        schema: The schema.
        where: Where it is.
        loose: The place above it whose parts have no past; empty: it has one.
        rounds: How many values of it an object may have; None: any number.
    """

    schema: Json
    where: str
    loose: str
    rounds: int | None


def check_rules(raw: Json, where: str, *, known: bool = False) -> list[Cause]:
    """Rules that are not declared well; where all are, rules that have no value, type or bound.

    Args:
        raw: A schema.
        where: Where it is.
        known: Whether the definition had it before.
    """
    found = list(_walked(_Place(raw, where, "", 1)))
    causes = [cause for place in found for cause in _declared(place.schema, place.where)]
    if causes:
        return causes
    budget = Budget(where, known=known)
    causes = [
        cause for place in found for cause in _compiled(place, budget, root=place.where == where)
    ]
    return [*causes, *budget.total()]


def _walked(place: _Place) -> Iterator[_Place]:
    """Every schema with rules, from the innermost to the whole."""
    raw, where, loose, rounds = place
    properties, more = as_map(raw.get("properties")), elements(raw)
    rounds = None if rounds is None or more is None else rounds * more
    below = loose or (where if raw.get("x-kubernetes-map-type") == "atomic" else "")
    for name in sorted(properties):
        part = as_map(properties[name])
        yield from _walked(_Place(part, f"{where}.properties[{name}]", below, rounds))
    if isinstance(raw.get("additionalProperties"), dict):
        others = as_map(raw["additionalProperties"])
        yield from _walked(_Place(others, f"{where}.additionalProperties", below, rounds))
    if isinstance(raw.get("items"), dict):
        keyed = raw.get("x-kubernetes-list-type") == "map"
        unkeyed = loose or ("" if keyed else where)
        yield from _walked(_Place(as_map(raw["items"]), f"{where}.items", unkeyed, rounds))
    if raw.get(_RULES):
        yield place


def _rules(schema: Json, where: str) -> Iterator[tuple[Json, str]]:
    for index, rule in enumerate(as_list(schema.get(_RULES))):
        yield as_map(rule), f"{where}.{_RULES}[{index}]"


def _declared(schema: Json, where: str) -> Iterator[Cause]:
    for rule, place in _rules(schema, where):
        text, message = str(rule.get("rule") or "").strip(), str(rule.get("message") or "")
        if not text:
            yield Cause(f"{place}.rule", "rule is not specified", "FieldValueRequired")
        if message and not message.strip():
            why = "message must be non-empty if specified"
            yield Cause(f"{place}.message", f"{_shown(message)}: {why}")
        elif re.search(r"[\n\r]", message.strip()):
            yield Cause(f"{place}.message", f"{_shown(message)}: must not contain line breaks")
        elif re.search(r"[\n\r]", text) and not message:
            why = "message must be specified if rule contains line breaks"
            yield Cause(f"{place}.message", why, "FieldValueRequired")
        reason = rule.get("reason")
        if reason is not None and reason not in _REASONS:
            known = ", ".join(f'"{name}"' for name in _REASONS)
            why = f"{_shown(reason)}: supported values: {known}"
            yield Cause(f"{place}.reason", why, "FieldValueNotSupported")
        path = rule.get("fieldPath")
        if path and not _leads(str(path), schema):
            yield Cause(f"{place}.fieldPath", f"{_shown(path)}: must be a valid path")


def _leads(path: str, schema: Json) -> bool:
    """Whether a path leads to a field of the schema."""
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return False
        name, at = step[1] or step[2], step.end()
        below = as_map(schema.get("properties")).get(name, schema.get("additionalProperties"))
        if not isinstance(below, dict):
            return False
        schema = as_map(below)
    return True


def _compiled(place: _Place, budget: Budget, *, root: bool) -> Iterator[Cause]:
    schema, where, loose, rounds = place
    whole = root or bool(schema.get("x-kubernetes-embedded-resource"))
    found = type_of(schema, root=whole)
    if found is None:
        return
    for rule, at in _rules(schema, where):
        yield from _typed(rule, at, found, budget, rounds)
        text = str(rule["rule"])
        if "oldSelf" in text and loose:
            why = "oldSelf cannot be used on the uncorrelatable portion of the schema within"
            yield Cause(f"{at}.rule", f"{_shown(text)}: {why} {loose}")
        elif "oldSelf" not in text and "optionalOldSelf" in rule:
            why = "may not be set if oldSelf is not used in rule"
            yield Cause(f"{at}.optionalOldSelf", f"{_shown(rule['optionalOldSelf'])}: {why}")


def _typed(
    rule: Json, place: str, found: Type, budget: Budget, rounds: int | None
) -> Iterator[Cause]:
    before = optional(found) if rule.get("optionalOldSelf") else found
    names = {"self": found, "oldSelf": before}
    why, cost = _looked_at(str(rule["rule"]), names, BOOL)
    where = f"{place}.rule"
    if why:
        text = f"cel expression {why}" if why.startswith("must") else f"compilation failed: {why}"
        yield Cause(where, f"{_rule_shown(rule)}: {text}")
        return
    yield from budget.rule(where, cost, found, rounds)
    message, where = str(rule.get("messageExpression") or ""), f"{place}.messageExpression"
    if not message:
        return
    why, cost = _looked_at(message, names, STRING)
    if why:
        text = f" {why}" if why.startswith("must") else f" compilation failed: {why}"
        yield Cause(where, f"{_rule_shown(rule)}: messageExpression{text}")
    yield from budget.message(where, cost)


def _looked_at(text: str, names: dict[str, Type], wanted: Type) -> tuple[str, int]:
    """What is wrong with an expression, or else what it may cost."""
    try:
        found = checked(text, names, wanted)
    except SyntaxFault as error:
        return str(error), 0
    return found.fault, 0 if found.fault else estimate(found, names["self"])


def _rule_shown(rule: Json) -> str:
    """A whole rule, as kube-apiserver shows it."""
    return _shown({
        "Rule": rule.get("rule", ""),
        "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""),
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    })  # fmt: skip


def _shown(value: Any) -> str:
    """As Go writes JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_GO_ESCAPES)
