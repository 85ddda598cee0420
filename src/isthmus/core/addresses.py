"""Addresses and ports in the catalog's schemas: formats, and how the ranges of parameters relate.

``format`` at a text: ``ipv4-range``, ``ip-address`` or ``port``. At a property whose value is a
range or an address: ``x-prefix: {from: 8, to: 28}`` says how large it may be (bits of the prefix),
``x-apart-from: [NAME]`` that it shares no address with those parameters, ``x-within: NAME`` that
it lies in that one.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final, cast

from isthmus.api.meta import Json

PREFIX, APART, WITHIN = "x-prefix", "x-apart-from", "x-within"
_Range = IPv4Network | IPv6Network
_RANGE: Final = re.compile(r"[0-9.]+/[0-9]{1,2}")
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}")


def _is_range(text: str) -> bool:
    return _RANGE.fullmatch(text) is not None and _range(text) is not None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_port(text: str) -> bool:
    return _PORT.fullmatch(text) is not None and int(text) <= 65535


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "ipv4-range": _is_range,
    "ip-address": _is_address,
    "port": _is_port,
}
"""What a text must be, by the name of the format."""
REMEDIES: Final[Mapping[str, str]] = {
    "ipv4-range": "write a range of IPv4 addresses by its first one, for example 10.20.0.0/24",
    "ip-address": "write one address, for example 10.20.0.7",
    "port": "write a port, 1 to 65535",
}
"""What is said where it is not, by the name of the format."""


def conflicts(
    properties: Mapping[str, Json], values: Mapping[str, Any], where: Callable[[str], str]
) -> Iterator[str]:
    """Yield what is wrong with the ranges of values that fit their formats, a sentence each.

    Args:
        properties: The schema of each parameter.
        values: Their values.
        where: The field that sets a parameter.
    """
    for name, schema in properties.items():
        own = _range(values.get(name))
        if own is None:
            continue
        yield from _size(f"{where(name)}: {values[name]}", own, schema)
        for other in cast("list[str]", schema.get(APART, [])):
            theirs = _range(values.get(other))
            if theirs is not None and _meet(own, theirs):
                yield (
                    f"{where(name)}: {values[name]} overlaps {where(other)}, {values[other]}; "
                    "choose another range for one of them."
                )
        around = str(schema.get(WITHIN, ""))
        theirs = _range(values.get(around))
        if theirs is not None and not _inside(own, theirs):
            yield f"{where(name)}: {values[name]} is not in {where(around)}, {values[around]}."


def _size(said: str, own: _Range, schema: Json) -> Iterator[str]:
    allowed = cast("dict[str, int]", schema.get(PREFIX))
    if not allowed or allowed["from"] <= own.prefixlen <= allowed["to"]:
        return
    wrong = "large" if own.prefixlen < allowed["from"] else "small"
    yield f"{said} is too {wrong}; take /{allowed['from']} to /{allowed['to']}."


def _range(value: Any) -> _Range | None:
    """Return a range, or an address as the range of one; None for anything else."""
    try:
        return ip_network(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _meet(one: _Range, other: _Range) -> bool:
    return one.version == other.version and one.overlaps(other)


def _inside(own: _Range, around: _Range) -> bool:
    return _meet(own, around) and own.prefixlen >= around.prefixlen
