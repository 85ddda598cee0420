"""How large the parts of an expression may become, as far as the schema of a kind bounds them.

A size is what `size()` counts: letters, bytes, elements, entries. Whatever bounds nothing has no
bound at all here: `MOST`. Numbers never exceed it.

Source: https://github.com/google/cel-go/blob/master/checker/cost.go
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from isthmus.apiserver.celsyntax import ListOf, Literal, MapOf, Node
from isthmus.apiserver.celtypes import BOOL, DOUBLE, DURATION, INT, MOMENT, STRING, UINT, Type

MOST = 2**64 - 1
_FIXED = (BOOL, DOUBLE, DURATION, INT, MOMENT, UINT)
"""Types whose values are all of one size."""


def bounded(number: int) -> int:
    """A number that is no more than the largest."""
    return min(number, MOST)


def scaled(number: int, factor: float) -> int:
    """A share of a number, or a multiple, rounded up."""
    return bounded(math.ceil(float(number) * factor))


class Size(NamedTuple):
    """From the least to the most."""

    least: int
    most: int

    def plus(self, other: "Size") -> "Size":
        """Of both together."""
        return Size(bounded(self.least + other.least), bounded(self.most + other.most))

    def times(self, other: "Size") -> "Size":
        """Of the one as often as the other says."""
        return Size(bounded(self.least * other.least), bounded(self.most * other.most))

    def joined(self, other: "Size") -> "Size":
        """Of either."""
        return Size(min(self.least, other.least), max(self.most, other.most))


ONE, UNKNOWN = Size(1, 1), Size(0, MOST)


class Path:
    """The way from a variable to a part of its declared value: `self`, `list`, `@items`, `name`.

    kube-apiserver keeps these ways in Go's slices, and goes on from one without copying it where
    the slice has room: of two ways that go on from the same one, the later one overwrites the
    other's last step. Definitions are accepted and refused by what comes of it, so it is the same
    here.
    """

    __slots__ = ("_cells", "_length")

    def __init__(self, *steps: str) -> None:
        self._cells = list(steps)
        self._length = len(steps)

    def to(self, step: str) -> "Path":
        """One step on."""
        path = Path()
        path._cells, path._length = self._cells, self._length + 1
        if self._length == len(self._cells):
            path._cells = [*self._cells, *([""] * max(1, self._length))]
        path._cells[self._length] = step
        return path

    def leads(self, declared: Type, *further: str) -> Type | None:
        """Where it ends in a declared type, from whichever variable; None: nowhere."""
        if not self._length:
            return None
        found: Type | None = declared
        for step in (*self._cells[1 : self._length], *further):
            if found is None:
                return None
            if step in ("@items", "@values"):
                found = found.item
            elif step == "@keys":
                found = STRING if found.name == "map" else None
            else:
                found = found.fields.get(step)
        return found


@dataclass(frozen=True)
class Entry:
    """Of what size the keys and the elements of a list or a map are.

    Attributes:
        kind: `list` or `map`.
        key: A key's size.
        value: An element's size.
    """

    kind: str
    key: Size
    value: Size

    def joined(self, other: "Entry") -> "Entry":
        """Of either."""
        return Entry(self.kind, self.key.joined(other.key), self.value.joined(other.value))


class Part:
    """A part of an expression: what it costs, and how large its value is.

    Args:
        node: Where it stands in the tree; None for what a macro adds.
        kind: Its type.
        declared: The type of `self`.
        cost: What it costs at most, with all that it consists of.
        path: Where in the declared value it is.
    """

    def __init__(
        self, node: Node | None, kind: Type, declared: Type, cost: int, path: Path | None = None
    ) -> None:
        self.node = node
        self.kind = kind
        self.cost = bounded(cost)
        self.path = path or Path()
        self.entry: Entry | None = None
        self.found: Size | None = _written(node)
        """Its size, as soon as something said it."""
        self.otherwise: Size | None = None
        """Its size where neither schema nor type says one."""
        self._declared = declared

    def sized(self) -> Size | None:
        """Its size; None where nothing says one."""
        if self.found is None and (declared := self.path.leads(self._declared)):
            self.found = Size(0, declared.most)
        if self.found is not None:
            return self.found
        return ONE if fixed(self.kind) else self.otherwise

    @property
    def size(self) -> Size:
        """Its size."""
        return self.sized() or UNKNOWN

    @property
    def element(self) -> Size:
        """The size of an element of this list."""
        found = self.path.leads(self._declared, "@items")
        return Size(0, found.most) if found else UNKNOWN


def fixed(kind: Type) -> bool:
    """Whether all values of a type, or of an optional value, are of one size."""
    inner = kind.element if kind.name == "optional_type" else kind
    return inner in _FIXED


def _written(node: Node | None) -> Size | None:
    """The size of what is written in the expression itself."""
    match node:
        case Literal(value=str() | bytes() as value):
            return Size(len(value), len(value))
        case Literal():
            return ONE
        case ListOf(items=parts) | MapOf(entries=parts):
            return Size(len(parts), len(parts))
        case _:
            return None
