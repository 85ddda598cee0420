"""What Heat asked a service for and never noted: it is in no stack, and would stay for ever.

An engine of Heat leaves it that is killed between a request and its answer. What bears the
birthmark of a stack and is not among its resources is removed, and what takes its time is named.
Only kinds that the stack has are looked for. Left alone is what the template wants to be kept
(``deletion_policy``), and a volume that somebody may have used.

In Keystone, where Heat keeps users for signals in a domain of its own, nobody but its operator sees
what is lost.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

import orjson

from isthmus.api.meta import Json
from isthmus.core.stacks import NativeStack
from isthmus.drivers.openstack import birthmarks, readings
from isthmus.drivers.openstack.observation import Observer
from isthmus.drivers.openstack.readings import Native, Part
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.template import FILES
from isthmus.errors import Conflict, DeletionBlocked, Forbidden, InvalidSpec, NotFound, StateForbids

_PAGE: Final = 500
_TYPE: Final = re.compile(r"\bOS::\w+::\w+")
_NESTING: Final = frozenset(
    {
        "OS::Heat::AutoScalingGroup",
        "OS::Heat::ResourceChain",
        "OS::Heat::ResourceGroup",
        "OS::Heat::Stack",
    }
)
_ROUTER: Final = "OS::Neutron::Router"
_INTERFACE: Final = "OS::Neutron::RouterInterface"
_INTERFACES: Final = ("network:router_interface", "network:ha_router_replicated_interface")
"""How owners of ports begin that are interfaces of routers."""
_BALANCERS: Final = frozenset({"load-balancer", "octavia"})
"""What a catalog calls the service that not every cloud has."""
_MAKING: Final = timedelta(minutes=2)
"""A volume that changed later than this after its creation was attached to something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Things of one kind: how they are listed, deleted and called."""

    type: str
    """Heat's."""
    service: str
    path: str
    word: str
    detail: str = ""
    """What the path of the list has besides."""
    waits: bool = False
    """Its deletion takes a while, and what is below waits for it."""

    @property
    def key(self) -> str:
        """The list's name in the answer."""
        return self.path.rpartition("/")[2].removeprefix("os-").replace("-", "_")


_BALANCER: Final = Kind(
    type="OS::Octavia::LoadBalancer", service="load-balancer", path="/v2/lbaas/loadbalancers",
    word="load balancer", waits=True,
)  # fmt: skip
_SERVER: Final = Kind(
    type="OS::Nova::Server", service="compute", path="/servers", word="server", detail="/detail",
    waits=True,
)  # fmt: skip
_SUBNET: Final = Kind(type="OS::Neutron::Subnet", service="network", path="/subnets", word="subnet")
_VOLUME: Final = Kind(
    type="OS::Cinder::Volume", service="block-storage", path="/volumes", word="volume",
    detail="/detail",
)  # fmt: skip
KINDS: Final = (
    Kind(
        type=birthmarks.FLOATING_IP, service="network", path="/floatingips", word="floating IP"
    ),
    _BALANCER,
    Kind(
        type="OS::Octavia::Listener", service="load-balancer", path="/v2/lbaas/listeners",
        word="listener", waits=True,
    ),
    Kind(
        type="OS::Octavia::Pool", service="load-balancer", path="/v2/lbaas/pools",
        word="pool of a load balancer", waits=True,
    ),
    _SERVER,
    Kind(type=_ROUTER, service="network", path="/routers", word="router"),
    Kind(type="OS::Neutron::Port", service="network", path="/ports", word="port"),
    _SUBNET,
    Kind(type="OS::Neutron::Net", service="network", path="/networks", word="network"),
    Kind(
        type=birthmarks.RULE, service="network", path="/security-group-rules",
        word="rule of a security group",
    ),
    Kind(
        type="OS::Neutron::SecurityGroup", service="network", path="/security-groups",
        word="security group",
    ),
    Kind(
        type="OS::Nova::ServerGroup", service="compute", path="/os-server-groups",
        word="server group",
    ),
    _VOLUME,
)  # fmt: skip
"""In the order in which they go: what uses something goes before it."""


