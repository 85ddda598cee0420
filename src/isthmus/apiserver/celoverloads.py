"""Which types the operators of expressions take, and what comes of them.

A type that is not known fits everywhere.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#standard-definitions
"""

from collections.abc import Callable

from isthmus.apiserver.celtypes import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    MOMENT,
    STRING,
    UINT,
    Type,
    list_of,
    optional,
)

_NUMBERS = (INT, UINT, DOUBLE)
SCALARS = (*_NUMBERS, STRING, BYTES, BOOL)
_PLAIN = (*SCALARS, Type("list"), Type("map"), Type("object"))
_NAMES = frozenset(kind.name for kind in _PLAIN)
_ORDERED = (*SCALARS, MOMENT, DURATION)
_ADDED = (*_NUMBERS, STRING, BYTES, Type("list"), DURATION)
_ARITHMETIC: dict[str, tuple[Type, ...]] = {
    "_+_": _ADDED,
    "_-_": (*_NUMBERS, DURATION, MOMENT),
    "_*_": _NUMBERS,
    "_/_": _NUMBERS,
    "_%_": (INT, UINT),
}
_TIMES: dict[tuple[str, Type, Type], Type] = {
    ("_+_", MOMENT, DURATION): MOMENT,
    ("_+_", DURATION, MOMENT): MOMENT,
    ("_-_", MOMENT, DURATION): MOMENT,
    ("_-_", MOMENT, MOMENT): DURATION,
    ("_+_", DURATION, DURATION): DURATION,
    ("_-_", DURATION, DURATION): DURATION,
}


def fits(found: Type, wanted: Type) -> bool:
    """Whether a value may be of the wanted type."""
    return found in (DYN, wanted)


def receives(wanted: tuple[str, ...] | None, target: Type) -> bool:
    """Whether a method of these types may be called of this one; None: of any."""
    return wanted is None or target.name in (*wanted, "dyn") or target.name not in _NAMES


def _comparable(left: Type, right: Type) -> Type | None:
    """`==`: of different types only where one is not known, or may be null."""
    if left.name == right.name or DYN in (left, right):
        return BOOL
    if left.name in _NAMES and right.name in _NAMES:
        return None
    return BOOL


def _ordered(left: Type, right: Type) -> Type | None:
    if DYN in (left, right) or (left in _NUMBERS and right in _NUMBERS):
        return BOOL
    return BOOL if left == right and left in _ORDERED else None


def _arithmetic(name: str) -> Callable[[Type, Type], Type | None]:
    allowed = _ARITHMETIC[name]
    names = {kind.name for kind in allowed}

    def result(left: Type, right: Type) -> Type | None:
        if DYN in (left, right):
            return DYN
        if found := _TIMES.get((name, left, right)):
            return found
        if MOMENT in (left, right) or left.name not in _NAMES or right.name not in _NAMES:
            return DYN  # other combinations of times are left to the run
        if left.name != right.name or left.name not in names:
            return None
        return left if left == right else list_of(DYN)

    return result


def _contained(item: Type, container: Type) -> Type | None:
    if container.name in ("list", "map"):
        wanted = container.element if container.name == "list" else STRING
        return _comparable(item, wanted)
    return BOOL if container == DYN else None


def _element(target: Type, key: Type) -> Type | None:
    if target.name == "optional_type":
        held = target.element
        return optional(held.element if held.name in ("list", "map") else DYN)
    if target.name == "list":
        return target.element if key in (DYN, *_NUMBERS) else None
    if target.name == "map":
        return target.element if key.name not in _NAMES or fits(key, STRING) else None
    return None if target.name in _NAMES else DYN


def _maybe(target: Type, key: Type) -> Type | None:
    found = _element(target, key)
    if found is None:
        return None
    return found if found.name == "optional_type" else optional(found)


def _choice(condition: Type, then: Type, otherwise: Type) -> Type | None:
    if not fits(condition, BOOL) or _comparable(then, otherwise) is None:
        return None
    return then if then == otherwise else DYN


def _denied(value: Type) -> Type | None:
    return BOOL if fits(value, BOOL) else None


def _negated(value: Type) -> Type | None:
    return value if value in (DYN, INT, DOUBLE) else None


OPERATORS: dict[str, Callable[..., Type | None]] = {
    **dict.fromkeys(("_==_", "_!=_"), _comparable),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _ordered),
    **{name: _arithmetic(name) for name in _ARITHMETIC},
    "_in_": _contained,
    "_[_]": _element,
    "_[?_]": _maybe,
    "_?_:_": _choice,
    "!_": _denied,
    "-_": _negated,
}
"""What an operator results in; None: nothing, for values of these types."""
