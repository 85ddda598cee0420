"""What an expression costs at most, before any value is there.

The cost of a tree is that of its parts, as often as they are run: the body of a loop as often as
its list has elements. A macro costs what kube-apiserver's expansion of it costs.

Source: https://github.com/google/cel-go/blob/master/checker/cost.go
"""

from typing import NamedTuple, cast

from isthmus.apiserver.celcallestimates import FUNCTIONS, OPERATORS, PLAIN, Called, sorted_by
from isthmus.apiserver.celchecker import Checked
from isthmus.apiserver.celsizes import MOST, ONE, UNKNOWN, Entry, Part, Path, Size, bounded, fixed
from isthmus.apiserver.celsyntax import Call, Ident, ListOf, Literal, Loop, MapOf, Node, Select
from isthmus.apiserver.celtypes import DYN, STRING, Type

_LIST, _MAP = 10, 30


def estimate(checked: Checked, declared: Type) -> int:
    """The cost of an expression without faults; at most `MOST`.

    Args:
        checked: The expression, with the types of its parts.
        declared: The type of `self` with its bounds, as a schema says it.
    """
    try:
        return _Estimator(checked.types, declared).part(checked.node, {}).cost
    except RecursionError:
        return MOST


class _Bound(NamedTuple):
    """A name that a macro bound."""

    path: Path
    size: Size | None = None
    entry: Entry | None = None


_Names = dict[str, _Bound]


class _Estimator:
    """Walks one tree. The order of the walk is kube-apiserver's, for `Path` depends on it."""

    def __init__(self, types: dict[int, Type], declared: Type) -> None:
        self._types = types
        self._declared = declared

    def part(self, node: Node, names: _Names) -> Part:
        """What a node costs."""
        match node:
            case Literal():
                return self._made(node, 0)
            case Ident(name=name):
                return self._ident(node, names.get(name) or _Bound(Path(name)))
            case Select():
                return self._select(node, names)
            case ListOf(items=items):
                return self._list([item for item, _ in items], node, names)
            case MapOf():
                return self._map(node, names)
            case Loop(name="sortBy"):
                return self._sort_by(node, names)
            case Loop(name="optMap" | "optFlatMap"):
                return self._of_optional(node, names)
            case Loop():
                return self._loop(node, names)
            case _:
                return self._call(cast("Call", node), names)

    def _made(self, node: Node, cost: int, path: Path | None = None) -> Part:
        return Part(node, self._types.get(id(node), DYN), self._declared, cost, path)

    def _ident(self, node: Node, bound: _Bound) -> Part:
        part = self._made(node, 1, bound.path)
        part.otherwise, part.entry = bound.size, bound.entry
        return part

    def _select(self, node: Select, names: _Names) -> Part:
        if self._types.get(id(node.target)) is None:  # `google.protobuf.Duration` is one name
            return self._made(node, 1, Path(node.field))
        target = self.part(node.target, names)
        if node.test:
            return self._made(node, target.cost)
        if node.optional:
            return self._made(node, target.cost + 1)
        looks = target.kind.name in ("object", "map")
        return self._made(node, target.cost + looks, target.path.to(node.field))

    def _list(self, items: list[Node], node: Node, names: _Names) -> Part:
        cost, size = _LIST, Size(MOST, 0) if items else Size(0, 0)
        for item in items:
            part = self.part(item, names)
            cost, size = cost + part.cost, size.joined(part.size)
        made = self._made(node, cost)
        made.entry = Entry("list", ONE, size)
        return made

    def _map(self, node: MapOf, names: _Names) -> Part:
        keys = values = Size(MOST, 0) if node.entries else Size(0, 0)
        cost = _MAP
        for key_node, value_node, _ in node.entries:
            key, value = self.part(key_node, names), self.part(value_node, names)
            cost += key.cost + value.cost
            keys, values = keys.joined(key.size), values.joined(value.size)
        made = self._made(node, cost)
        made.entry = Entry("map", keys, values)
        return made

    # --- calls -----------------------------------------------------------------------------------

    def _call(self, node: Call, names: _Names) -> Part:
        args = [self._sized(arg, names) for arg in node.args]
        target = None if node.target is None else self._sized(node.target, names)
        cost = sum(part.cost for part in args) + (target.cost if target else 0)
        if node.name == "_?_:_":
            return self._choice(node, args)
        if node.name in ("_&&_", "_||_"):
            return self._made(node, cost)
        if node.name == "dyn" and args:
            return self._renamed(node, args[0])
        table = OPERATORS if node.name in OPERATORS else FUNCTIONS
        known = table.get(node.name)
        own = known(Called(target, tuple(args))) if known else PLAIN
        made = self._made(node, cost + own.cost)
        made.found = own.size
        if node.name == "_[_]":
            self._index(made, args[0])
        elif node.name == "_+_" and args[0].entry and args[1].entry:
            made.entry = args[0].entry.joined(args[1].entry)
        made.found = made.sized()
        return made

    def _sized(self, node: Node, names: _Names) -> Part:
        """A part whose size is looked up at once."""
        part = self.part(node, names)
        part.sized()
        return part

    def _index(self, made: Part, target: Part) -> None:
        if target.kind.name == "optional_type":
            return
        made.path = target.path.to("@items" if target.kind.name == "list" else "@values")
        made.found = target.entry.value if target.entry else None

    def _choice(self, node: Call, args: list[Part]) -> Part:
        condition, then, otherwise = args
        made = self._made(node, condition.cost + max(then.cost, otherwise.cost))
        made.found = then.size.joined(otherwise.size)
        if then.entry and otherwise.entry:
            made.entry = then.entry.joined(otherwise.entry)
        return made

    def _renamed(self, node: Node, part: Part) -> Part:
        made = self._made(node, part.cost + 1)
        made.found, made.entry = part.sized(), part.entry
        return made

    # --- loops -----------------------------------------------------------------------------------

    def _loop(self, node: Loop, names: _Names) -> Part:
        target = self.part(node.target, names)
        bound = _bound(node, target)
        bodies = [self.part(arg, {**names, **bound}) for arg in node.args]
        last = bodies[-1]
        if node.name == "filter":  # what it adds to its list is the element itself
            last = self._element(target, bound[node.names[0]])
        element = last.size
        before, each, after = _LOOPS[node.name]
        rounds = target.size
        each += sum(body.cost for body in bodies)
        made = self._made(node, target.cost + before + bounded(rounds.most * each) + after)
        made.found = rounds if before else ONE
        if before == _LIST:
            made.entry = Entry("list", ONE, Size(0, element.most))
        return made

    def _element(self, target: Part, bound: _Bound) -> Part:
        kind = target.kind.element if target.kind.name == "list" else STRING
        part = Part(None, kind, self._declared, 1, bound.path)
        part.otherwise = bound.size
        return part

    def _sort_by(self, node: Loop, names: _Names) -> Part:
        target = self.part(node.target, names)
        key = self.part(node.args[0], {**names, **_bound(node, target)})
        rounds = target.size
        own = sorted_by(rounds, key.kind)
        before, each, after = _LOOPS["map"]
        keys = 1 + before + bounded(rounds.most * (each + key.cost)) + after
        made = self._made(node, _LIST + target.cost + 1 + keys + own.cost)
        made.found = own.size
        return made

    def _of_optional(self, node: Loop, names: _Names) -> Part:
        target = self.part(node.target, names)
        held = target.kind.element
        value = _Bound(Path(), ONE if fixed(held) else None)
        body = self.part(node.args[0], {**names, node.names[0]: value})
        wrapped = 1 if node.name == "optMap" else 0
        then = wrapped + _LIST + target.cost + 1 + body.cost
        made = self._made(node, target.cost + 1 + then)
        made.found = ONE if fixed(made.kind) else UNKNOWN
        return made


_LOOPS = {
    "all": (0, 3, 1),
    "exists": (0, 4, 1),
    **dict.fromkeys(("exists_one", "existsOne"), (0, 2, 2)),
    **dict.fromkeys(("map", "transformList"), (_LIST, 12, 1)),
    "filter": (_LIST, 13, 1),
    "transformMap": (_MAP, 3, 1),
    "transformMapEntry": (_MAP, 2, 1),
}
"""What a macro costs once before, in each round besides its own expressions, and once after."""


def _bound(node: Loop, target: Part) -> _Names:
    """The names of a loop over this part."""
    kind, entry = target.entry.kind if target.entry else target.kind.name, target.entry
    key_step, value_step = ("@indices", "@items") if kind == "list" else ("@keys", "@values")
    key, value = (entry.key, entry.value) if entry else (None, None)
    if len(node.names) == 2:
        return {
            node.names[0]: _Bound(target.path.to(key_step), key),
            node.names[1]: _Bound(target.path.to(value_step), value),
        }
    if kind == "list":
        return {node.names[0]: _Bound(target.path.to(value_step), value)}
    return {node.names[0]: _Bound(target.path.to(key_step), key)}
