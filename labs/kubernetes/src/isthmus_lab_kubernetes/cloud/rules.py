"""Security groups and routers as nftables text; nothing is decided elsewhere.

Frames get a mark at the bridge that says whose cable they come from and go to, since by the time
that IP rules see them only the bridge is known; then the chains of sender and receiver judge them.
"""

import ipaddress
from collections.abc import Iterable, Sequence

from isthmus_lab_kubernetes.cloud.wanted import Card, Router, Rule, Wanted
from isthmus_lab_kubernetes.machines import host_of

_OUTSIDE_MARK = "0x2"
_NUMBERED = {"icmpv6": "ipv6-icmp"}


def network_rules(wanted: Wanted, cards: Sequence[Card]) -> str:
    """The ruleset of one network's namespace, for the guests' cards on it."""
    secured = [card for card in cards if card.secured]
    numbers = {card.id: number for number, card in enumerate(secured, start=1)}
    bridge: list[str] = []
    chains: list[str] = []
    for card in secured:
        bridge += _bridge_rules(card, numbers[card.id])
        chains += _chain(wanted, card, "ingress", f"in-{numbers[card.id]}")
        chains += _chain(wanted, card, "egress", f"out-{numbers[card.id]}")
    verdicts: list[str] = []
    if secured:
        senders = ", ".join(f"{n:#x} : jump out-{n}" for n in numbers.values())
        receivers = ", ".join(f"{n << 16:#x} : jump in-{n}" for n in numbers.values())
        verdicts = [
            f"meta mark & 0xffff vmap {{ {senders} }}",
            f"meta mark & 0xffff0000 vmap {{ {receivers} }}",
        ]
    judging = [
        "type filter hook forward priority 0; policy accept;",
        "ct state established,related accept",
        "icmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit,"
        " nd-neighbor-advert } accept",
        *verdicts,
    ]
    marking = ["type filter hook forward priority -200; policy accept;", *bridge]
    return _table("bridge", _block("forward", marking)) + _table(
        "inet", [*chains, *_block("forward", judging)]
    )


def router_rules(router: Router, outside_card: str) -> str:
    """The ruleset of one router's namespace: floating addresses, and its own for the rest."""
    before = ["type nat hook prerouting priority -100; policy accept;"]
    after = ["type nat hook postrouting priority 100; policy accept;"]
    marking = ["type filter hook prerouting priority -150; policy accept;"]
    if router.outside is not None:
        own = host_of(router.outside.addresses[0])
        marking.append(f'iifname "{outside_card}" meta mark set {_OUTSIDE_MARK}')
        before += [f"ip daddr {outer} dnat to {inner}" for outer, inner in router.floating]
        # A guest that calls a floating address from inside must get its answer through the router.
        after.append(f"meta mark != {_OUTSIDE_MARK} ct status dnat snat to {own}")
        for outer, inner in router.floating:
            after.append(f'oifname "{outside_card}" ip saddr {inner} snat to {outer}')
        if router.masks:
            after.append(f'oifname "{outside_card}" ip saddr != {own} snat to {own}')
    blocks = [
        *_block("marking", marking),
        *_block("prerouting", before),
        *_block("postrouting", after),
    ]
    return _table("ip", blocks)


def _bridge_rules(card: Card, number: int) -> list[str]:
    tap = f"tap{card.id[:11]}"
    macs = ", ".join(dict.fromkeys((card.mac, *(mac for _, mac in card.pairs))))
    rules = [
        f'iifname "{tap}" ether saddr != {{ {macs} }} drop',
        f'iifname "{tap}" meta mark set meta mark | {number:#x}',
        f'oifname "{tap}" meta mark set meta mark | {number << 16:#x}',
    ]
    sources = _elements(source for source in card.sources if ":" not in source)
    if sources:
        rules.insert(1, f'iifname "{tap}" ether type ip ip saddr != {{ {sources} }} drop')
        rules.insert(2, f'iifname "{tap}" arp saddr ip != {{ {sources} }} drop')
    return rules


def _chain(wanted: Wanted, card: Card, direction: str, name: str) -> list[str]:
    rules = [
        text
        for group in card.groups
        for rule in wanted.groups.get(group, ())
        if rule.direction == direction and (text := _rule(wanted, rule)) is not None
    ]
    return _block(name, [*dict.fromkeys(rules), "drop"])


def _rule(wanted: Wanted, rule: Rule) -> str | None:
    """One rule's text, which lets pass; None if it means nobody."""
    family, version = ("ip6", "ipv6") if rule.ethertype == "IPv6" else ("ip", "ipv4")
    words = [f"meta nfproto {version}"]
    side = "saddr" if rule.direction == "ingress" else "daddr"
    if rule.group:
        members = _elements(
            m for m in wanted.members(rule.group) if (":" in m) == (family == "ip6")
        )
        if not members:
            return None
        words.append(f"{family} {side} {{ {members} }}")
    elif rule.cidr:
        words.append(f"{family} {side} {ipaddress.ip_network(rule.cidr, strict=False)}")
    words += _protocol(rule)
    return " ".join((*words, "return"))


def _protocol(rule: Rule) -> list[str]:
    if not rule.protocol or rule.protocol == "any":
        return []
    name = rule.protocol.lower()
    if name in ("tcp", "udp", "sctp"):
        if rule.first is None:
            return [f"meta l4proto {name}"]
        last = rule.first if rule.last is None else rule.last
        return [
            f"{name} dport {rule.first}-{last}" if last != rule.first else f"{name} dport {last}"
        ]
    if name == "icmp" and rule.first is not None:
        code = f" icmp code {rule.last}" if rule.last is not None else ""
        return [f"icmp type {rule.first}{code}"]
    return [f"meta l4proto {_NUMBERED.get(name, name)}"]


def _elements(addresses: Iterable[str]) -> str:
    """Addresses and CIDRs as a set's elements, none of which overlaps with another."""
    networks = [ipaddress.ip_network(address, strict=False) for address in addresses]
    four = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv6Network))
    return ", ".join(str(network) for network in (*four, *six))


def _block(chain: str, rules: Sequence[str]) -> list[str]:
    return [f"chain {chain} {{", *(f"  {rule}" for rule in rules), "}"]


def _table(family: str, lines: Sequence[str]) -> str:
    body = "\n".join(f"  {line}" for line in lines)
    # Declared, deleted and written anew in one transaction: no packet meets half of it.
    return f"table {family} lab\ndelete table {family} lab\ntable {family} lab {{\n{body}\n}}\n"
