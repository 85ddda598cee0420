"""The rules of `x-kubernetes-validations`, in the Common Expression Language.

Rules are compiled when the first object of a kind is written, because most kinds have none. What
they may cost is bounded for one rule (`celprogram.LIMIT`) and for one object.

Source: https://kubernetes.io/docs/reference/using-api/cel/
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import orjson

from isthmus.apiserver.celloops import TooExpensive
from isthmus.apiserver.celoperators import NONE, Optional, equal
from isthmus.apiserver.celprogram import Program, parse
from isthmus.apiserver.celvalues import seen, typed_part
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_list, as_map

_RULES = "x-kubernetes-validations"
_MISSING = object()
BUDGET = 10_000_000
"""What all rules of one object may cost: about three seconds of a processor.
Source: k8s.io/apiserver/pkg/apis/cel."""
_LONGEST_MESSAGE = 5 * 1024


@dataclass
class _Spent:
    """What the rules of one object may still cost."""

    left: int

    def pay(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise _Exhausted(
                "validation failed due to running out of cost budget, no further validation rules"
                " will be run"
            )


class _Exhausted(Exception):
    """No more rule of this object is evaluated; the message says why."""


@dataclass
class _Rule:
    """One rule of a schema."""

    declared: Json
    hidden: bool = False
    """Whether the value that it is about may not be shown."""
    typed: Json | None = None
    """The part of the schema that leads to values which are no JSON for a rule."""
    kind: str = ""
    """The type of the value that it is about."""

    @property
    def text(self) -> str:
        return str(self.declared.get("rule", ""))

    @property
    def shown(self) -> str:
        """The rule as messages name it."""
        message = self.declared.get("message")
        return str(message).strip() if message else self.text.strip()

    @cached_property
    def uses_old(self) -> bool:
        return "oldSelf" in self.text

    @property
    def takes_none(self) -> bool:
        """Whether it is asked about new values as well, with an empty optional value."""
        return self.declared.get("optionalOldSelf") is True

    @cached_property
    def program(self) -> Program:
        return Program(parse(self.text))

    @cached_property
    def message(self) -> Program | None:
        text = self.declared.get("messageExpression")
        return Program(parse(text)) if text else None

    def applies(self, value: Any, old: Any) -> bool:
        """Whether the rule says anything about this value and the one before.

        What did not change is not refused for a rule that came later; only rules about changes
        look at it.
        """
        if self.uses_old:
            return old is not _MISSING or self.takes_none
        return old is _MISSING or not equal(value, old)

    def broken(self, value: Any, old: Any, where: str, spent: _Spent) -> Cause | None:
        """Why the value breaks the rule, or None."""
        names: Json = {"self": seen(value, self.typed)}
        if old is not _MISSING:
            before = seen(old, self.typed)
            names["oldSelf"] = Optional(before, there=True) if self.takes_none else before
        elif self.takes_none:
            names["oldSelf"] = NONE
        try:
            outcome = self.program.run(names)
        except TooExpensive as error:
            raise _Exhausted(
                "'operation cancelled: actual cost limit exceeded': no further validation rules"
                f" will be run due to call cost exceeds limit for rule: {self.shown}"
            ) from error
        spent.pay(outcome.cost)
        if outcome.value is True:
            return None
        if outcome.fault:
            return Cause(where, f'"{self.kind}": {self._why(outcome.fault)}')
        return self._refusal(value, where, self._said(names, spent))

    def _why(self, fault: str) -> str:
        if fault.startswith("no such overload"):
            return (
                f"'{fault}': call arguments did not match a supported operator, function or macro"
                f" signature for rule: {self.shown}"
            )
        return f"{fault} evaluating rule: {self.shown}"

    def _refusal(self, value: Any, where: str, said: str) -> Cause:
        path = where + str(self.declared.get("fieldPath") or "")
        text = said or self.declared.get("message") or f"failed rule: {self.text.strip()}"
        reason = str(self.declared.get("reason") or "FieldValueInvalid")
        if reason == "FieldValueInvalid" and not isinstance(value, dict | list):
            text = f"{'<hidden>' if self.hidden else orjson.dumps(value).decode()}: {text}"
        return Cause(path, str(text), reason)

    def _said(self, names: Json, spent: _Spent) -> str:
        """What the rule's own expression says, if that is one line of a fair length."""
        if self.message is None:
            return ""
        try:
            outcome = self.message.run(names)
        except TooExpensive as error:
            raise _Exhausted(
                "messageExpression evaluation failed due to running out of cost budget"
            ) from error
        spent.pay(outcome.cost)
        said = outcome.value
        if not isinstance(said, str) or len(said) > _LONGEST_MESSAGE or "\n" in said.strip():
            return ""
        return said.strip()


