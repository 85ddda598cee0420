"""Ways through JSON values whose shape nobody has promised."""

from typing import Any, cast

Json = dict[str, Any]
"""A JSON object."""


def as_map(value: Any) -> Json:
    """The value if it is an object, else an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []
