"""Types of an expression before it runs: what cannot have a value is told to who writes the rule.

Where a type cannot be known, it is `dyn`, and everything is allowed: nothing is refused here that
could have a value.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#gradual-type-checking
"""

from collections.abc import Callable
from typing import NamedTuple, cast

from isthmus.apiserver import celfunctions, celstandard
from isthmus.apiserver.celoperators import KINDS, Fault, kind_of
from isthmus.apiserver.celoverloads import OPERATORS, SCALARS, fits, receives
from isthmus.apiserver.celsyntax import (
    Call,
    Ident,
    ListOf,
    Literal,
    Loop,
    MapOf,
    Node,
    Select,
    parse,
)
from isthmus.apiserver.celtokens import fault
from isthmus.apiserver.celtypes import (
    BOOL,
    BYTES,
    CIDR,
    DOUBLE,
    DURATION,
    DYN,
    FORMAT,
    INT,
    IP,
    MOMENT,
    QUANTITY,
    SEMVER,
    STRING,
    UINT,
    URL,
    Type,
    list_of,
    optional,
)

_TYPE = Type("type")
_OF_STRING: dict[str, Type] = {
    **dict.fromkeys(("contains", "startsWith", "endsWith", "matches"), BOOL),
    **dict.fromkeys(("lowerAscii", "upperAscii", "trim", "charAt", "substring", "replace", "find",
                     "format"), STRING),
    **dict.fromkeys(("split", "findAll"), list_of(STRING)),
}  # fmt: skip
_RECEIVERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_STRING, ("string",)),
    **dict.fromkeys(("indexOf", "lastIndexOf"), ("string", "list")),
    **dict.fromkeys(("join", "isSorted", "sum", "min", "max", "reverse", "sort", "distinct",
                     "flatten", "slice"), ("list",)),
    "size": ("string", "bytes", "list", "map"),
}  # fmt: skip
"""Of what some methods are."""
_GLOBALS = frozenset(("matches", "size"))
"""Methods that may also be called as functions."""
_RESULTS: dict[str, Type] = {
    **_OF_STRING,
    **dict.fromkeys(("indexOf", "lastIndexOf", "size", "int", "family", "prefixLength", "compareTo",
                     "asInteger", "sign", "major", "minor", "patch", "getFullYear", "getMonth",
                     "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours",
                     "getMinutes", "getSeconds", "getMilliseconds"), INT),
    **dict.fromkeys(("isSorted", "bool", "isURL", "isIP", "isCIDR", "isQuantity", "isSemver",
                     "isUnspecified", "isLoopback", "isLinkLocalUnicast", "isGlobalUnicast",
                     "containsIP", "containsCIDR", "isGreaterThan", "isLessThan", "isInteger",
                     "sets.contains", "sets.equivalent", "sets.intersects", "ip.isCanonical",
                     "hasValue"), BOOL),
    **dict.fromkeys(("string", "join", "getScheme", "getHost", "getHostname", "getPort",
                     "getEscapedPath", "strings.quote"), STRING),
    **dict.fromkeys(("double", "asApproximateFloat"), DOUBLE),
    "uint": UINT, "bytes": BYTES, "timestamp": MOMENT, "duration": DURATION, "type": _TYPE,
    **dict.fromkeys(("quantity", "add", "sub"), QUANTITY),
    **dict.fromkeys(("cidr", "masked"), CIDR), "ip": IP, "url": URL, "semver": SEMVER,
    "getQuery": Type("map", list_of(STRING)), "validate": optional(list_of(STRING)),
    "optional.none": optional(DYN), "lists.range": list_of(INT),
}  # fmt: skip


class Checked(NamedTuple):
    """An expression that was looked at.

    Attributes:
        node: Its tree.
        types: The types of its nodes, by their `id`; of nodes that nobody asked for there is none.
        fault: What is wrong with it; empty when nothing is.
    """

    node: Node
    types: dict[int, Type]
    fault: str


def checked(text: str, names: dict[str, Type], wanted: Type) -> Checked:
    """Find the types of an expression.

    Args:
        text: The expression.
        names: Its variables.
        wanted: What it must evaluate to.

    Raises:
        SyntaxFault: It is no expression.
    """
    node, checker = parse(text), _Checker(text)
    try:
        found = checker.type_of(node, names)
    except RecursionError:
        return Checked(node, {}, fault(text, 0, "expression recursion limit exceeded"))
    if checker.faults:
        why = "\n".join(why for _, why in sorted(checker.faults))
    else:
        why = "" if found == wanted else f"must evaluate to a {wanted}"
    return Checked(node, checker.types, why)