@dataclass
class Rules:
    """The rules of a schema and of everything below it that has some."""

    rules: list[_Rule] = field(default_factory=list[_Rule])
    properties: dict[str, "Rules"] = field(default_factory=dict[str, "Rules"])
    entries: "Rules | None" = None
    """Rules of list items, or of the values of a map."""
    keys: tuple[str, ...] = ()
    """By which the items of a list are the same as before."""
    kind: str = ""
    """The type of the value."""

    def __bool__(self) -> bool:
        return bool(self.rules or self.properties or self.entries)

    def check(self, value: Any, old: Any = _MISSING, budget: int = BUDGET) -> Iterator[Cause]:
        """What breaks a rule; `old` is the value before an update."""
        spent = _Spent(budget)
        place = [("", self.kind)]
        try:
            yield from self._check(value, old, "", (spent, place))
        except _Exhausted as error:
            where, kind = place[-1]
            yield Cause(where, f'"{kind}": {error}' if kind else str(error))

    def _check(
        self, value: Any, old: Any, where: str, run: tuple[_Spent, list[tuple[str, str]]]
    ) -> Iterator[Cause]:
        if value is None:
            return
        spent, place = run
        old = _MISSING if old is None else old
        for rule in self.rules:
            place[-1] = (where, self.kind)
            if rule.applies(value, old):
                cause = rule.broken(value, old, where, spent)
                if cause is not None:
                    yield cause
        for item, before, there, inner in self._below(value, old, where):
            yield from inner._check(item, before, there, run)

    def _below(self, value: Any, old: Any, where: str) -> Iterator[tuple[Any, Any, str, "Rules"]]:
        if isinstance(value, list) and self.entries:
            earlier = self._by_keys(old)
            for index, item in enumerate(cast("list[Any]", value)):
                before = earlier.get(self._key(item), _MISSING)
                yield item, before, f"{where}[{index}]", self.entries
        before = as_map(old)
        for name, item in as_map(value).items():
            inner = self.properties.get(name, self.entries)
            if inner:
                place = f"{where}.{name}" if where else name
                yield item, before.get(name, _MISSING), place, inner

    def _by_keys(self, old: Any) -> dict[str, Any]:
        if not self.keys or not isinstance(old, list):
            return {}
        return {self._key(item): item for item in cast("list[Any]", old)}

    def _key(self, item: Any) -> str:
        return orjson.dumps([as_map(item).get(key) for key in self.keys]).decode()


def rules_of(schema: Json, *, hidden: bool = False) -> Rules:
    """The rules that a structural schema declares.

    Args:
        schema: The schema.
        hidden: Whether it is part of a value that may not be shown.
    """
    hidden = hidden or schema.get("format") == "password" or bool(schema.get("writeOnly"))
    typed = typed_part(schema) if schema.get(_RULES) else None
    kind = str(schema.get("type") or "")
    properties = {
        name: rules_of(part, hidden=hidden)
        for name, part in as_map(schema.get("properties")).items()
    }
    items = schema.get("items") or schema.get("additionalProperties")
    entries = rules_of(as_map(items), hidden=hidden) if items else Rules()
    as_keyed = schema.get("x-kubernetes-list-type") == "map"
    return Rules(
        [_Rule(as_map(rule), hidden, typed, kind) for rule in as_list(schema.get(_RULES))],
        {name: part for name, part in properties.items() if part},
        entries or None,
        tuple(as_list(schema.get("x-kubernetes-list-map-keys"))) if as_keyed else (),
        kind,
    )