class Lost:
    """Looks for what Heat lost in one project."""

    def __init__(self, cloud: Cloud, observer: Observer) -> None:
        self._cloud = cloud
        self._observer = observer

    async def clear(self, stack: NativeStack, native: Native) -> str:
        """Remove what the stack has lost; return what is still there, empty once nothing is.

        To be called while nobody wants anything new of the stack. What Heat is making at this very
        moment may go as well.

        Raises:
            DeletionBlocked: Somebody else uses what is lost.
        """
        mark = birthmarks.stack_of(stack)
        if not mark:
            return ""
        # In this order: what Heat notes in between is not lost.
        below, found = await asyncio.gather(
            self._below(stack, native), self._marked(stack.template, mark)
        )
        parts = await self._observer.deep(native)
        noted = frozenset(i for part in parts for i in (part.resource.physical_id, part.nested_id))
        if left := await self._delete_stacks([s for s in below if s["id"] not in noted]):
            return left
        for kind, things in found.items():
            lost = [thing for thing in things if thing["id"] not in noted]
            if kind.type == _ROUTER:
                await self._unplug(parts, noted)
            left = [await self._delete(kind, thing, noted) for thing in lost]
            if any(left):
                return ", ".join(filter(None, left))
        return ""

    async def _marked(self, template: Json, mark: str) -> dict[Kind, list[Json]]:
        """Return what there is that bears the mark, in the stack or not, in the order of KINDS."""
        types = frozenset(_types(template)) - frozenset(_kept(template))
        absent = () if await self._cloud.services() & _BALANCERS else (_BALANCER.service,)
        kinds = [k for k in KINDS if k.type in types and k.service not in absent]
        found = await asyncio.gather(*(self._listed(kind) for kind in kinds))
        return {
            kind: [thing for thing in things if birthmarks.bears(thing, mark)]
            for kind, things in zip(kinds, found, strict=True)
        }

    async def _listed(self, kind: Kind) -> list[Json]:
        found: list[Json] = []
        marker: str | None = None
        while True:
            query: Json = {"limit": _PAGE, "marker": marker}
            try:
                answer = await self._cloud.get(kind.service, f"{kind.path}{kind.detail}", **query)
            except Forbidden:
                return found  # Who may not see such things has none made.
            page = cast("list[Json]", answer[kind.key])
            found += page
            links = cast("list[Json]", answer.get(f"{kind.key}_links") or [])
            if not page or all(link.get("rel") != "next" for link in links):
                return found
            marker = str(page[-1]["id"])

    async def _below(self, stack: NativeStack, native: Native) -> list[Json]:
        """Return the stacks that Heat made for resources of the stack."""
        nesting = _NESTING & frozenset(_types(stack.template)) or FILES in stack.template
        if not nesting:
            return []
        query = {"owner_id": native.id, "show_nested": "true"}
        answer = await self._cloud.get("orchestration", "/stacks", **query)
        found = cast("list[Json]", answer["stacks"])
        return [one for one in found if birthmarks.named(str(one["stack_name"]), native.name)]

    async def _delete_stacks(self, lost: Sequence[Json]) -> str:
        for stack in lost:
            if stack["stack_status"] != "DELETE_IN_PROGRESS":
                path = f"/stacks/{stack['stack_name']}/{stack['id']}"
                with suppress(NotFound):
                    await self._cloud.ask("orchestration", "DELETE", path)
        return ", ".join(f"stack {s['stack_name']} is {s['stack_status']}" for s in lost)

    async def _unplug(self, parts: Sequence[Part], noted: frozenset[str]) -> None:
        """Take lost interfaces between a router and a subnet of the stack off that router.

        One that a floating IP of the stack needs stays until Heat has removed that: Heat's deletion
        fails then, and the next try gets past it.
        """
        if not any(part.resource.type == _INTERFACE for part in parts):
            return
        routers = {p.resource.physical_id for p in parts if p.resource.type == _ROUTER} - {""}
        for router in sorted(routers):
            answer = await self._cloud.get("network", "/ports", device_id=router)
            for port in cast("list[Json]", answer["ports"]):
                if _is_lost_interface(port, router, noted):
                    path, body = (
                        f"/routers/{router}/remove_router_interface",
                        {"port_id": port["id"]},
                    )
                    with suppress(NotFound, DeletionBlocked):
                        await self._cloud.ask("network", "PUT", path, body=body)

    async def _delete(self, kind: Kind, thing: Json, noted: frozenset[str]) -> str:
        """Delete one thing; return what is still there of it."""
        if kind is _VOLUME and not _is_unused(thing):
            return ""
        state = thing.get("provisioning_status") or thing.get("status") or "there"
        what = f"{kind.word} {thing.get('name') or thing['id']}"
        said = f"{what} is {state}"
        if thing.get("status") == "creating":
            return said
        try:
            query = {"cascade": "true"} if kind is _BALANCER else None
            path = f"{kind.path}/{thing['id']}"
            await self._cloud.ask(kind.service, "DELETE", path, query=query)
        except NotFound:
            return ""
        except (Conflict, StateForbids):
            return said  # It is busy, or going already.
        except (DeletionBlocked, InvalidSpec) as exc:
            if thing.get("network_id") in noted and kind is _SUBNET:
                return ""  # It goes with its network.
            words = f"Heat made and lost {what}, which cannot be deleted: {exc.message}"
            raise DeletionBlocked(words, detail=exc.detail) from exc
        return said if kind.waits else ""


def _types(template: Json) -> list[str]:
    """Return the types of resources that a template speaks of, nested ones in text as well."""
    return _TYPE.findall(orjson.dumps(template).decode())


def _kept(node: Any) -> Iterator[str]:
    """Yield the types of which something is to stay when its stack goes, or is to be saved."""
    if isinstance(node, str) and "deletion_policy" in node:
        yield from _TYPE.findall(node)
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from _kept(item)
    if isinstance(node, dict):
        known = cast("Json", node)
        if str(known.get("deletion_policy") or "delete").lower() != "delete":
            yield from _types(known)
        for value in known.values():
            yield from _kept(value)


def _is_lost_interface(port: Json, router: str, noted: frozenset[str]) -> bool:
    """Tell whether a port joins a router to a subnet, or a port, of its stack, and is not noted."""
    if not str(port.get("device_owner") or "").startswith(_INTERFACES):
        return False
    addresses = cast("list[Json]", port.get("fixed_ips") or [])
    subnets = {str(address.get("subnet_id")) for address in addresses}
    said = {f"{router}:subnet_id={s}" for s in subnets} | {f"{router}:port_id={port['id']}"}
    return not said & noted and (port["id"] in noted or bool(subnets & noted))


def _is_unused(volume: Json) -> bool:
    """Tell whether nobody can have written to a volume."""
    if volume.get("attachments") or volume["status"] not in ("creating", "available", "error"):
        return False
    made, changed = str(volume["created_at"]), str(volume.get("updated_at") or volume["created_at"])
    return readings.read_time(changed) - readings.read_time(made) <= _MAKING
