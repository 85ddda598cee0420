"""Operators and conversions of the Common Expression Language on Python's values.

A value of CEL is the Python value of the same kind; an unsigned integer, a type and an optional
value are classes of their own. Nothing is converted silently: `1 + 1.0` has no meaning.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md#standard-definitions
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from isthmus.apiserver.celtokens import LARGEST, SMALLEST, UInt
from isthmus.apiserver.celvalues import duration, moment

_LARGEST_UINT = 2**64 - 1


class Fault(Exception):
    """An expression has no value; the message is Kubernetes' own."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type as a value: what `type(x)` is, and what `int` means as a name."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """A value, or none."""

    value: Any = None
    there: bool = False


NONE = Optional()
_KINDS: dict[type, str] = {
    bool: "bool",
    int: "int",
    UInt: "uint",
    float: "double",
    str: "string",
    bytes: "bytes",
    list: "list",
    dict: "map",
    type(None): "null_type",
    datetime: "google.protobuf.Timestamp",
    timedelta: "google.protobuf.Duration",
    Kind: "type",
    Optional: "optional_type",
}
KINDS = {name: Kind(name) for name in _KINDS.values()}


def kind_of(value: Any) -> str:
    """The name of a value's type."""
    return _KINDS.get(cast("type[object]", type(value)), "dyn")


def no_overload() -> Fault:
    """An operator or function was given values that it is not for."""
    return Fault("no such overload")


# --- equality and order ---------------------------------------------------------------------------


def equal(left: Any, right: Any) -> bool:
    """Whether two values are equal; numbers of any kind are compared by what they are worth."""
    a, b = cast("type[object]", type(left)), cast("type[object]", type(right))
    if a is b and a in (str, int, float, bool, bytes, type(None)):
        return left == right
    if a is bool or b is bool:
        return False
    if a is list and b is list:
        return len(left) == len(right) and all(map(equal, left, right))
    if a is dict and b is dict:
        return len(left) == len(right) and all(
            key in right and equal(value, right[key]) for key, value in left.items()
        )
    if isinstance(left, Optional) and isinstance(right, Optional):
        return left.there == right.there and equal(left.value, right.value)
    return bool(left == right)


