"""Loops of expressions: what `all`, `map` and the other macros do with each element.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#macros
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

from isthmus.apiserver.celoperators import Fault, no_overload

_STEP_COST = 3


class TooExpensive(Exception):
    """An expression would cost more than it may."""


class Run:
    """The names that a running expression sees, and what it may still cost."""

    __slots__ = ("cost", "limit", "names")

    def __init__(self, names: dict[str, Any], limit: int) -> None:
        self.names = names
        self.cost = 0
        self.limit = limit

    def spend(self, cost: int) -> None:
        """Count a cost; raises TooExpensive beyond the limit."""
        self.cost += cost
        if self.cost > self.limit:
            raise TooExpensive


Step = Callable[[Run], Any]


_Rounds = Iterator[tuple[Any, Any]]


def rounds(run: Run, value: Any, names: tuple[str, ...]) -> _Rounds:
    """Bind each element in turn: (its key, the element), each for one round."""
    if isinstance(value, list):
        pairs = enumerate(cast("list[Any]", value))
    elif isinstance(value, dict):
        pairs = iter(cast("dict[Any, Any]", value).items())
    else:
        raise no_overload()
    keys = isinstance(value, dict)
    for key, item in pairs:
        run.spend(_STEP_COST)
        if len(names) == 2:
            run.names[names[0]], run.names[names[1]] = key, item
        else:
            run.names[names[0]] = key if keys else item
        yield key, key if keys and len(names) == 1 else item


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise no_overload()


def _quantified(wanted: bool) -> Callable[..., bool]:
    """`all` (a False decides) and `exists` (a True decides); faults count when nothing decides."""

    def loop(rounds: _Rounds, run: Run, test: Step) -> bool:
        fault: Fault | None = None
        for _ in rounds:
            try:
                if _truth(test(run)) is wanted:
                    return wanted
            except Fault as error:
                fault = fault or error
        if fault is not None:
            raise fault
        return not wanted

    return loop


def _exactly_one(rounds: _Rounds, run: Run, test: Step) -> bool:
    return sum(_truth(test(run)) for _ in rounds) == 1


def _filter(rounds: _Rounds, run: Run, test: Step) -> list[Any]:
    return [item for _, item in rounds if _truth(test(run))]


def _mapped(rounds: _Rounds, run: Run, *steps: Step) -> list[Any]:
    *tests, make = steps
    return [make(run) for _ in rounds if all(_truth(test(run)) for test in tests)]


def _mapped_values(rounds: _Rounds, run: Run, *steps: Step) -> dict[Any, Any]:
    *tests, make = steps
    return {key: make(run) for key, _ in rounds if all(_truth(test(run)) for test in tests)}


def _mapped_entries(rounds: _Rounds, run: Run, *steps: Step) -> dict[Any, Any]:
    *tests, make = steps
    entries: dict[Any, Any] = {}
    for _ in rounds:
        if not all(_truth(test(run)) for test in tests):
            continue
        for key, value in make(run).items():
            if key in entries:
                raise Fault(f"insert failed: key {key} already exists")
            entries[key] = value
    return entries


def _sorted_by(rounds: _Rounds, run: Run, make: Step) -> list[Any]:
    ranked = [(make(run), item) for _, item in rounds]
    try:
        return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]
    except TypeError as error:
        raise no_overload() from error


LOOPS: dict[str, Callable[..., Any]] = {
    "all": _quantified(wanted=False),
    "exists": _quantified(wanted=True),
    "exists_one": _exactly_one,
    "existsOne": _exactly_one,
    "filter": _filter,
    "map": _mapped,
    "transformList": _mapped,
    "transformMap": _mapped_values,
    "transformMapEntry": _mapped_entries,
    "sortBy": _sorted_by,
}
