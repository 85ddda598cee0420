"""What the functions of expressions cost, in the unit of Kubernetes.

Source: https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/cel/library/cost.go
"""

import math
from collections.abc import Callable

_FORMAT_COST = 32


def _letters(share: float, of: int = 0) -> Callable[..., int]:
    return lambda *sizes: math.ceil(sizes[of] * share) if len(sizes) > of else 1


def _of_pattern(text: int, expression: int, *_: int) -> int:
    return math.ceil((1 + text) * 0.1) * math.ceil(expression * 0.25)


def _product(text: int, part: int) -> int:
    return math.ceil(text * 0.1) * math.ceil(part * 0.1)


def _of_format(_: int, text: int) -> int:
    return math.ceil((1 + text) * 0.1) * _FORMAT_COST


def _square(*sizes: int) -> int:
    return 1 + sizes[0] * sizes[-1]


COSTS: dict[str, Callable[..., int]] = {
    **dict.fromkeys(("matches", "find", "findAll"), _of_pattern),
    "contains": _product,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf", "sort", "flatten",
                     "slice", "reverse"), _letters(1)),
    **dict.fromkeys(("bytes", "string", "url", "isURL", "lowerAscii", "upperAscii", "substring",
                     "trim", "quantity", "isQuantity", "cidr", "ip", "isIP", "isCIDR", "semver",
                     "isSemver", "format"), _letters(0.1)),
    **dict.fromkeys(("startsWith", "endsWith"), _letters(0.1, of=1)),
    **dict.fromkeys(("replace", "split", "join", "ip.isCanonical", "strings.quote"), _letters(0.2)),
    **dict.fromkeys(("sets.contains", "sets.equivalent", "sets.intersects", "distinct"), _square),
    "validate": _of_format,
}  # fmt: skip
"""What functions cost that do not cost 1, by the sizes of their arguments."""
TEXT_COSTS = {**COSTS, **dict.fromkeys(("indexOf", "lastIndexOf"), _letters(0.1))}
"""The same, where the first argument is a string."""
