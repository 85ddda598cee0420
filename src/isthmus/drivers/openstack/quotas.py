"""Quotas, read before anything is asked: what a stack needs, against what is left.

Heat would find out half-way, with a stack that failed. The sums are pure; ``Quotas`` reads the
numbers. Kinds of resources that are not here are not counted.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.drivers.openstack.errors import QUOTA_NOTE
from isthmus.drivers.openstack.readings import SERVER
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import CapacityExhausted, Forbidden, InvalidSpec, NotFound

_COMPUTE: Final = {
    "instances": ("maxTotalInstances", "totalInstancesUsed"),
    "cores": ("maxTotalCores", "totalCoresUsed"),
    "ram": ("maxTotalRAMSize", "totalRAMUsed"),
    "server groups": ("maxServerGroups", "totalServerGroupsUsed"),
    "members of a server group": ("maxServerGroupMembers", ""),
}
"""Names of Nova's limits: what there may be, and what there is; empty: that is not told."""
_STORAGE: Final = {
    "volumes": ("maxTotalVolumes", "totalVolumesUsed"),
    "gigabytes": ("maxTotalVolumeGigabytes", "totalGigabytesUsed"),
}
_NETWORK: Final = {
    "networks": "network",
    "subnets": "subnet",
    "ports": "port",
    "routers": "router",
    "floating IPs": "floatingip",
    "security groups": "security_group",
    "security group rules": "security_group_rule",
}
_BALANCERS: Final = "load balancers"
_UNITS: Final = {"ram": " MiB", "gigabytes": " GiB"}
_DEFAULT_RULES: Final = 2
"""Rules that Neutron gives every new security group: everything may go out, by either protocol."""
_NAMED: Final = 2
"""How many resources that need a quota are named."""
_MOST_AT_ONCE: Final = 1000
"""Nova and Cinder list no more."""

