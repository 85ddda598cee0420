"""Ways through JSON values whose shape nobody has promised."""

from typing import Any, cast

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
