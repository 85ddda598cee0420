"""What keeps Heat from deleting a stack, by name.

Heat repeats what a service says, and Neutron says no more than that a port uses the network. Whose
port that is, is what somebody has to know to do anything about it.
"""

from collections.abc import Sequence
from typing import Final, cast

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import StackResource
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import IsthmusError

_HOLDING: Final = {
    "OS::Neutron::Net": ("network_id", "{}"),
    "OS::Neutron::Subnet": ("fixed_ips", "subnet_id={}"),
    "OS::Neutron::SecurityGroup": ("security_groups", "{}"),
}
"""Types that ports hold on to, and how Neutron is asked for those ports."""
_NEUTRONS: Final = ("network:dhcp", "network:distributed")
"""Owners of ports that go with their network."""
_SHOWN: Final = 3


async def named(cloud: Cloud, stuck: Sequence[StackResource]) -> tuple[str, ...]:
    """Say of each resource that could not be deleted why, and who holds it."""
    return tuple([_said(resource) + await _holders(cloud, resource) for resource in stuck])


def _said(resource: StackResource) -> str:
    return f"{resource.logical_id} ({resource.type}): {resource.reason or resource.status}"


async def _holders(cloud: Cloud, resource: StackResource) -> str:
    """Name the ports on a network or in a security group."""
    if resource.type not in _HOLDING or not resource.physical_id:
        return ""
    key, value = _HOLDING[resource.type]
    try:
        answer = await cloud.get("network", "/ports", **{key: value.format(resource.physical_id)})
    except IsthmusError:
        return ""  # What Heat said has to do.
    ports = [p for p in cast("list[Json]", answer["ports"]) if p["device_owner"] not in _NEUTRONS]
    words = [_port(port) for port in ports[:_SHOWN]]
    more = f" and {len(ports) - _SHOWN} more" if len(ports) > _SHOWN else ""
    return f"; held by {', '.join(words)}{more}" if words else ""


def _port(port: Json) -> str:
    """Name a port, and what it is plugged into."""
    name = f" {port['name']!r}" if port.get("name") else ""
    owner = f" of {port['device_owner']} {port.get('device_id') or ''}".rstrip()
    return f"port{name} {port['id']}{owner if port['device_owner'] else ''}"
