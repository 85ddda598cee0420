"""Kubernetes' function libraries for rules: strings, lists, sets, URLs, addresses, quantities.

What CEL has no type for (a URL, an address, a quantity, a version) is a map with one entry here,
in one form for equal values, so that `==` works.

Source: https://kubernetes.io/docs/reference/using-api/cel/#cel-community-libraries
"""

import ipaddress
import itertools
import re
import string
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from isthmus.apiserver import celformats, celstandard
from isthmus.apiserver.celoperators import BINARY, add, contains, equal, to_string

_Value = dict[str, Any]
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII)
_POWERS = {"n": -3, "u": -2, "m": -1, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII
)
_LONGEST = 4096


# --- strings and lists ----------------------------------------------------------------------------


_LOWER = {ord(letter): letter.lower() for letter in string.ascii_uppercase}
_UPPER = {ord(letter): letter.upper() for letter in string.ascii_lowercase}
_LONGEST_RANGE = 10_000_000


def _checked(text: Any) -> str:
    if isinstance(text, str):
        return text
    raise TypeError("no string")


def _quoted(text: str) -> str:
    return '"' + _checked(text).translate(_QUOTED) + '"'


_QUOTED = {
    ord(plain): f"\\{shown}" for plain, shown in zip('\a\b\f\n\r\t\v\\"', 'abfnrtv\\"', strict=True)
}


def _least(*values: Any) -> Any:
    return _extreme(values, "min", "_<_")


def _greatest(*values: Any) -> Any:
    return _extreme(values, "max", "_>_")


def _extreme(values: tuple[Any, ...], name: str, better: str) -> Any:
    """Of a list."""
    (found,) = values
    if not found:
        raise ValueError(f"{name} called on empty list")
    best = found[0]
    for value in found[1:]:
        best = value if BINARY[better](value, best) else best
    return best


def _range(most: int) -> list[int]:
    if most > _LONGEST_RANGE:
        raise ValueError("range is too long")
    return list(range(most))


def _replace(text: str, old: str, new: str, most: int = -1) -> str:
    return _checked(text).replace(old, new, most)


def _split(text: str, separator: str, most: int = -1) -> list[str]:
    if most == 0:
        return []
    if separator == "":
        return list(text)
    return text.split(separator) if most < 0 else text.split(separator, most - 1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError("index out of range")
    return text[start:stop]


def _char_at(text: str, place: int) -> str:
    if not 0 <= place <= len(text):
        raise ValueError("index out of range")
    return text[place : place + 1]


def _index_of(value: Any, wanted: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(wanted, start)
    return next((i for i, item in enumerate(value) if equal(item, wanted)), -1)


def _last_index_of(value: Any, wanted: Any, start: int | None = None) -> int:
    if isinstance(value, str):
        return value.rfind(wanted) if start is None else value.rfind(wanted, 0, start + len(wanted))
    return max((i for i, item in enumerate(value) if equal(item, wanted)), default=-1)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, cast("list[Any]", value))) + "]"
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return "{" + ", ".join(f"{key}: {_shown(held[key])}" for key in sorted(held)) + "}"
    return "null" if value is None else to_string(value)


def _format(text: str, values: list[Any]) -> str:
    left = iter(values)

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        value = next(left)
        if match[0] == "%s":
            return _shown(value)
        return match[0] % value

    return re.sub(r"%%|%[sdx]|%(?:\.\d+)?[fe]", one, text)


def _sum(values: list[Any]) -> Any:
    total = values[0] if values else 0
    for value in values[1:]:
        total = add(total, value)
    return total


def _flatten(values: list[Any], depth: int = 1) -> list[Any]:
    out: list[Any] = []
    for value in values:
        if isinstance(value, list) and depth > 0:
            out += _flatten(cast("list[Any]", value), depth - 1)
        else:
            out.append(value)
    return out


def _distinct(values: list[Any]) -> list[Any]:
    return [value for place, value in enumerate(values) if not contains(value, values[:place])]


def _holds(left: list[Any], right: list[Any]) -> bool:
    return all(contains(item, left) for item in right)


