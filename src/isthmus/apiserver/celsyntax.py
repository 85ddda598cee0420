"""The grammar of the Common Expression Language: from a text to a tree.

Macros (`has`, `all`, `map`, ...) become nodes of their own, because they bind names.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from isthmus.apiserver.celtokens import (
    SyntaxFault,
    Token,
    fault,
    number,
    string,
    syntax_fault,
    tokens,
)

_RESERVED = frozenset(
    ("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop",
     "package", "namespace", "return", "var", "void", "while", "in")
)  # fmt: skip
_DEEPEST = 100
_LONGEST = 100_000
NAMESPACES = frozenset(("optional", "sets", "ip", "format", "lists", "strings"))
"""What looks like a value and leads to functions: `sets.contains(a, b)`."""
_LOOPS: dict[str, tuple[tuple[int, int], ...]] = {
    "all": ((1, 1), (2, 1)),
    "exists": ((1, 1), (2, 1)),
    "exists_one": ((1, 1), (2, 1)),
    "existsOne": ((1, 1), (2, 1)),
    "filter": ((1, 1),),
    "map": ((1, 1), (1, 2)),
    "transformList": ((2, 1), (2, 2)),
    "transformMap": ((2, 1), (2, 2)),
    "transformMapEntry": ((2, 1), (2, 2)),
    "optMap": ((1, 1),),
    "optFlatMap": ((1, 1),),
    "sortBy": ((1, 1),),
}
"""Macros of a value: how many names they bind, and how many expressions follow."""


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression, and where it begins in the text."""

    at: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant."""

    value: Any


@dataclass(frozen=True, slots=True)
class Ident(Node):
    """A name."""

    name: str


@dataclass(frozen=True, slots=True)
class Select(Node):
    """`target.field`; `optional` for `.?`, `test` within `has`."""

    target: Node
    field: str
    optional: bool = False
    test: bool = False


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function, a method (with a target) or an operator (`_+_`, `_[_]`, `!_`, ...)."""

    name: str
    target: Node | None
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListOf(Node):
    """`[a, ?b]`."""

    items: tuple[tuple[Node, bool], ...]


@dataclass(frozen=True, slots=True)
class MapOf(Node):
    """`{k: v, ?k: v}`."""

    entries: tuple[tuple[Node, Node, bool], ...]


@dataclass(frozen=True, slots=True)
class Loop(Node):
    """A macro that looks at each element of its target."""

    name: str
    target: Node
    names: tuple[str, ...]
    args: tuple[Node, ...]


