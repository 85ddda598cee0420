"""Read from Neutron's API what is wanted of the networks on which guests are."""

from collections.abc import Iterable, Sequence
from typing import Any

from isthmus_lab_kubernetes.cloud.identity import Session
from isthmus_lab_kubernetes.cloud.wanted import Card, Leg, Router, Rule, Wanted
from isthmus_lab_kubernetes.machines import Port

_Json = dict[str, Any]
_ROUTER_LEGS = ("network:router_interface", "network:router_interface_distributed")


def read(session: Session, networks: Iterable[str]) -> Wanted:
    """What Neutron wants of these networks, the routers on them, and those routers' other networks.

    Raises:
        LabError: Neutron does not answer.
    """
    wished = sorted(networks)
    if not wished:
        return Wanted()
    ports = _list(session, "ports", network_id=wished)
    router_ids = sorted({p["device_id"] for p in ports if p["device_owner"] in _ROUTER_LEGS})
    routers: list[_Json] = []
    floating: list[_Json] = []
    legs: list[_Json] = []
    if router_ids:
        routers = _list(session, "routers", id=router_ids)
        floating = _list(session, "floatingips", router_id=router_ids)
        legs = _list(session, "ports", device_id=router_ids)
    subnets = _subnets(session, {*wished, *(leg["network_id"] for leg in legs)})
    groups = sorted({group for port in ports for group in port["security_groups"]})
    made = tuple(_router(router, legs, floating, subnets) for router in routers)
    return Wanted(
        cards=tuple(_card(port) for port in ports),
        groups=_groups(session, groups),
        routers=made,
        outside=_outside(made, subnets),
    )


def plugs(session: Session, ports: Sequence[str]) -> tuple[Port, ...]:
    """What DHCP would tell a machine about its cards: these ports, in this order.

    Raises:
        LabError: Neutron does not answer.
    """
    if not ports:
        return ()
    found = {port["id"]: port for port in _list(session, "ports", id=list(ports))}
    used = {port["network_id"] for port in found.values()}
    subnets = _subnets(session, used)
    mtus = {item["id"]: item.get("mtu") for item in _list(session, "networks", id=sorted(used))}
    return tuple(
        plug(found[port], subnets, mtus[found[port]["network_id"]])
        for port in ports
        if port in found
    )


def plug(port: _Json, subnets: dict[str, _Json], mtu: int | None) -> Port:
    """The card that a port of Neutron's stands for; its first gateway is the default one."""
    mine = [subnets[ip["subnet_id"]] for ip in port["fixed_ips"]]
    gateways = [s["gateway_ip"] for s in mine if s["ip_version"] == 4 and s["gateway_ip"]]
    return Port(
        id=port["id"],
        network=port["network_id"],
        mac=port["mac_address"],
        addresses=_leg(port, subnets).addresses,
        gateway=gateways[0] if gateways else "",
        mtu=mtu or 1500,
        routes=tuple((r["destination"], r["nexthop"]) for s in mine for r in s["host_routes"]),
    )


def _list(session: Session, kind: str, **query: Any) -> list[_Json]:
    answer = session.get("network", f"/v2.0/{kind}", **query)
    return answer[kind.replace("-", "_")]


def _subnets(session: Session, networks: set[str]) -> dict[str, _Json]:
    return {item["id"]: item for item in _list(session, "subnets", network_id=sorted(networks))}


def _card(port: _Json) -> Card:
    return Card(
        id=port["id"],
        network=port["network_id"],
        mac=port["mac_address"],
        addresses=tuple(ip["ip_address"] for ip in port["fixed_ips"]),
        secured=bool(port.get("port_security_enabled", True))
        and not port["device_owner"].startswith("network:"),
        groups=tuple(sorted(port["security_groups"])),
        pairs=tuple(
            (pair["ip_address"], pair.get("mac_address") or port["mac_address"])
            for pair in port.get("allowed_address_pairs", ())
        ),
    )


def _groups(session: Session, ids: list[str]) -> dict[str, tuple[Rule, ...]]:
    if not ids:
        return {}
    found = _list(session, "security-groups", id=ids)
    return {g["id"]: tuple(_rule(rule) for rule in g["security_group_rules"]) for g in found}


def _rule(rule: _Json) -> Rule:
    return Rule(
        direction=rule["direction"],
        ethertype=rule["ethertype"],
        protocol=rule["protocol"] or "",
        first=rule["port_range_min"],
        last=rule["port_range_max"],
        cidr=rule["remote_ip_prefix"] or "",
        group=rule["remote_group_id"] or "",
    )


def _router(
    router: _Json, ports: list[_Json], floating: list[_Json], subnets: dict[str, _Json]
) -> Router:
    own = [port for port in ports if port["device_id"] == router["id"]]
    gateways = [port for port in own if port["device_owner"] == "network:router_gateway"]
    outside = _leg(gateways[0], subnets) if gateways else None
    info: _Json = router.get("external_gateway_info") or {}
    gateway = ""
    if gateways:
        nearest = subnets.get(gateways[0]["fixed_ips"][0]["subnet_id"], {})
        gateway = nearest.get("gateway_ip") or ""
    return Router(
        id=router["id"],
        legs=tuple(_leg(port, subnets) for port in own if port["device_owner"] in _ROUTER_LEGS),
        outside=outside,
        gateway=gateway,
        masks=bool(info.get("enable_snat", True)),
        routes=tuple((r["destination"], r["nexthop"]) for r in router.get("routes", ())),
        floating=tuple(
            sorted(
                (item["floating_ip_address"], item["fixed_ip_address"])
                for item in floating
                if item["router_id"] == router["id"] and item["fixed_ip_address"]
            )
        ),
    )


def _leg(port: _Json, subnets: dict[str, _Json]) -> Leg:
    return Leg(
        id=port["id"],
        network=port["network_id"],
        addresses=tuple(
            f"{ip['ip_address']}/{subnets[ip['subnet_id']]['cidr'].split('/')[1]}"
            for ip in port["fixed_ips"]
            if ip["subnet_id"] in subnets
        ),
    )


def _outside(routers: tuple[Router, ...], subnets: dict[str, _Json]) -> dict[str, tuple[str, ...]]:
    networks = {router.outside.network for router in routers if router.outside}
    return {
        network: tuple(
            f"{subnet['gateway_ip']}/{subnet['cidr'].split('/')[1]}"
            for subnet in subnets.values()
            if subnet["network_id"] == network and subnet["gateway_ip"]
        )
        for network in networks
    }
