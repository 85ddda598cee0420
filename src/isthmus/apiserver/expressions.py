"""The rules of `x-kubernetes-validations`, in the Common Expression Language.

Rules are compiled when the first object of a kind is written, because the library takes most of a
second to load and most kinds have none. Kubernetes' own functions are those of `celfunctions`.

Source: https://kubernetes.io/docs/reference/using-api/cel/
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Any, cast

import orjson

from isthmus.apiserver import celfunctions
from isthmus.apiserver.celvalues import seen, typed_part
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json, as_list, as_map

_RULES = "x-kubernetes-validations"
_COMPILE_ERRORS = (ValueError, TypeError, RuntimeError)
_EVALUATION_ERRORS = (ValueError, TypeError, RuntimeError, KeyError, IndexError, OverflowError)
_MISSING = object()


@dataclass
class _Rule:
    """One rule of a schema."""

    declared: Json
    hidden: bool = False
    """Whether the value that it is about may not be shown."""
    typed: Json | None = None
    """The part of the schema that leads to values which are no JSON for a rule."""

    @property
    def text(self) -> str:
        return str(self.declared.get("rule", ""))

    @cached_property
    def is_transition(self) -> bool:
        return "oldSelf" in self.text and not self.declared.get("optionalOldSelf")

    @cached_property
    def run(self) -> Callable[[Json], Any]:
        return _compile(self.text)

    @cached_property
    def message(self) -> Callable[[Json], Any] | None:
        text = self.declared.get("messageExpression")
        return _compile(text) if text else None

    def broken(self, value: Any, old: Any, where: str) -> Cause | None:
        """Why the value breaks the rule, or None."""
        names: Json = {"self": seen(value, self.typed)}
        if old is not _MISSING:
            names["oldSelf"] = seen(old, self.typed)
        path = where + str(self.declared.get("fieldPath") or "")
        try:
            if self.run(names) is True:
                return None
            said = self.message(names) if self.message else None
        except _EVALUATION_ERRORS as error:
            return Cause(path, f"rule {self.text!r} cannot be evaluated: {type(error).__name__}")
        text = said or self.declared.get("message") or f"failed rule: {self.text}"
        reason = str(self.declared.get("reason") or "FieldValueInvalid")
        if reason == "FieldValueInvalid" and not isinstance(value, dict | list):
            text = f"{'<hidden>' if self.hidden else orjson.dumps(value).decode()}: {text}"
        return Cause(path, str(text), reason)


def _compile(text: str) -> Callable[[Json], Any]:
    library = import_module("cel")
    text, functions = celfunctions.prepared(text)
    program = library.compile(text)
    if not functions:
        return cast("Callable[[Json], Any]", program.execute)
    return lambda names: program.execute(library.Context(names, functions))


@dataclass
class Rules:
    """The rules of a schema and of everything below it that has some."""

    rules: list[_Rule] = field(default_factory=list[_Rule])
    properties: dict[str, "Rules"] = field(default_factory=dict[str, "Rules"])
    entries: "Rules | None" = None
    """Rules of list items, or of the values of a map."""

    def __bool__(self) -> bool:
        return bool(self.rules or self.properties or self.entries)

    def check(self, value: Any, old: Any = _MISSING, where: str = "") -> Iterator[Cause]:
        """What breaks a rule; `old` is the value before an update."""
        if value is None:
            return
        for rule in self.rules:
            if old is _MISSING and rule.is_transition:
                continue
            cause = rule.broken(value, old, where)
            if cause is not None:
                yield cause
        yield from self._below(value, old, where)

    def _below(self, value: Any, old: Any, where: str) -> Iterator[Cause]:
        before = as_map(old)
        if isinstance(value, list) and self.entries:
            for index, item in enumerate(cast("list[Any]", value)):
                yield from self.entries.check(item, _MISSING, f"{where}[{index}]")
        for name, item in as_map(value).items():
            inner = self.properties.get(name, self.entries)
            if inner:
                place = f"{where}.{name}" if where else name
                yield from inner.check(item, before.get(name, _MISSING), place)


def rules_of(schema: Json, *, hidden: bool = False) -> Rules:
    """The rules that a structural schema declares.

    Args:
        schema: The schema.
        hidden: Whether it is part of a value that may not be shown.
    """
    hidden = hidden or schema.get("format") == "password" or bool(schema.get("writeOnly"))
    typed = typed_part(schema) if schema.get(_RULES) else None
    properties = {
        name: rules_of(part, hidden=hidden)
        for name, part in as_map(schema.get("properties")).items()
    }
    items = schema.get("items") or schema.get("additionalProperties")
    entries = rules_of(as_map(items), hidden=hidden) if items else Rules()
    return Rules(
        [_Rule(as_map(rule), hidden, typed) for rule in as_list(schema.get(_RULES))],
        {name: part for name, part in properties.items() if part},
        entries or None,
    )


def check_rules(rules: Rules, where: str) -> Iterator[Cause]:
    """Rules that cannot be compiled.

    Raises:
        ModuleNotFoundError: The library is not installed; nothing can be said about the rules.
    """
    for index, rule in enumerate(rules.rules):
        try:
            _ = rule.run
            _ = rule.message
        except _COMPILE_ERRORS as error:
            first_line = str(error).split("\n")[0][:300]
            yield Cause(f"{where}.{_RULES}[{index}].rule", f"compilation failed: {first_line}")
    for name, part in rules.properties.items():
        yield from check_rules(part, f"{where}.properties[{name}]")
    if rules.entries:
        yield from check_rules(rules.entries, f"{where}.items")
