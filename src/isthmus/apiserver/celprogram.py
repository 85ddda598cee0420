"""Runs expressions of the Common Expression Language, and counts what they cost.

A tree becomes nested closures once. Each counts its cost in the unit of Kubernetes, of which one
expression may use `LIMIT`: no rule can keep the server busy for longer.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from isthmus.apiserver import celfunctions
from isthmus.apiserver import celoperators as ops
from isthmus.apiserver.celcosts import COSTS, TEXT_COSTS
from isthmus.apiserver.celloops import LOOPS, Run, Step, rounds
from isthmus.apiserver.celnames import unescaped
from isthmus.apiserver.celoperators import NONE, Fault, Optional, no_overload
from isthmus.apiserver.celsyntax import Call, Ident, ListOf, Literal, Loop, MapOf, Node, Select
from isthmus.apiserver.celsyntax import parse as parse

LIMIT = 1_000_000
"""Source: k8s.io/apiserver/pkg/apis/cel, PerCallLimit."""
_LIST_COST, _MAP_COST = 10, 30
_RAISED = (TypeError, AttributeError, KeyError, IndexError, StopIteration)


class Outcome(NamedTuple):
    """What an expression came to: a value or a fault, and its cost."""

    value: Any
    fault: str
    cost: int


class Program:
    """An expression that can be run.

    Args:
        node: Its tree.
        limit: What it may cost.
    """

    def __init__(self, node: Node, limit: int = LIMIT) -> None:
        self._limit = limit
        try:
            self._step = _step(node)
        except RecursionError as error:
            raise Fault("expression recursion limit exceeded") from error

    def run(self, names: dict[str, Any]) -> Outcome:
        """Evaluate with these variables.

        Raises:
            TooExpensive: It was broken off.
        """
        run = Run(dict(names), self._limit)
        try:
            return Outcome(self._step(run), "", run.cost)
        except Fault as error:
            return Outcome(None, str(error), run.cost)
        except RecursionError:
            return Outcome(None, "expression recursion limit exceeded", run.cost)


def _step(node: Node) -> Step:
    match node:
        case Literal(value=value):
            return lambda _: value
        case Ident(name=name):
            return _ident(name)
        case Select():
            return _select(node)
        case ListOf(items=items):
            return _list(items)
        case MapOf(entries=entries):
            return _map(entries)
        case Loop():
            return _loop(node)
        case Call():
            return _call(node)
        case _:
            raise AssertionError(node)


def _ident(name: str) -> Step:
    kind = ops.KINDS.get(name)

    def step(run: Run) -> Any:
        run.cost += 1
        if name in run.names:
            return run.names[name]
        if kind is None:
            raise Fault(f"no such attribute(s): {name}")
        return kind

    return step


def _dotted_kind(node: Node) -> str:
    """`google.protobuf.Duration` as one name, or nothing."""
    parts: list[str] = []
    while isinstance(node, Select) and not node.test:
        parts.append(node.field)
        node = node.target
    return ".".join((node.name, *reversed(parts))) if isinstance(node, Ident) else ""


def _select(node: Select) -> Step:
    if kind := ops.KINDS.get(_dotted_kind(node)):
        return lambda _: kind
    target, name = _step(node.target), node.field
    plain = unescaped(name)

    def found(run: Run) -> Optional:
        value = target(run)
        run.cost += 1
        return _property(value, name, plain)

    def required(run: Run) -> Any:
        value = target(run)
        run.cost += 1
        if type(value) is dict and name in value:
            return cast("dict[str, Any]", value)[name]
        held = _property(value, name, plain)
        if isinstance(value, Optional):
            return held
        if not held.there:
            raise Fault(f"no such key: {name}")
        return held.value

    if node.test:
        return lambda run: found(run).there
    return found if node.optional else required


def _property(value: Any, name: str, plain: str) -> Optional:
    """A property by the name of a rule, or by what that name stands for."""
    if isinstance(value, Optional):
        return _property(value.value, name, plain) if value.there else NONE
    if not isinstance(value, dict):
        raise no_overload()
    held = cast("dict[str, Any]", value)
    if name in held:
        return Optional(held[name], there=True)
    return Optional(held[plain], there=True) if plain in held else NONE


def _list(items: tuple[tuple[Node, bool], ...]) -> Step:
    steps = [(_step(item), optional) for item, optional in items]

    def step(run: Run) -> list[Any]:
        run.spend(_LIST_COST)
        values: list[Any] = []
        for item, optional in steps:
            value = item(run)
            if not optional:
                values.append(value)
            elif _opened(value).there:
                values.append(value.value)
        return values

    return step


def _map(entries: tuple[tuple[Node, Node, bool], ...]) -> Step:
    steps = [(_step(key), _step(value), optional) for key, value, optional in entries]

    def step(run: Run) -> dict[Any, Any]:
        run.spend(_MAP_COST)
        values: dict[Any, Any] = {}
        for make_key, make_value, optional in steps:
            key, value = make_key(run), make_value(run)
            if not isinstance(key, str | int):
                raise Fault(f"unsupported key type: {ops.kind_of(key)}")
            if key in values:
                raise Fault(f"duplicate key: {key}")
            if not optional:
                values[key] = value
            elif _opened(value).there:
                values[key] = value.value
        return values

    return step


def _opened(value: Any) -> Optional:
    if isinstance(value, Optional):
        return value
    raise no_overload()


# --- calls ----------------------------------------------------------------------------------------


def _call(node: Call) -> Step:
    if node.name in ("_&&_", "_||_"):
        return _logical([_step(arg) for arg in node.args], wanted=node.name == "_||_")
    if node.name == "_?_:_":
        return _choice(*map(_step, node.args))
    parts = node.args if node.target is None else (node.target, *node.args)
    steps = [_step(part) for part in parts]
    if node.name in _LAZY:
        return _LAZY[node.name](*steps)
    if node.name in ops.BINARY:
        return _binary(node.name, *steps)
    function = _UNARY.get(node.name) if len(steps) == 1 else None
    function = function or celfunctions.named(node.name, method=node.target is not None)
    if function is None:
        raise Fault(f"undeclared reference to '{node.name}' (in container '')")
    return _function(node.name, function, steps)


def _binary(name: str, left: Step, right: Step) -> Step:
    how = ops.BINARY[name]

    def step(run: Run) -> Any:
        a, b = left(run), right(run)
        run.cost += 1
        if type(a) in (str, bytes, list, dict) or type(b) in (list, dict):
            run.spend(_sized_cost(name, a, b))
        return how(a, b)

    return step


def _sized_cost(name: str, left: Any, right: Any) -> int:
    """What an operator costs besides for values that have a size."""
    if name == "_in_":
        return _size(right) if type(right) is list else 0
    if name == "_+_":
        # A list is copied here, and shared there: its cost must be one of the same order.
        return math.ceil((_size(left) + _size(right)) * 0.1)
    return math.ceil(min(weight(left), weight(right)) * 0.1)


def weight(value: Any) -> int:
    """How many scalars and letters a value has in all."""
    if isinstance(value, list):
        return 1 + sum(weight(item) for item in cast("list[Any]", value))
    if isinstance(value, dict):
        return 1 + sum(weight(item) + 1 for item in cast("dict[str, Any]", value).values())
    return len(value) if isinstance(value, str | bytes) else 1


def _size(value: Any) -> int:
    return len(cast("str", value)) if isinstance(value, str | bytes | list | dict) else 1


def _function(name: str, function: Callable[..., Any], steps: list[Step]) -> Step:
    of_text, of_others = TEXT_COSTS.get(name), COSTS.get(name)

    def step(run: Run) -> Any:
        args = [part(run) for part in steps]
        cost = of_text if args and type(args[0]) is str else of_others
        run.spend(1 if cost is None else cost(*(_size(arg) for arg in args)))
        try:
            value = function(*args)
        except ValueError as error:
            raise Fault(str(error)) from error
        except (*_RAISED, ArithmeticError) as error:
            raise no_overload() from error
        if type(value) in (str, list):
            run.spend(len(value) // 10)
        return value

    return step


def _logical(steps: list[Step], *, wanted: bool) -> Step:
    """`&&` and `||`: a part that decides wins over one that has no value, wherever it stands."""

    def step(run: Run) -> bool:
        fault: Fault | None = None
        for part in steps:
            try:
                value = part(run)
            except Fault as error:
                fault = fault or error
                continue
            if value is wanted:
                return wanted
            if not isinstance(value, bool):
                fault = fault or no_overload()
        if fault is not None:
            raise fault
        return not wanted

    return step


def _choice(condition: Step, then: Step, otherwise: Step) -> Step:
    def step(run: Run) -> Any:
        value = condition(run)
        if not isinstance(value, bool):
            raise no_overload()
        return then(run) if value else otherwise(run)

    return step


def _not(value: Any) -> bool:
    if isinstance(value, bool):
        return not value
    raise no_overload()


def _index(value: Step, key: Step) -> Step:
    def step(run: Run) -> Any:
        target, place = value(run), key(run)
        run.cost += 1
        if isinstance(target, Optional):
            return ops.find(target, place)
        return ops.index(target, place)

    return step


def _find(value: Step, key: Step) -> Step:
    def step(run: Run) -> Any:
        run.cost += 1
        return ops.find(value(run), key(run))

    return step


def _or(value: Step, other: Step) -> Step:
    def step(run: Run) -> Any:
        first = _opened(value(run))
        return first if first.there else _opened(other(run))

    return step


def _or_value(value: Step, other: Step) -> Step:
    def step(run: Run) -> Any:
        first = _opened(value(run))
        return first.value if first.there else other(run)

    return step


_LAZY: dict[str, Callable[..., Step]] = {
    "_[_]": _index,
    "_[?_]": _find,
    "or": _or,
    "orValue": _or_value,
}
_UNARY: dict[str, Callable[[Any], Any]] = {"!_": _not, "-_": ops.negate}


# --- loops ----------------------------------------------------------------------------------------


def _loop(node: Loop) -> Step:
    target = _step(node.target)
    steps = [_step(arg) for arg in node.args]
    if node.name in ("optMap", "optFlatMap"):
        return _of_optional(node, target, steps[0])
    make = LOOPS[node.name]
    names = node.names

    def step(run: Run) -> Any:
        value = target(run)
        outer = {name: run.names[name] for name in names if name in run.names}
        try:
            return make(rounds(run, value, names), run, *steps)
        finally:
            for name in names:
                run.names.pop(name, None)
            run.names.update(outer)

    return step


def _of_optional(node: Loop, target: Step, make: Step) -> Step:
    (name,), flat = node.names, node.name == "optFlatMap"

    def step(run: Run) -> Optional:
        value = _opened(target(run))
        if not value.there:
            return NONE
        outer = run.names.get(name, NONE)
        run.names[name] = value.value
        try:
            made = make(run)
        finally:
            if outer is NONE:
                run.names.pop(name, None)
            else:
                run.names[name] = outer
        return _opened(made) if flat else Optional(made, there=True)

    return step