def check(text: str, names: dict[str, Type], wanted: Type) -> str:
    """What is wrong with an expression; see `checked`."""
    return checked(text, names, wanted).fault


class _Checker:
    """Walks one tree, and collects types and what is wrong."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.faults: list[tuple[int, str]] = []
        """What is wrong, and where in the text."""
        self.types: dict[int, Type] = {}

    def _wrong(self, node: Node, why: str) -> Type:
        self.faults.append((node.at, fault(self._text, node.at, why)))
        return DYN

    def type_of(self, node: Node, names: dict[str, Type]) -> Type:
        """The type of a node; its variables are these."""
        match node:
            case Literal(value=value):
                found = Type(kind_of(value))
            case Ident(name=name):
                found = self._ident(node, name, names)
            case Select():
                found = self._select(node, names)
            case ListOf(items=items):
                parts = [self._entry(item, names, opened) for item, opened in items]
                found = list_of(self._alike([item for item, _ in items], parts))
            case MapOf(entries=entries):
                for key, _, _ in entries:
                    self.type_of(key, names)
                parts = [self._entry(value, names, opened) for _, value, opened in entries]
                found = Type("map", self._alike([value for _, value, _ in entries], parts))
            case Loop():
                found = self._loop(node, names)
            case _:
                found = self._call(cast("Call", node), names)
        self.types[id(node)] = found
        return found

    def _ident(self, node: Node, name: str, names: dict[str, Type]) -> Type:
        if name in names:
            return names[name]
        if name in KINDS:
            return _TYPE
        return self._wrong(node, f"undeclared reference to '{name}' (in container '')")

    def _entry(self, node: Node, names: dict[str, Type], opened: bool) -> Type:
        found = self.type_of(node, names)
        return found.element if opened and found.name == "optional_type" else found

    def _alike(self, nodes: list[Node], found: list[Type]) -> Type:
        """What all elements of a literal are."""
        if not found or DYN in found:
            return DYN
        first = found[0]
        for node, other in zip(nodes, found, strict=True):
            if other != first and other in SCALARS and first in SCALARS:
                return self._wrong(node, f"expected type '{first}' but found '{other}'")
            if other != first:
                return DYN
        return first

    def _select(self, node: Select, names: dict[str, Type]) -> Type:
        if _dotted(node) in KINDS:
            return _TYPE
        target = self.type_of(node.target, names)
        inner = target.element if target.name == "optional_type" else target
        found = DYN
        if inner.name == "object":
            if node.field not in inner.fields:
                return self._wrong(node, f"undefined field '{node.field}'")
            found = inner.fields[node.field]
        elif inner.name == "map":
            found = inner.element
        elif inner in SCALARS or inner.name == "list":
            return self._wrong(node, f"type '{inner}' does not support field selection")
        if node.test:
            return BOOL
        return optional(found) if node.optional or inner is not target else found

    # --- calls -----------------------------------------------------------------------------------

    def _call(self, node: Call, names: dict[str, Type]) -> Type:
        if node.target is None and node.name.partition(".")[0] in names and "." in node.name:
            return DYN
        parts = [self._argument(node, arg, names) for arg in node.args]
        if node.target is not None:
            return self._method(node, self.type_of(node.target, names), parts)
        if operator := OPERATORS.get(node.name):
            found = operator(*parts)
            return self._overload(node, None, parts) if found is None else found
        if node.name in ("_&&_", "_||_"):
            whole = all(fits(part, BOOL) for part in parts)
            return BOOL if whole else self._overload(node, None, parts)
        return self._function(node, parts)

    def _argument(self, node: Call, arg: Node, names: dict[str, Type]) -> Type:
        if node.name == "format" and isinstance(arg, ListOf):
            for item, opened in arg.items:  # these alone may be of many types
                self._entry(item, names, opened)
            return list_of(DYN)
        return self.type_of(arg, names)

    def _overload(self, node: Call, target: Type | None, parts: list[Type]) -> Type:
        shown = f"({', '.join(map(str, parts))})"
        shown = f"{target}.{shown}" if target else shown
        name = "@in" if node.name == "_in_" else node.name
        return self._wrong(node, f"found no matching overload for '{name}' applied to '{shown}'")

    def _function(self, node: Call, parts: list[Type]) -> Type:
        name = node.name
        known = celfunctions.named(name, method=False) and (
            name not in _RECEIVERS or name in _GLOBALS
        )
        if not known:
            return self._wrong(node, f"undeclared reference to '{name}' (in container '')")
        if name in _GLOBALS and parts and not receives(_RECEIVERS[name], parts[0]):
            return self._overload(node, None, parts)
        if name == "optional.of" and parts:
            return optional(parts[0])
        if name.startswith("format."):
            return optional(FORMAT) if name == "format.named" else FORMAT
        self._check_literals(node, node.args)
        return _RESULTS.get(name, DYN)

    def _method(self, node: Call, target: Type, parts: list[Type]) -> Type:
        name = node.name
        if name in ("or", "orValue"):
            inner = target.element if target.name == "optional_type" else DYN
            if name == "or":
                return target
            return inner if inner != DYN or not parts else parts[0]
        if celfunctions.named(name, method=True) is None:
            return self._wrong(node, f"undeclared reference to '{name}' (in container '')")
        if not receives(_RECEIVERS.get(name), target):
            return self._overload(node, target, parts)
        if name == "value" and target.name == "optional_type":
            return target.element
        if name in ("sum", "min", "max"):
            return target.element
        if name in ("reverse", "sort", "distinct", "slice"):
            return target
        if name == "flatten" and not parts and target.element.name == "list":
            return target.element
        if name == "matches":
            self._check_literals(node, node.args)
        return _RESULTS.get(name, DYN)

    def _check_literals(self, node: Call, args: tuple[Node, ...]) -> None:
        """Constants that can be looked at already: expressions, times."""
        how = _LITERALS.get(node.name)
        last = args[-1] if args else None
        if how is None or not isinstance(last, Literal) or not isinstance(last.value, str):
            return
        try:
            how(last.value)
        except Fault:
            self._wrong(last, f"invalid {node.name} argument")

    # --- loops -----------------------------------------------------------------------------------

    def _loop(self, node: Loop, names: dict[str, Type]) -> Type:
        target = self.type_of(node.target, names)
        if node.name in ("optMap", "optFlatMap"):
            inner = target.element if target.name == "optional_type" else DYN
            made = self.type_of(node.args[0], {**names, node.names[0]: inner})
            return optional(made) if node.name == "optMap" else made
        if target in SCALARS or target.name == "object":
            why = "cannot be range of a comprehension (must be list, map, or dynamic)"
            return self._wrong(node.target, f"expression of type '{target}' {why}")
        bound = {**names, **_bound(node, target)}
        found = [self.type_of(arg, bound) for arg in node.args]
        tests = found[:-1] if node.name.startswith(("map", "transform")) else found
        for arg, test in zip(node.args, tests, strict=False):
            if node.name != "sortBy" and not fits(test, BOOL):
                self._wrong(arg, f"expected type 'bool' but found '{test}'")
        return _made(node.name, target, found[-1])


def _bound(node: Loop, target: Type) -> dict[str, Type]:
    key = INT if target.name == "list" else STRING if target.name == "map" else DYN
    item = target.element if target.name in ("list", "map") else DYN
    if len(node.names) == 2:
        return {node.names[0]: key, node.names[1]: item}
    return {node.names[0]: item if target.name == "list" else key}


def _made(name: str, target: Type, last: Type) -> Type:
    if name in ("map", "transformList"):
        return list_of(last)
    if name == "transformMap":
        return Type("map", last)
    if name == "transformMapEntry":
        return last
    if name == "filter":
        of = target.element if target.name == "list" else STRING
        return list_of(of if target.name in ("list", "map") else DYN)
    return target if name == "sortBy" else BOOL


_LITERALS: dict[str, Callable[[str], object]] = {
    "matches": celstandard.pattern,
    "timestamp": celstandard.FUNCTIONS["timestamp"],
    "duration": celstandard.FUNCTIONS["duration"],
}


def _dotted(node: Node) -> str:
    parts: list[str] = []
    while isinstance(node, Select) and not node.test:
        parts.append(node.field)
        node = node.target
    return ".".join((node.name, *reversed(parts))) if isinstance(node, Ident) and parts else ""