def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        SyntaxFault: It is none.
    """
    if len(text) > _LONGEST:
        raise SyntaxFault(f"expression code point size exceeds limit: {len(text)}")
    parser = _Parser(text)
    try:
        node = parser.expression()
    except RecursionError as error:
        raise SyntaxFault(fault(text, 0, "expression recursion limit exceeded")) from error
    parser.expect("end")
    return node


class _Parser:
    """Recursive descent over the tokens of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0

    def _fault(self, at: int, why: str) -> SyntaxFault:
        return syntax_fault(self._text, at, why)

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self, *kinds: str) -> Token | None:
        token = self._token
        if token.kind in kinds:
            self._next += 1
            return token
        return None

    def expect(self, kind: str) -> Token:
        """The next token, which must be of this kind."""
        token = self._take(kind)
        if token is None:
            wanted = {"end": "<EOF>", "name": "IDENTIFIER"}.get(kind, f"'{kind}'")
            found = self._token
            why = f"mismatched input '{found.text}' expecting {wanted}"
            raise self._fault(found.at, why)
        return token

    # --- from the weakest binding to the strongest -----------------------------------------------

    def expression(self) -> Node:
        """`a ? b : c`, or whatever binds stronger."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._fault(self._token.at, "expression recursion limit exceeded")
        node = self._either()
        if mark := self._take("?"):
            then = self._either()
            self.expect(":")
            node = Call(mark.at, "_?_:_", None, (node, then, self.expression()))
        self._depth -= 1
        return node

    def _either(self) -> Node:
        return self._joined("||", self._both)

    def _both(self) -> Node:
        return self._joined("&&", self._relation)

    def _joined(self, sign: str, part: Callable[[], Node]) -> Node:
        """Any number of parts in one node, so that a long chain is no deep tree."""
        first, at = part(), None
        parts = [first]
        while mark := self._take(sign):
            at = mark.at if at is None else at
            parts.append(part())
        return first if at is None else Call(at, f"_{sign}_", None, tuple(parts))

    def _relation(self) -> Node:
        return self._chain(("<", "<=", ">", ">=", "==", "!=", "in"), self._sum)

    def _sum(self) -> Node:
        return self._chain(("+", "-"), self._product)

    def _product(self) -> Node:
        return self._chain(("*", "/", "%"), self._unary)

    def _chain(self, signs: tuple[str, ...], part: Callable[[], Node]) -> Node:
        node = part()
        for _ in range(_DEEPEST):
            mark = self._take(*signs)
            if mark is None:
                return node
            node = Call(mark.at, f"_{mark.text}_", None, (node, part()))
        raise self._fault(self._token.at, "expression recursion limit exceeded")

    def _unary(self) -> Node:
        marks: list[Token] = []
        while mark := self._take("!", "-"):
            if marks and marks[0].kind != mark.kind:
                raise self._fault(mark.at, f"extraneous input '{mark.text}'")
            marks.append(mark)
        if marks and marks[0].kind == "-" and self._token.kind == "number":
            return self._member(self._number(negative=len(marks) % 2 == 1))
        node = self._member(self._primary())
        if len(marks) % 2:
            return Call(marks[0].at, "!_" if marks[0].kind == "!" else "-_", None, (node,))
        return node

    def _member(self, node: Node) -> Node:
        for _ in range(_DEEPEST):
            if mark := self._take("."):
                optional = self._take("?") is not None
                node = self._dotted(node, mark, optional=optional)
            elif mark := self._take("["):
                name = "_[?_]" if self._take("?") else "_[_]"
                node = Call(mark.at, name, None, (node, self.expression()))
                self.expect("]")
            else:
                return node
        raise self._fault(self._token.at, "expression recursion limit exceeded")

    def _dotted(self, node: Node, mark: Token, *, optional: bool) -> Node:
        name = self.expect("name")
        opened = None if optional else self._take("(")
        if opened is None:
            return Select(mark.at, node, name.text, optional)
        args, mark = self._arguments(")"), opened
        if isinstance(node, Ident) and node.name in NAMESPACES:
            return Call(mark.at, f"{node.name}.{name.text}", None, args)
        return self._macro(name, mark.at, node, args) or Call(mark.at, name.text, node, args)

    def _macro(self, name: Token, at: int, node: Node, args: tuple[Node, ...]) -> Node | None:
        for names, count in _LOOPS.get(name.text, ()):
            if len(args) != names + count:
                continue
            bound: list[str] = []
            for part in args[:names]:
                if not isinstance(part, Ident):
                    raise SyntaxFault(fault(self._text, part.at, "argument must be a simple name"))
                bound.append(part.name)
            return Loop(at, name.text, node, tuple(bound), args[names:])
        return None

    def _arguments(self, end: str) -> tuple[Node, ...]:
        args: list[Node] = []
        while not self._take(end):
            args.append(self.expression())
            if not self._take(","):
                self.expect(end)
                break
        return tuple(args)

    def _primary(self) -> Node:
        token = self._token
        if token.kind == "number":
            return self._number(negative=False)
        if self._take("text"):
            return Literal(token.at, string(self._text, token))
        if self._take("("):
            node = self.expression()
            self.expect(")")
            return node
        if self._take("["):
            return ListOf(token.at, tuple(self._items()))
        if self._take("{"):
            return MapOf(token.at, tuple(self._entries()))
        self._take(".")  # a leading dot names the root, which is all there is
        if self._token.kind == "name":
            return self._named()
        raise self._fault(self._token.at, f"mismatched input '{self._token.text}'")

    def _number(self, *, negative: bool) -> Literal:
        token = self.expect("number")
        return Literal(token.at, number(self._text, token, negative=negative))

    def _named(self) -> Node:
        name = self.expect("name")
        if name.text in ("true", "false", "null"):
            return Literal(name.at, {"true": True, "false": False, "null": None}[name.text])
        if name.text in _RESERVED:
            raise self._fault(name.at, f"reserved identifier: {name.text}")
        mark = self._take("(")
        if mark is None:
            return Ident(name.at, name.text)
        args = self._arguments(")")
        if name.text != "has":
            return Call(mark.at, name.text, None, args)
        if len(args) != 1 or not isinstance(args[0], Select):
            raise SyntaxFault(fault(self._text, mark.at, "invalid argument to has() macro"))
        return Select(mark.at, args[0].target, args[0].field, args[0].optional, test=True)

    def _items(self) -> list[tuple[Node, bool]]:
        items: list[tuple[Node, bool]] = []
        while not self._take("]"):
            optional = self._take("?") is not None
            items.append((self.expression(), optional))
            if not self._take(","):
                self.expect("]")
                break
        return items

    def _entries(self) -> list[tuple[Node, Node, bool]]:
        entries: list[tuple[Node, Node, bool]] = []
        while not self._take("}"):
            optional = self._take("?") is not None
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression(), optional))
            if not self._take(","):
                self.expect("}")
                break
        return entries