Flavors = Mapping[str, Json]
Listed = tuple[str, Json]
"""A resource of a preview, by its path in the stack."""
GROWING: Final = frozenset({SERVER, "OS::Cinder::Volume"})
"""Types of resources that need more of a quota when they are changed in place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A resource that is there, of one of the types ``GROWING``, and is to be changed in place."""

    path: str
    physical_id: str
    wanted: Json
    """As a preview has it: ``resource_type`` and ``properties``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """One quota. A limit below 0 is none."""

    limit: int
    used: int


def needs(resources: Iterable[Json], flavors: Flavors) -> Counter[str]:
    """Return what resources of a preview need, by the name of the quota."""
    total: Counter[str] = Counter()
    members: Counter[str] = Counter()
    """By server group; those that an existing group has already are not known here."""
    for resource in resources:
        properties = cast("Json", resource.get("properties") or {})
        kind = str(resource.get("resource_type", ""))
        count = _COUNTS.get(kind)
        if count is not None:
            total.update(count(properties))
        if kind == SERVER:
            flavor = flavors.get(str(properties.get("flavor")), {})
            total.update(_of_flavor(flavor))
            members[_group_of(properties)] += 1
    members.pop("", None)
    total["members of a server group"] = max(members.values(), default=0)
    return total


def unknown_flavor(resources: Iterable[Listed], flavors: Flavors) -> tuple[str, str]:
    """Return the first server whose flavor is not there, with that flavor; empty: none."""
    wanted = (
        (path, cast("Json", resource.get("properties") or {}).get("flavor"))
        for path, resource in resources
        if _is_server(resource)
    )
    missing = ((p, f) for p, f in wanted if isinstance(f, str) and f and f not in flavors)
    return next(missing, ("", ""))


def short(
    needed: Mapping[str, int],
    rooms: Mapping[str, Room],
    users: Callable[[str], Sequence[str]] = lambda _: (),
) -> tuple[str, ...]:
    """Return what is not left, a sentence a quota.

    Args:
        needed: How much more there would be, by the name of the quota.
        rooms: The quotas.
        users: The paths of the resources that need one.
    """
    return tuple(
        f"quota {name}: {wanted}{_UNITS.get(name, '')} more are needed, and "
        f"{max(room.limit - room.used, 0)} of {room.limit} are left{_for(users(name))}"
        for name, wanted in sorted(needed.items())
        if (room := rooms.get(name)) is not None and 0 <= room.limit < room.used + wanted
    )


def _for(paths: Sequence[str]) -> str:
    shown = tuple(dict.fromkeys(paths))[:_NAMED]
    more = f" and {len(paths) - len(shown)} more" if len(paths) > len(shown) else ""
    return f" (for {', '.join(shown)}{more})" if shown else ""


class Quotas:
    """The quotas of one project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def lacking(
        self, resources: Iterable[Listed], growing: Iterable[Growth] = ()
    ) -> tuple[str, ...]:
        """Return what there is not enough of for these resources of a preview, and which need it.

        What grows in place counts by the difference; what another one gives up meanwhile does not:
        Heat changes them at once.

        Raises:
            InvalidSpec: There is no such flavor.
        """
        listed, grown = list(resources), list(growing)
        flavors: Flavors = {}
        grows = ((one.path, one.wanted) for one in grown)
        everything = sorted([*listed, *grows], key=lambda one: one[0])  # Heat has them in no order.
        if any(_is_server(resource) for _, resource in everything):
            flavors = await self._flavors()
            path, missing = unknown_flavor(everything, flavors)
            if missing and len(flavors) < _MOST_AT_ONCE:
                names = ", ".join(sorted({str(flavor["name"]) for flavor in flavors.values()}))
                raise InvalidSpec(
                    f"There is no flavor {missing!r} here, which {path} is to have; there are: "
                    f"{names}."
                )
        coming = needs((resource for _, resource in listed), flavors)
        needed = +(coming + await self._differences(grown, flavors))
        if not needed:
            return ()  # Zeros are left out: of those nobody is asked.

        def users(name: str) -> list[str]:
            return [path for path, resource in everything if needs([resource], flavors)[name]]

        return short(needed, await self._rooms(frozenset(needed)), users)

    async def require(self, resources: Iterable[Listed], growing: Iterable[Growth] = ()) -> None:
        """Refuse what cannot be.

        Raises:
            CapacityExhausted: Names every quota that does not suffice.
        """
        if lacking := await self.lacking(resources, growing):
            said = "; ".join(lacking)
            raise CapacityExhausted(f"{said[:1].upper()}{said[1:]}; {QUOTA_NOTE}.")

    async def _differences(self, growing: Sequence[Growth], flavors: Flavors) -> Counter[str]:
        """Return how much more these need than what they have now."""
        total: Counter[str] = Counter()
        kinds = {str(one.wanted.get("resource_type")) for one in growing}
        now: dict[str, Counter[str]] = {}
        if SERVER in kinds:
            answer = await self._cloud.get("compute", "/servers/detail", limit=_MOST_AT_ONCE)
            for server in cast("list[Json]", answer["servers"]):
                flavor = flavors.get(str(server["flavor"].get("id")))
                if flavor is not None:
                    now[server["id"]] = _of_flavor(flavor)
        if "OS::Cinder::Volume" in kinds:
            answer = await self._cloud.get("block-storage", "/volumes/detail", limit=_MOST_AT_ONCE)
            for volume in cast("list[Json]", answer["volumes"]):
                now[volume["id"]] = Counter(gigabytes=int(volume["size"]))
        for one in growing:
            if (has := now.get(one.physical_id)) is not None:
                wanted = needs([one.wanted], flavors)
                total += Counter({name: wanted[name] for name in has}) - has
        return total

    async def _flavors(self) -> Flavors:
        answer = await self._cloud.get("compute", "/flavors/detail", limit=_MOST_AT_ONCE)
        found = cast("list[Json]", answer["flavors"])
        return {flavor["name"]: flavor for flavor in found} | {f["id"]: f for f in found}

    async def _rooms(self, needed: frozenset[str]) -> dict[str, Room]:
        rooms: dict[str, Room] = {}
        for service, names in (("compute", _COMPUTE), ("block-storage", _STORAGE)):
            if needed & names.keys():
                answer = await self._cloud.get(service, "/limits")
                limits = cast("Json", answer["limits"]["absolute"])
                rooms |= {
                    name: Room(limit=int(limits[most]), used=int(limits.get(used, 0)))
                    for name, (most, used) in names.items()
                    if most in limits and (used in limits or not used)
                }
        if _BALANCERS in needed:
            rooms |= await self._balancers()
        if needed & _NETWORK.keys():
            project = await self._cloud.project()
            answer = await self._cloud.get("network", f"/quotas/{project}/details")
            quota = cast("dict[str, Json]", answer["quota"])
            rooms |= {
                name: Room(
                    limit=int(quota[key]["limit"]),
                    used=int(quota[key]["used"]) + int(quota[key].get("reserved", 0)),
                )
                for name, key in _NETWORK.items()
                if key in quota
            }
        return rooms

    async def _balancers(self) -> dict[str, Room]:
        """Octavia tells the limit alone, and not to everybody."""
        path = f"/v2/lbaas/quotas/{await self._cloud.project()}"
        try:
            answer = await self._cloud.get("load-balancer", path)
            limit: Any = cast("Json", answer["quota"]).get("load_balancer")
            if not isinstance(limit, int) or limit < 0:
                return {}
            there = await self._cloud.get("load-balancer", "/v2/lbaas/loadbalancers", fields="id")
        except (Forbidden, NotFound, InvalidSpec):
            return {}  # Heat will say it, or that there is no such service.
        used = len(cast("list[Any]", there["loadbalancers"]))
        return {_BALANCERS: Room(limit=limit, used=used)}