def _compared(sign: str, how: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    numbers = (int, float, UInt)

    def compare(left: Any, right: Any) -> bool:
        a, b = cast("type[object]", type(left)), cast("type[object]", type(right))
        if (a in numbers and b in numbers) or (
            a is b and a in (str, bytes, bool, datetime, timedelta)
        ):
            return how(left, right)
        raise no_overload()

    return compare


def contains(value: Any, container: Any) -> bool:
    """`value in container`."""
    if isinstance(container, list):
        return any(equal(value, item) for item in cast("list[Any]", container))
    if isinstance(container, dict):
        return isinstance(value, str | int) and value in container
    raise no_overload()


# --- arithmetic -----------------------------------------------------------------------------------


def bounded(value: int, like: Any = 0) -> int:
    """An integer of 64 bits, of the same kind as `like`."""
    if isinstance(like, UInt):
        if 0 <= value <= _LARGEST_UINT:
            return UInt(value)
        raise Fault("unsigned integer overflow")
    if SMALLEST <= value <= LARGEST:
        return value
    raise Fault("integer overflow")


def _both(left: Any, right: Any, *kinds: type) -> bool:
    return type(left) is type(right) and type(left) in kinds


def add(left: Any, right: Any) -> Any:
    """`left + right`."""
    if _both(left, right, int, UInt):
        return bounded(left + right, left)
    if _both(left, right, str, float, bytes, list):
        return left + right
    if isinstance(left, timedelta) and isinstance(right, timedelta | datetime):
        return _in_range(lambda: left + right)
    if isinstance(left, datetime) and isinstance(right, timedelta):
        return _in_range(lambda: left + right)
    raise no_overload()


def subtract(left: Any, right: Any) -> Any:
    """`left - right`."""
    if _both(left, right, int, UInt):
        return bounded(left - right, left)
    if _both(left, right, float):
        return left - right
    if isinstance(left, datetime) and isinstance(right, datetime | timedelta):
        return _in_range(lambda: left - right)
    if isinstance(left, timedelta) and isinstance(right, timedelta):
        return _in_range(lambda: left - right)
    raise no_overload()


def _in_range(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except OverflowError as error:
        raise Fault("timestamp overflow") from error


def multiply(left: Any, right: Any) -> Any:
    """`left * right`."""
    if _both(left, right, int, UInt):
        return bounded(left * right, left)
    if _both(left, right, float):
        return left * right
    raise no_overload()


def divide(left: Any, right: Any) -> Any:
    """`left / right`, towards zero for integers."""
    if _both(left, right, int, UInt):
        if right == 0:
            raise Fault("division by zero")
        quotient = abs(left) // abs(right)
        return bounded(quotient if (left < 0) == (right < 0) else -quotient, left)
    if _both(left, right, float):
        if right == 0.0:
            unknown = math.isnan(left) or left == 0
            return math.nan if unknown else math.copysign(math.inf, left) * math.copysign(1, right)
        return left / right
    raise no_overload()


def modulo(left: Any, right: Any) -> Any:
    """`left % right`, with the sign of the left."""
    if not _both(left, right, int, UInt):
        raise no_overload()
    if right == 0:
        raise Fault("modulus by zero")
    rest = abs(left) % abs(right)
    return bounded(-rest if left < 0 else rest, left)


def negate(value: Any) -> Any:
    """`-value`."""
    if type(value) is int:
        return bounded(-value)
    if type(value) is float:
        return -value
    raise no_overload()


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "_+_": add,
    "_-_": subtract,
    "_*_": multiply,
    "_/_": divide,
    "_%_": modulo,
    "_==_": equal,
    "_!=_": lambda left, right: not equal(left, right),
    "_<_": _compared("<", operator.lt),
    "_<=_": _compared("<=", operator.le),
    "_>_": _compared(">", operator.gt),
    "_>=_": _compared(">=", operator.ge),
    "_in_": contains,
}


# --- elements -------------------------------------------------------------------------------------


def index(value: Any, key: Any) -> Any:
    """`value[key]`."""
    if isinstance(value, list):
        return _item(cast("list[Any]", value), key)
    if isinstance(value, dict):
        held = cast("dict[Any, Any]", value)
        if not isinstance(key, str | int) or key not in held:
            raise Fault(f"no such key: {key}")
        return held[key]
    raise no_overload()


def _item(values: list[Any], place: Any) -> Any:
    if isinstance(place, float) and place.is_integer():
        place = int(place)
    if not isinstance(place, int) or isinstance(place, bool):
        raise no_overload()
    if not 0 <= place < len(values):
        raise Fault(f"index out of bounds: {place}")
    return values[place]


def find(value: Any, key: Any) -> Optional:
    """`value[?key]`."""
    if isinstance(value, Optional):
        return find(value.value, key) if value.there else NONE
    if isinstance(value, dict):
        held = cast("dict[Any, Any]", value)
        return Optional(held[key], there=True) if key in held else NONE
    if isinstance(value, list) and isinstance(key, int):
        items = cast("list[Any]", value)
        return Optional(items[key], there=True) if 0 <= key < len(items) else NONE
    raise no_overload()


# --- conversions ----------------------------------------------------------------------------------


def to_int(value: Any) -> int:
    """`int(value)`."""
    if isinstance(value, bool):
        raise no_overload()
    if isinstance(value, datetime):
        return math.floor(value.timestamp())
    if isinstance(value, float) and not math.isfinite(value):
        raise Fault("integer overflow")
    if isinstance(value, str | int | float):
        return bounded(_parsed(int, value, "int"))
    raise no_overload()


def to_uint(value: Any) -> UInt:
    """`uint(value)`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise no_overload()
    if isinstance(value, float) and not math.isfinite(value):
        raise Fault("unsigned integer overflow")
    return UInt(bounded(_parsed(int, value, "uint"), UInt()))


def to_double(value: Any) -> float:
    """`double(value)`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise no_overload()
    return _parsed(float, value, "double")


def _parsed(how: Callable[[Any], Any], value: Any, name: str) -> Any:
    if isinstance(value, str) and ("_" in value or value != value.strip()):
        raise Fault(f"type conversion error from 'string' to '{name}'")
    try:
        return how(value)
    except ValueError as error:
        raise Fault(f"type conversion error from 'string' to '{name}'") from error


def to_string(value: Any) -> str:
    """`string(value)`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    if isinstance(value, bytes):
        return _decoded(value)
    if isinstance(value, datetime):
        text = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return text.replace(f"{value.microsecond:06}Z", f"{value.microsecond:06}".rstrip("0") + "Z")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():f}".rstrip("0").rstrip(".") + "s"
    raise no_overload()


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Fault("invalid UTF-8 in bytes, cannot convert to string") from error


def to_bool(value: Any) -> bool:
    """`bool(value)`."""
    if isinstance(value, bool):
        return value
    if value in ("true", "True", "TRUE", "t", "1"):
        return True
    if value in ("false", "False", "FALSE", "f", "0"):
        return False
    raise Fault("type conversion error from 'string' to 'bool'")


def to_bytes(value: Any) -> bytes:
    """`bytes(value)`."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    raise no_overload()


def to_moment(value: Any) -> datetime:
    """`timestamp(value)`."""
    if isinstance(value, datetime):
        return value
    try:
        if type(value) is int:
            return datetime.fromtimestamp(value, UTC)
        return moment(value)
    except (ValueError, OverflowError, OSError) as error:
        raise Fault("type conversion error from 'string' to 'google.protobuf.Timestamp'") from error


def to_duration(value: Any) -> timedelta:
    """`duration(value)`."""
    if isinstance(value, timedelta):
        return value
    try:
        return duration(value)
    except (ValueError, OverflowError) as error:
        raise Fault("type conversion error from 'string' to 'google.protobuf.Duration'") from error


def size(value: Any) -> int:
    """`size(value)`."""
    if isinstance(value, str | bytes | list | dict):
        return len(cast("str", value))
    raise no_overload()
