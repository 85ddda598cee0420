"""Faults on demand: rules that make an API call or a resource step fail, wait or lose its answer.

Tests set the rules through `/_lab/faults`. A rule names what it meets (shell patterns) and what
happens; it is used up after `times` hits.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any, cast


@dataclass(slots=True)
class Rule:
    """One fault.

    An API rule names `service` and `action`; a resource rule names `type`, `operation` (create,
    update, delete) and `logical_id`. `effect` is one of

    - `error`: refuse with `code`, `message` and HTTP `status` (resource: fail with `message`);
    - `throttle`: refuse with Throttling, "Rate exceeded";
    - `reset`: break the connection off without an answer, nothing done;
    - `timeout`: hold the connection for `seconds`, then break it off, nothing done;
    - `delay`: wait `seconds`, then go on; a stack's step goes on as soon as the rules are replaced;
    - `lose`: do the work, then break the connection off (resource: do the work, then fail).

    `probability` below 1 lets a hit pass by chance; `skip` lets the first hits pass; `times` is how
    often it strikes (-1: for ever).
    """

    effect: str
    service: str = ""
    action: str = "*"
    type: str = ""
    operation: str = "*"
    logical_id: str = "*"
    code: str = "InternalFailure"
    message: str = "We encountered an internal error. Please try again."
    status: int = 500
    seconds: float = 0.0
    probability: float = 1.0
    skip: int = 0
    times: int = 1
    hits: int = 0
    replaced: threading.Event = field(default_factory=threading.Event)
    """Set once the rule is not in force any more."""


_SHOWN = tuple(one.name for one in fields(Rule) if one.name != "replaced")
EFFECTS = frozenset({"error", "throttle", "reset", "timeout", "delay", "lose"})


class InvalidRule(ValueError):
    """A rule names an unknown field or effect, or nothing to strike."""


def parse(document: Any) -> Rule:
    """A rule from JSON; `InvalidRule` says which field is wrong."""
    known = set(_SHOWN) - {"hits"}
    if not isinstance(document, dict):
        raise InvalidRule("a rule is a JSON object")
    given = cast("dict[str, Any]", document)
    unknown = sorted(set(given) - known)
    if unknown:
        raise InvalidRule(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    rule = Rule(**given)
    if rule.effect not in EFFECTS:
        raise InvalidRule(f"effect {rule.effect!r} is none of {', '.join(sorted(EFFECTS))}")
    if bool(rule.service) == bool(rule.type):
        raise InvalidRule("a rule names either `service` (API calls) or `type` (resource steps)")
    return rule


class Faults:
    """The rules in force, asked by the front for each call and by the engine for each step."""

    def __init__(self, seed: int = 1) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self._random = random.Random(seed)  # Seeded: a run with throttling can be repeated.

    def replace(self, rules: Iterable[Rule]) -> None:
        """Put `rules` in force instead of the present ones."""
        with self._lock:
            former, self._rules = self._rules, list(rules)
        for rule in former:
            rule.replaced.set()

    def listed(self) -> list[dict[str, Any]]:
        """The rules with their hits, as JSON."""
        with self._lock:
            return [{name: getattr(rule, name) for name in _SHOWN} for rule in self._rules]

    def of_call(self, service: str, action: str) -> Rule | None:
        """The rule that strikes this API call; it counts as struck."""
        return self._first(
            lambda rule: (
                bool(rule.service)
                and fnmatchcase(service, rule.service)
                and fnmatchcase(action, rule.action)
            )
        )

    def of_step(self, resource_type: str, operation: str, logical_id: str) -> Rule | None:
        """The rule that strikes this resource step; it counts as struck."""
        return self._first(
            lambda rule: (
                bool(rule.type)
                and fnmatchcase(resource_type, rule.type)
                and rule.operation in ("*", operation)
                and fnmatchcase(logical_id, rule.logical_id)
            )
        )

    def _first(self, meets: Callable[[Rule], bool]) -> Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.times == 0 or not meets(rule):
                    continue
                rule.hits += 1
                if rule.hits <= rule.skip or self._random.random() >= rule.probability:
                    continue
                if rule.times > 0:
                    rule.times -= 1
                return rule
        return None