def _group_of(properties: Json) -> str:
    """Return what names a server's group; empty where it has none, or only Heat knows."""
    hints: Any = properties.get("scheduler_hints")
    return str(cast("Json", hints).get("group") or "") if isinstance(hints, dict) else ""


def _is_server(resource: Json) -> bool:
    return resource.get("resource_type") == SERVER


def _of_flavor(flavor: Json) -> Counter[str]:
    return Counter(cores=int(flavor.get("vcpus", 0)), ram=int(flavor.get("ram", 0)))


def _of_server(properties: Json) -> Mapping[str, int]:
    networks = cast("list[Json]", properties.get("networks") or [])
    disks = cast("list[Json]", properties.get("block_device_mapping_v2") or [])
    made = [d for d in disks if d.get("volume_size") and not d.get("volume_id")]
    made = [d for d in made if d.get("device_type") != "cdrom" and d.get("image")]
    return {
        "instances": 1,
        "ports": sum(1 for network in networks if not network.get("port")),
        "volumes": len(made),
        "gigabytes": sum(int(disk["volume_size"]) for disk in made),
    }


def _of_volume(properties: Json) -> Mapping[str, int]:
    return {"volumes": 1, "gigabytes": int(properties.get("size") or 0)}


def _of_group(properties: Json) -> Mapping[str, int]:
    rules = cast("list[Any]", properties.get("rules") or [])
    return {"security groups": 1, "security group rules": len(rules) + _DEFAULT_RULES}


def _one(name: str) -> Callable[[Json], Mapping[str, int]]:
    return lambda _: {name: 1}


_COUNTS: Final[dict[str, Callable[[Json], Mapping[str, int]]]] = {
    SERVER: _of_server,
    "OS::Nova::ServerGroup": _one("server groups"),
    "OS::Cinder::Volume": _of_volume,
    "OS::Neutron::Net": _one("networks"),
    "OS::Neutron::Subnet": _one("subnets"),
    "OS::Neutron::Port": _one("ports"),
    "OS::Neutron::Router": _one("routers"),
    "OS::Neutron::RouterInterface": _one("ports"),
    "OS::Neutron::FloatingIP": _one("floating IPs"),
    "OS::Neutron::SecurityGroup": _of_group,
    "OS::Neutron::SecurityGroupRule": _one("security group rules"),
    "OS::Octavia::LoadBalancer": _one(_BALANCERS),
}
