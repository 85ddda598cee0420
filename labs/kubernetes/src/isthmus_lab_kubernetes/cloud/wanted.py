"""What the cloud's network API wants, as far as the lab's guests are concerned: values only."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rule:
    """One rule of a security group; empty is any."""

    direction: str
    """ingress or egress."""
    ethertype: str = "IPv4"
    protocol: str = ""
    first: int | None = None
    """The lowest port, or the ICMP type."""
    last: int | None = None
    """The highest port, or the ICMP code."""
    cidr: str = ""
    group: str = ""
    """Another security group, whose members are meant."""


@dataclass(frozen=True)
class Card:
    """A port of a guest, of a played server, or of anything else on a network."""

    id: str
    network: str
    mac: str
    addresses: tuple[str, ...]
    secured: bool = True
    groups: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    """Allowed address pairs: address or CIDR, and MAC."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Every address that it may send from."""
        return tuple(dict.fromkeys((*self.addresses, *(pair[0] for pair in self.pairs))))


@dataclass(frozen=True)
class Leg:
    """A router's interface on a network, with its addresses and their prefix lengths."""

    id: str
    network: str
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Router:
    """A router between networks; `floating` are pairs of a floating and a fixed address."""

    id: str
    legs: tuple[Leg, ...]
    outside: Leg | None = None
    gateway: str = ""
    """The next hop outside."""
    masks: bool = True
    """Guests without a floating address are seen outside under the router's own."""
    routes: tuple[tuple[str, str], ...] = ()
    floating: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Wanted:
    """All of it at one moment."""

    cards: tuple[Card, ...] = ()
    groups: dict[str, tuple[Rule, ...]] = field(default_factory=dict[str, tuple[Rule, ...]])
    routers: tuple[Router, ...] = ()
    outside: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """The gateways' addresses of external networks, which the host plays, by network."""

    def members(self, group: str) -> tuple[str, ...]:
        """The addresses of everybody in a security group."""
        cards = (card for card in self.cards if group in card.groups)
        return tuple(dict.fromkeys(source for card in cards for source in card.sources))