# --- URLs -----------------------------------------------------------------------------------------


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    if any(letter.isspace() for letter in text):
        return False
    return text.startswith("/") or bool(parts.scheme and (parts.netloc or parts.path))


def _url(text: str) -> _Value:
    if not _is_url(text):
        raise ValueError("no URL")
    return {"url": text}


def _hostname(url: _Value) -> str:
    return urlsplit(str(url["url"])).hostname or ""


# --- addresses ------------------------------------------------------------------------------------


def _address(text: str) -> Any:
    if "%" in text or (text.lower().startswith("::ffff:") and "." in text):
        raise ValueError("no address")
    return ipaddress.ip_address(text)


def _ip(value: Any) -> _Value:
    if isinstance(value, dict):  # the address of a network
        network: str = cast("_Value", value)["cidr"]
        return {"ip": network.split("/")[0]}
    return {"ip": str(_address(value))}


def _cidr(text: str) -> _Value:
    interface = ipaddress.ip_interface(text)
    if "/" not in text:
        raise ValueError("no network")
    return {"cidr": str(interface)}


def _fits(make: Callable[[str], Any], text: str) -> bool:
    try:
        make(text)
    except (ValueError, InvalidOperation):
        return False
    return True


def _of(value: _Value) -> Any:
    return ipaddress.ip_address(value["ip"])


def _network(value: _Value) -> Any:
    return ipaddress.ip_network(value["cidr"], strict=False)


def _contains_ip(network: _Value, other: Any) -> bool:
    address = _address(other) if isinstance(other, str) else _of(other)
    return address in _network(network)


def _contains_cidr(network: _Value, other: Any) -> bool:
    inner = _network(_cidr(other) if isinstance(other, str) else other)
    outer = _network(network)
    return inner.version == outer.version and inner.subnet_of(outer)


# --- quantities and versions ----------------------------------------------------------------------


def _number(text: str) -> Decimal:
    match = _QUANTITY.fullmatch(text) if len(text) < _LONGEST else None
    if match is None:
        raise ValueError("no quantity")
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix[:1] in ("e", "E") and suffix[1:] and suffix != "Ei":
        exponent = int(suffix[1:])
        if abs(exponent) > 30:
            raise ValueError("too large a quantity")
        return number * Decimal(10) ** exponent
    if not suffix:
        return number
    base = 1024 if suffix.endswith("i") else 1000
    return number * Decimal(base) ** _POWERS[suffix[0]]


def _quantity(value: str | Decimal) -> _Value:
    number = value if isinstance(value, Decimal) else _number(value)
    return {"quantity": format(number.normalize(), "f")}


def _semver(text: str) -> _Value:
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise ValueError("no semantic version")
    return {"semver": [int(match[1]), int(match[2]), int(match[3]), match[4] or ""]}


def _rank(value: _Value) -> Any:
    """What a quantity or a version is compared by."""
    if "quantity" in value:
        return Decimal(value["quantity"])
    *numbers, before = value["semver"]
    parts = [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in before.split(".") if p]
    return (*numbers, not before, parts)


def _compare(left: _Value, right: _Value) -> int:
    a, b = _rank(left), _rank(right)
    return (a > b) - (a < b)


def _operand(value: Any) -> Decimal:
    return Decimal(value) if isinstance(value, int) else Decimal(value["quantity"])


def _whole(value: _Value) -> int:
    number = Decimal(value["quantity"])
    if number != number.to_integral_value():
        raise ValueError("no integer")
    return int(number)


def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    return values[start:end]


def _join(values: list[str], separator: str = "") -> str:
    return separator.join(values)


def _is_global(value: _Value) -> bool:
    found = _of(value)
    return not (
        found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local
    )


