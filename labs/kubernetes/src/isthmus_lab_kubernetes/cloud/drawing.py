"""Make the lab's namespaces what the cloud wants: routers, floating addresses, security groups."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from isthmus_lab_kubernetes import networks
from isthmus_lab_kubernetes.cloud.rules import network_rules, router_rules
from isthmus_lab_kubernetes.cloud.wanted import Leg, Router, Wanted
from isthmus_lab_kubernetes.commands import feed, run
from isthmus_lab_kubernetes.guests import guests
from isthmus_lab_kubernetes.settings import Lab


class Drawing:
    """What has been drawn; only what has changed is drawn again."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._drawn: dict[str, str] = {}

    def draw(self, wanted: Wanted, guest_cards: Iterable[str]) -> bool:
        """Apply what is wanted for the guests with these cards; true if anything changed.

        Raises:
            LabError: A program refused; the next call tries again.
        """
        known = set(guest_cards)
        changed = False
        for network in {card.network for card in wanted.cards if card.id in known}:
            here = [card for card in wanted.cards if card.network == network and card.id in known]
            namespace = networks.ensure_network(self._lab, network)
            text = network_rules(wanted, sorted(here, key=lambda card: card.id))
            changed |= self._apply(namespace, text)
        for network, addresses in wanted.outside.items():
            networks.uplink(self._lab, network, addresses)
        for router in wanted.routers:
            changed |= self._router(router)
        return self._prune(wanted, known) or changed

    def _apply(self, namespace: str, rules: str) -> bool:
        if self._drawn.get(namespace) == rules:
            return False
        feed(rules, "nsenter", f"--net=/run/netns/{namespace}", "--", "nft", "-f", "-")
        self._drawn[namespace] = rules
        return True

    def _router(self, router: Router) -> bool:
        namespace = self._lab.namespace("rtr", router.id)
        shape = json.dumps(asdict(router), sort_keys=True)
        if self._drawn.get(f"shape {namespace}") == shape and networks.exists(namespace):
            return False
        if not networks.exists(namespace):
            run("ip", "netns", "add", namespace)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
            networks.inside(namespace, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
            self._drawn.pop(namespace, None)
        cards = {_card(leg, router): leg for leg in (*router.legs, router.outside) if leg}
        self._cables(namespace, cards)
        for card, leg in cards.items():
            extra = [f"{outer}/32" for outer, _ in router.floating] if leg is router.outside else []
            _address(namespace, card, [*leg.addresses, *extra])
        _route(namespace, router)
        self._apply(namespace, router_rules(router, _card(router.outside, router)))
        self._drawn[f"shape {namespace}"] = shape
        return True

    def _cables(self, namespace: str, cards: dict[str, Leg]) -> None:
        there = _cards_of(namespace)
        for card in there - set(cards):
            run("ip", "-n", namespace, "link", "del", card)
        for card in set(cards) - there:
            network = networks.ensure_network(self._lab, cards[card].network)
            plug = f"rp{cards[card].id[:11]}"
            peer = ("peer", "name", card, "netns", namespace)
            run("ip", "-n", network, "link", "add", plug, "type", "veth", *peer)
            run("ip", "-n", network, "link", "set", plug, "master", networks.BRIDGE, "up")
            run("ip", "-n", namespace, "link", "set", card, "up")

    def _prune(self, wanted: Wanted, known: set[str]) -> bool:
        """Remove the routers that are no more, and the networks that no guest is on."""
        wished = {self._lab.namespace("rtr", router.id) for router in wanted.routers}
        gone = [
            path.name
            for path in Path("/run/netns").glob(f"{self._lab.namespace('rtr', '')}*")
            if path.name not in wished
        ]
        for name in gone:
            networks.remove_namespace(name)
            self._drawn.pop(name, None)
            self._drawn.pop(f"shape {name}", None)
        drawn = {card.network for card in wanted.cards if card.id in known} | set(wanted.outside)
        drawn |= {leg.network for router in wanted.routers for leg in router.legs}

        def in_use() -> set[str]:
            return drawn | {port.network for guest in guests(self._lab) for port in guest.ports}

        if networks.keep_networks(self._lab, in_use):
            kept = {name: text for name, text in self._drawn.items() if networks.exists(name)}
            shapes = {name: text for name, text in self._drawn.items() if name.startswith("shape ")}
            self._drawn = {**kept, **shapes}
            return True
        return bool(gone)


def _card(leg: Leg | None, router: Router) -> str:
    if leg is None:
        return ""
    return f"{'qg' if leg is router.outside else 'qr'}-{leg.id[:11]}"


def _cards_of(namespace: str) -> set[str]:
    listed = json.loads(run("ip", "-n", namespace, "-j", "link", "show", "type", "veth") or "[]")
    return {item["ifname"] for item in listed}


def _address(namespace: str, card: str, addresses: list[str]) -> None:
    listed = json.loads(run("ip", "-n", namespace, "-j", "-4", "addr", "show", "dev", card) or "[]")
    there = {f"{a['local']}/{a['prefixlen']}" for item in listed for a in item.get("addr_info", ())}
    wished = [address for address in addresses if ":" not in address]
    for address in there - set(wished):
        run("ip", "-n", namespace, "addr", "del", address, "dev", card)
    for address in wished:
        if address not in there:
            run("ip", "-n", namespace, "addr", "add", address, "dev", card)


def _route(namespace: str, router: Router) -> None:
    if router.gateway:
        run("ip", "-n", namespace, "route", "replace", "default", "via", router.gateway)
    for destination, hop in router.routes:
        run("ip", "-n", namespace, "route", "replace", destination, "via", hop)
