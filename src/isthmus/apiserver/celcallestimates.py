"""What functions and operators of expressions cost at most, by the sizes of what they are given.

The numbers are those by which kube-apiserver takes or refuses a definition, also where they seem
odd: `matches(text, pattern)` costs 1, and `text.matches(pattern)` what it may take.

Sources: https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/cel/library/cost.go
https://github.com/google/cel-go/blob/master/checker/cost.go
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from isthmus.apiserver.celoverloads import fits
from isthmus.apiserver.celsizes import MOST, ONE, Part, Size, bounded, scaled
from isthmus.apiserver.celsyntax import Literal
from isthmus.apiserver.celtypes import (
    BYTES,
    CIDR,
    DYN,
    FORMAT,
    IP,
    QUANTITY,
    SEMVER,
    STRING,
    URL,
    Type,
)

_LETTER = 0.1
"""The cost of looking at one letter."""
_PATTERN = 0.25
"""The cost of one letter of a regular expression, for each that it is held against."""
_LONGEST_FORMAT, _LONGEST_PATTERN = 64, 128
_NEW_LIST = 11
_ADDRESS = 16
"""Bytes of an address."""


class Called(NamedTuple):
    """A call, with its receiver and its arguments."""

    target: Part | None
    args: tuple[Part, ...]

    @property
    def first(self) -> Part | None:
        """The receiver, or the first argument."""
        return self.target or (self.args[0] if self.args else None)


class Estimate(NamedTuple):
    """What a call costs besides its parts, and the size of its result where that is known."""

    cost: int
    size: Size | None = None


PLAIN = Estimate(1)
_Estimator = Callable[[Called], Estimate]


# --- strings --------------------------------------------------------------------------------------


def _read(factor: float, *, keeps: bool = False) -> _Estimator:
    """The receiver or the first argument is read; the result may be of the same size."""

    def estimate(call: Called) -> Estimate:
        size = call.first.size if call.first else ONE
        return Estimate(scaled(size.most, factor), size if keeps else None)

    return estimate


def _of_argument(call: Called) -> Estimate:
    return Estimate(scaled(call.args[0].size.most, _LETTER)) if call.args else PLAIN


def _contains(call: Called) -> Estimate:
    if call.target is None or not call.args:
        return PLAIN
    text, part = call.target.size.most, call.args[0].size.most
    return Estimate(bounded(scaled(text, _LETTER) * scaled(part, _LETTER)))


def _matched(call: Called) -> int:
    text = call.target.size.most if call.target else 0
    letters = scaled(bounded(text + 1), _LETTER)
    return bounded(letters * scaled(call.args[0].size.most, _PATTERN))


def _matches(call: Called) -> Estimate:
    return Estimate(_matched(call)) if call.target and call.args else PLAIN


def _found(call: Called) -> Estimate:
    if call.target is None or not call.args:
        return PLAIN
    return Estimate(_matched(call), Size(0, call.target.size.most))


def _replaced(call: Called) -> Estimate:
    if call.target is None or len(call.args) < 2:
        return PLAIN
    text, old, new = call.target.size, call.args[0].size, call.args[1].size
    cost = scaled(text.most, 2 * _LETTER)
    times, kept = Size(0, 0), Size(0, 0)
    if old.least == 0:  # then the new text goes between all letters
        times, kept = Size(0, bounded(text.most + 1)), Size(0, text.most)
    elif new.most <= old.least:
        kept = Size(0, text.most)
    else:
        times = Size(0, bounded(math.ceil(float(text.most) / float(old.least))))
    return Estimate(cost, times.times(new).plus(kept))


def _split(call: Called) -> Estimate:
    if call.target is None:
        return PLAIN
    most = call.target.size.most
    limit = call.args[1].node if len(call.args) > 1 else None
    if isinstance(limit, Literal) and type(limit.value) is int:
        most = limit.value % (MOST + 1)
    return Estimate(scaled(call.target.size.most, 2 * _LETTER), Size(0, most))


def _joined(call: Called) -> Estimate:
    if call.target is None:
        return PLAIN
    elements = call.target.size
    size = elements.times(call.target.element) if call.target.kind.item else Size(0, 0)
    if call.args:
        between = Size(max(0, elements.least - 1), max(0, elements.most - 1))
        size = size.plus(call.args[0].size.times(between))
    return Estimate(scaled(size.most, _LETTER), size)


def _quoted(call: Called) -> Estimate:
    if len(call.args) != 1:
        return PLAIN
    size = call.args[0].size
    longer = Size(bounded(size.least + 2), bounded(size.most * 2 + 2))
    return Estimate(scaled(size.most, _LETTER), longer)


def _to_bytes(call: Called) -> Estimate:
    if len(call.args) != 1 or not fits(call.args[0].kind, STRING):
        return PLAIN
    size = call.args[0].size
    return Estimate(_converted(call.args[0]), Size(size.least, bounded(size.most * 4)))


def _to_string(call: Called) -> Estimate:
    if len(call.args) != 1 or not fits(call.args[0].kind, BYTES):
        return PLAIN
    size = call.args[0].size
    return Estimate(_converted(call.args[0]), Size(size.least // 4, size.most))


def _converted(part: Part) -> int:
    return max(int(part.kind == DYN), scaled(part.size.most, _LETTER))


def _validated(call: Called) -> Estimate:
    if not call.args:
        return PLAIN
    letters = scaled(call.args[0].size.most, _LETTER)
    return Estimate(scaled(letters, _LONGEST_PATTERN * _PATTERN))


# --- lists ----------------------------------------------------------------------------------------


def _each(call: Called) -> Estimate:
    """Each element of a list with all of its letters, or all letters of a text."""
    if call.target is None:
        return PLAIN
    most, element = call.target.size.most, call.target.kind.item
    if call.target.kind.name != "list":
        return Estimate(scaled(most, _LETTER))
    letters = call.target.element.most if element in (STRING, BYTES) else 0
    return Estimate(bounded(most * bounded(1 + scaled(letters, _LETTER))))


def _copied(size: Size, factor: float = 1) -> Estimate:
    return Estimate(bounded(scaled(size.most, factor) + _NEW_LIST), size)


def sorted_by(size: Size, key: Type) -> Estimate:
    """A list of so many elements, put in the order of keys of this type."""
    return _copied(size.times(size), 2 + (_LETTER if key in (STRING, BYTES, DYN) else 0))


def _whole(part: Part, otherwise: int) -> int:
    value = part.node.value if isinstance(part.node, Literal) else None
    return max(0, value) if type(value) is int else otherwise


def _sliced(call: Called) -> Estimate:
    if call.target is None or len(call.args) != 2:
        return PLAIN
    start, end = _whole(call.args[0], 0), _whole(call.args[1], call.target.size.most)
    length = (end - start) % (MOST + 1)
    return _copied(Size(length, length))


def _ranged(call: Called) -> Estimate:
    most = _whole(call.args[0], MOST) if call.args else MOST
    return _copied(Size(most, most))


def _flattened(call: Called) -> Estimate:
    if call.target is None:
        return PLAIN
    depth = _whole(call.args[0], MOST) if call.args else 1
    return _copied(call.target.size, float(depth))


def _of_list(how: Callable[[Part], Estimate]) -> _Estimator:
    return lambda call: how(call.target) if call.target else PLAIN


def _compared(factor: int) -> _Estimator:
    """Each element of one list with each of another."""

    def estimate(call: Called) -> Estimate:
        if len(call.args) != 2:
            return PLAIN
        pairs = call.args[0].size.times(call.args[1].size).most
        return Estimate(bounded(scaled(pairs, factor) + 1))

    return estimate


# --- addresses ------------------------------------------------------------------------------------


def _ip(call: Called) -> Estimate:
    return PLAIN if call.target else _of_argument(call)


def _within(looks: int) -> _Estimator:
    """One address or network in another; a text has to be read first."""

    def estimate(call: Called) -> Estimate:
        cost = scaled(2 * _ADDRESS, _LETTER) + looks
        if call.args and fits(call.args[0].kind, STRING):
            cost += _of_argument(call).cost
        return Estimate(bounded(cost))

    return estimate


# --- operators ------------------------------------------------------------------------------------


def _texts(call: Called) -> bool:
    return any(all(fits(part.kind, text) for part in call.args) for text in (STRING, BYTES))


def _alike(call: Called) -> int:
    return scaled(min(part.size.most for part in call.args), _LETTER)


def _equal(call: Called) -> Estimate:
    left, right = call.args
    if left.kind == right.kind:
        if left.kind in (IP, CIDR, QUANTITY, SEMVER):
            return PLAIN
        if left.kind == FORMAT:
            return Estimate(scaled(_LONGEST_FORMAT, _LETTER))
        if left.kind == URL:
            return Estimate(scaled((right.sized() or ONE).most, _LETTER))
    return Estimate(_alike(call))


def _ordered(call: Called) -> Estimate:
    if not _texts(call):
        return PLAIN
    either = any(part.kind in (STRING, BYTES) for part in call.args)
    return Estimate(_alike(call) if either else max(1, _alike(call)))


def _added(call: Called) -> Estimate:
    left, right = call.args
    size = left.size.plus(right.size)
    if _texts(call):
        return Estimate(scaled(size.most, _LETTER), size)
    lists = all(part.kind.name in ("list", "dyn") for part in call.args)
    return Estimate(1, size if lists else None)


def _contained(call: Called) -> Estimate:
    _, container = call.args
    if container.kind.name == "map":
        return PLAIN
    return Estimate(max(int(container.kind == DYN), container.size.most))


OPERATORS: dict[str, _Estimator] = {
    "_==_": _equal,
    "_!=_": lambda call: Estimate(_alike(call)),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_"), _ordered),
    "_+_": _added,
    "_in_": _contained,
}
FUNCTIONS: dict[str, _Estimator] = {
    **dict.fromkeys(("startsWith", "endsWith", "isIP", "cidr", "isCIDR", "quantity", "isQuantity",
                     "semver", "isSemver"), _of_argument),
    **dict.fromkeys(("lowerAscii", "upperAscii", "substring", "trim", "url"),
                    _read(_LETTER, keeps=True)),
    "format": _read(_LETTER), "ip.isCanonical": _read(2 * _LETTER),
    "contains": _contains, "matches": _matches, "find": _found, "findAll": _found,
    "replace": _replaced, "split": _split, "join": _joined, "strings.quote": _quoted,
    "bytes": _to_bytes, "string": _to_string, "validate": _validated,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _each),
    "reverse": _of_list(lambda part: _copied(part.size)),
    "distinct": _of_list(lambda part: _copied(part.size.times(part.size), 2)),
    "sort": _of_list(lambda part: sorted_by(part.size, part.kind.element)),
    "slice": _sliced, "flatten": _flattened, "lists.range": _ranged,
    "sets.contains": _compared(1), "sets.intersects": _compared(1), "sets.equivalent": _compared(2),
    "ip": _ip, "containsIP": _within(0), "containsCIDR": _within(scaled(_ADDRESS, _LETTER) + 1),
}  # fmt: skip
"""Whatever is not here costs 1, and nobody knows the size of its result but by its type."""