_OF_TEXT: dict[str, Callable[[str], Any]] = {
    "lowerAscii": lambda text: _checked(text).translate(_LOWER),
    "upperAscii": lambda text: _checked(text).translate(_UPPER),
    "trim": lambda text: _checked(text).strip(),
    "isURL": _is_url,
    "url": _url,
    "isIP": lambda text: _fits(_address, text),
    "ip.isCanonical": lambda text: str(_address(text)) == text,
    "isCIDR": lambda text: _fits(_cidr, text),
    "cidr": _cidr,
    "isQuantity": lambda text: _fits(_number, text),
    "quantity": _quantity,
    "isSemver": lambda text: _fits(_semver, text),
    "semver": _semver,
}
_OF_LIST: dict[str, Callable[[list[Any]], Any]] = {
    "isSorted": lambda values: all(a <= b for a, b in itertools.pairwise(values)),
    "sum": _sum,
    "distinct": _distinct,
    "sort": lambda values: sorted(values),
    "reverse": lambda values: values[::-1],
}
_OF_LISTS: dict[str, Callable[[list[Any], list[Any]], Any]] = {
    "sets.contains": _holds,
    "sets.equivalent": lambda left, right: _holds(left, right) and _holds(right, left),
    "sets.intersects": lambda left, right: any(contains(item, right) for item in left),
}
_OF_VALUE: dict[str, Callable[[_Value], Any]] = {
    "getScheme": lambda url: urlsplit(str(url["url"])).scheme,
    "getHost": lambda url: urlsplit(str(url["url"])).netloc.rpartition("@")[2],
    "getHostname": _hostname,
    "getPort": lambda url: str(urlsplit(str(url["url"])).port or ""),
    "getEscapedPath": lambda url: urlsplit(str(url["url"])).path,
    "getQuery": lambda url: parse_qs(urlsplit(str(url["url"])).query, keep_blank_values=True),
    "family": lambda value: _of(value).version,
    "isUnspecified": lambda value: _of(value).is_unspecified,
    "isLoopback": lambda value: _of(value).is_loopback,
    "isLinkLocalUnicast": lambda value: _of(value).is_link_local,
    "isGlobalUnicast": _is_global,
    "masked": lambda value: {"cidr": str(_network(value))},
    "prefixLength": lambda value: _network(value).prefixlen,
    "sign": lambda value: (Decimal(value["quantity"]) > 0) - (Decimal(value["quantity"]) < 0),
    "isInteger": lambda value: Decimal(value["quantity"]) % 1 == 0,
    "asInteger": _whole,
    "asApproximateFloat": lambda value: float(value["quantity"]),
    "major": lambda value: value["semver"][0],
    "minor": lambda value: value["semver"][1],
    "patch": lambda value: value["semver"][2],
}
_OF_VALUES: dict[str, Callable[[_Value, Any], Any]] = {
    "containsIP": _contains_ip,
    "containsCIDR": _contains_cidr,
    "add": lambda left, right: _quantity(_operand(left) + _operand(right)),
    "sub": lambda left, right: _quantity(_operand(left) - _operand(right)),
    "isGreaterThan": lambda left, right: _compare(left, right) > 0,
    "isLessThan": lambda left, right: _compare(left, right) < 0,
    "compareTo": _compare,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **_OF_TEXT,
    **_OF_LIST,
    **_OF_LISTS,
    **_OF_VALUE,
    **_OF_VALUES,
    "charAt": _char_at,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "replace": _replace,
    "split": _split,
    "substring": _substring,
    "join": _join,
    "format": _format,
    "flatten": _flatten,
    "slice": _slice,
    "ip": _ip,
    "min": _least,
    "max": _greatest,
    "lists.range": _range,
    "strings.quote": _quoted,
    **celstandard.FUNCTIONS,
    **celformats.FUNCTIONS,
}
"""By the name in a rule; a method's receiver is its first argument."""


# --- names ---------------------------------------------------------------------------------------

RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function",
     "if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while")
)  # fmt: skip
"""Names of properties that a rule writes as `__if__`."""
ESCAPED = re.compile("__(?:dot|dash|slash|underscores)__")


def named(name: str, *, method: bool) -> Callable[..., Any] | None:
    """The function of this name, or None.

    Args:
        name: As in a rule, with its namespace.
        method: Whether it has a receiver.
    """
    if method and name in _NO_METHODS:
        return None
    return FUNCTIONS.get(name)


_NO_METHODS = frozenset(
    ("int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration", "dyn", "type",
     "isURL", "url", "isIP", "isCIDR", "cidr", "isQuantity", "quantity", "isSemver", "semver")
)  # fmt: skip
