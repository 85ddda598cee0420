"""Ways through JSON values whose shape nobody has promised."""

from typing import Any, cast

import orjson

Json = dict[str, Any]
"""A JSON object."""

_NAMES = (
    (bool, "bool"),
    (dict, "object"),
    (list, "array"),
    (str, "string"),
    (int | float, "number"),
)


def type_name(value: Any) -> str:
    """What JSON calls the type of a value; numbers are not told apart."""
    return next((name for kind, name in _NAMES if isinstance(value, kind)), "null")


def as_map(value: Any) -> Json:
    """The value if it is an object, else an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def same(left: Any, right: Any) -> bool:
    """Whether two JSON values are equal; unlike in Python, `true` is not 1."""
    if left is right:
        return True
    if left != right:
        return False
    # Nearly always the bytes are alike as well; where they are not, an order or a `1.0` may differ.
    return orjson.dumps(left) == orjson.dumps(right) or _alike(left, right)


def _alike(left: Any, right: Any) -> bool:
    """Whether values that are equal in Python are so in JSON."""
    if isinstance(left, dict):
        return all(_alike(value, right[name]) for name, value in cast("Json", left).items())
    if isinstance(left, list):
        return all(map(_alike, cast("list[Any]", left), right))
    return isinstance(left, bool) == isinstance(right, bool)
