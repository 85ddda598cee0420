"""Kubernetes' own types in rules: URLs, addresses, networks, quantities, versions.

CEL has no type for them, so each is a map with one entry here, in one form for equal values, so
that `==` works.

Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-url-library
"""

import ipaddress
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

_Value = dict[str, Any]
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII)
_POWERS = {"n": -3, "u": -2, "m": -1, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII
)
_LONGEST = 4096


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


def _is_global(value: _Value) -> bool:
    found = _of(value)
    return not (
        found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local
    )


_OF_TEXT: dict[str, Callable[[str], Any]] = {
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
FUNCTIONS: dict[str, Callable[..., Any]] = {**_OF_TEXT, **_OF_VALUE, **_OF_VALUES, "ip": _ip}
"""By the name in a rule; a method's receiver is its first argument."""
