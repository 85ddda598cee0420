"""What the rules of a definition may cost by estimate, and what is said when that is too much.

A rule is counted as often as the value can be there that it is about: as often as the lists and
maps around it have elements, or, where one of them has no bound, as often as the smallest such
value has room in a request.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#resource-use-by-validation-functions
"""

from collections.abc import Iterator

from isthmus.apiserver.celsizes import bounded
from isthmus.apiserver.celtypes import REQUEST, Type, bound_of
from isthmus.apiserver.errors import Cause
from isthmus.apiserver.jsonvalues import Json

_RULE_LIMIT, _KIND_LIMIT = 10_000_000, 100_000_000
_NAMED, _SMALLEST_SHARE = 4, 0.01
_ADVICE = (
    "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps,"
    " and strings are declared"
)


def elements(schema: Json) -> int | None:
    """How many values below this one there may be for each of it; None: any number."""
    if schema.get("type") == "array":
        return bound_of(schema, "maxItems")
    if schema.get("type") == "object" and schema.get("additionalProperties") is not None:
        return bound_of(schema, "maxProperties")
    return 1


class Budget:
    """What the rules of one schema cost together.

    Args:
        where: Where the schema is.
        known: Whether it was there before, so that no single rule is refused any more.
    """

    def __init__(self, where: str, *, known: bool) -> None:
        self._where = where
        self._known = known
        self._total = 0
        self._costs: list[tuple[int, str]] = []

    def rule(self, place: str, cost: int, declared: Type, rounds: int | None) -> Iterator[Cause]:
        """Count a rule.

        Args:
            place: Where it stands.
            cost: What it costs once.
            declared: What it is about.
            rounds: How many of these there may be; None: any number.
        """
        if rounds is None:
            rounds = REQUEST // (declared.smallest + 1)
        yield from self._spend(place, bounded(cost * rounds), "rule")

    def message(self, place: str, cost: int) -> Iterator[Cause]:
        """Count an expression that words a refusal."""
        yield from self._spend(place, cost, "messageExpression")

    def _spend(self, place: str, cost: int, name: str) -> Iterator[Cause]:
        self._total = bounded(self._total + cost)
        if cost >= _KIND_LIMIT * _SMALLEST_SHARE:
            self._costs.append((cost, place))
        if cost > _RULE_LIMIT and not self._known:
            why = f"estimated {name} cost {_exceeds(cost, _RULE_LIMIT)}"
            yield Cause(place, why, "FieldValueForbidden")

    def total(self) -> Iterator[Cause]:
        """What is wrong with all rules together."""
        if self._total <= _KIND_LIMIT:
            return
        costs = sorted(self._costs, key=lambda found: found[0], reverse=True)
        for _, place in costs[:_NAMED]:
            why = (
                "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3"
                " schema"
            )
            yield Cause(place, why, "FieldValueForbidden")
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        why = f"{name} {_exceeds(self._total, _KIND_LIMIT)}"
        yield Cause(self._where, why, "FieldValueForbidden")


def _exceeds(cost: int, limit: int) -> str:
    factor = cost / limit
    shown = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    if factor > 100:
        shown = "more than 100x"
    return f"exceeds budget by factor of {shown} ({_ADVICE})"
