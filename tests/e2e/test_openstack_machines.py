"""Machines, networks and volume types of a real OpenStack: made, changed, operated, gone."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from isthmus.api.meta import Json, Resource
from isthmus.api.v1alpha1 import Machine, Network, ServiceInstance
from isthmus.runtime.kinds import SECRETS
from tests.catalog_files import OPENSHIFT
from tests.openstack_home import Home, home, provide
from tests.openstack_lab import OpenStackLab
from tests.world import TEAM

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]


def a_network(**spec: Any) -> Network:
    body: Json = {"plan": "routed", "cidr": "10.81.0.0/24"}
    return Network.model_validate(
        {"metadata": {"name": "net", "namespace": TEAM}, "spec": body | spec}
    )


def a_machine(network: str, **spec: Any) -> Machine:
    body: Json = {"size": "m1.tiny", "image": "cirros", "network": network}
    return Machine.model_validate(
        {"metadata": {"name": "vm", "namespace": TEAM}, "spec": body | spec}
    )


async def outputs(here: Home, kind: Any, name: str) -> dict[str, str]:
    found = await here.ready(kind, name)
    return dict(found.status.outputs)


async def server(here: Home) -> Any:
    """The one server of the project."""

    def read() -> Any:
        (found,) = here.cloud.compute.servers(details=True)
        return found

    return await asyncio.to_thread(read)


async def test_a_network_is_made_changed_and_removed(openstack_lab: OpenStackLab) -> None:
    async with home(openstack_lab) as here:
        await here.apply(a_network(parameters={"floatingIps": 1, "openPorts": ["443"]}))
        made = await outputs(here, Network, "net")
        assert made["RouterId"]
        assert made["FloatingIps"].startswith('["172.24.4.')
        changed = {"floatingIps": 2, "openPorts": ["443", "8443"], "mtu": 1400}
        await here.apply(a_network(parameters=changed, nameServers=["192.0.2.53"]))
        after = await here.until(
            Network, "net", lambda n: n.ready and n.status.outputs["FloatingIps"].count(",") == 1
        )
        assert after.status.outputs["NetworkId"] == made["NetworkId"]
        group, subnet, network = await asyncio.to_thread(_shape, here.cloud, made)
        assert {r["port_range_min"] for r in group.security_group_rules} >= {443, 8443}
        assert subnet.dns_nameservers == ["192.0.2.53"]
        assert network.mtu == 1400
        await here.delete(Network, "net")


def _shape(cloud: Any, made: dict[str, str]) -> tuple[Any, Any, Any]:
    network = cloud.network
    return (
        network.get_security_group(made["SecurityGroupId"]),
        network.get_subnet(made["SubnetId"]),
        network.get_network(made["NetworkId"]),
    )


async def test_every_action_of_a_machine_runs_and_updates_resize_and_rebuild_it(
    openstack_lab: OpenStackLab,
) -> None:
    async with home(openstack_lab) as here:
        await here.apply(a_network())
        network = (await outputs(here, Network, "net"))["NetworkId"]
        parameters = {"dataVolumeGb": 1, "externalNetwork": "public"}
        await here.apply(a_machine(network, parameters=parameters))
        made = await outputs(here, Machine, "vm")
        assert made["FloatingIp"].startswith("172.24.4.")
        await _acted(here)

        # By update: another flavor resizes the same server, another image wants a consent.
        await here.apply(a_machine(network, size="m1.small", parameters=parameters))
        await here.until(Machine, "vm", lambda m: m.ready and _follows(m))
        resized = await server(here)
        assert (resized.id, resized.flavor.original_name) == (made["ServerId"], "m1.small")
        rebuilt = a_machine(network, size="m1.small", image="fedora-coreos", parameters=parameters)
        await here.apply(rebuilt)
        said = await here.refused(Machine, "vm", "ApprovalRequired")
        approval = said.rpartition("approve-replacement=")[2]
        await here.annotate(Machine, "vm", approve_replacement=approval)
        await here.until(Machine, "vm", lambda m: m.ready and _follows(m))
        after = await server(here)
        assert after.id == made["ServerId"]
        assert after.image.id != resized.image.id
        await here.delete(Machine, "vm")
        await here.delete(Network, "net")


def _follows(machine: Resource[Any, Any]) -> bool:
    ready = machine.condition("Ready")
    return ready is not None and ready.observed_generation == machine.metadata.generation


async def _acted(here: Home) -> None:
    """Run each of the actions."""
    images = await asyncio.to_thread(
        lambda: {image.name: image.id for image in here.cloud.image.images()}
    )
    flavors = await asyncio.to_thread(lambda: {f.name: f.id for f in here.cloud.compute.flavors()})

    async def act(action: str, **parameters: Any) -> Json:
        return await here.operate(Machine, "vm", action, **parameters)

    assert (await act("stop"))["status"] == "SHUTOFF"
    assert (await act("start"))["status"] == "ACTIVE"
    assert (await act("reboot", type="HARD"))["status"] == "ACTIVE"
    assert (await act("rebuild", image=images["cirros"]))["imageId"] == images["cirros"]
    assert (await act("resize", flavor=flavors["m1.small"]))["status"] == "VERIFY_RESIZE"
    assert (await act("revert-resize"))["status"] == "ACTIVE"
    await act("resize", flavor=flavors["m1.small"])
    assert (await act("confirm-resize"))["flavor"] == "m1.small"
    await act("resize", flavor=flavors["m1.tiny"])
    await act("confirm-resize")
    await _replugged(here, act)
    assert (await act("console"))["url"].startswith("http")
    assert "log" in await act("console-log", lines=5)
    image = (await act("snapshot"))["imageId"]
    await asyncio.to_thread(here.cloud.image.delete_image, image)


async def _replugged(here: Home, act: Callable[..., Awaitable[Json]]) -> None:
    """Plug a volume in that is nobody's, and out again; it stays."""
    storage = here.cloud.block_storage
    volume = await asyncio.to_thread(lambda: storage.create_volume(size=1, name="spare"))
    await asyncio.to_thread(lambda: storage.wait_for_status(volume, "available", wait=120))
    plugged = await act("attach-volume", volume=volume.id)
    assert plugged["volumeId"] == volume.id
    found = await asyncio.to_thread(storage.get_volume, volume.id)
    assert [a["server_id"] for a in found.attachments] == [(await server(here)).id]
    assert (await act("detach-volume", volume=volume.id)) == {"volumeId": volume.id}
    found = await asyncio.to_thread(storage.get_volume, volume.id)
    assert (found.status, found.attachments) == ("available", [])
    await asyncio.to_thread(storage.delete_volume, volume.id)


async def test_a_volume_type_is_an_administrators(openstack_lab: OpenStackLab) -> None:
    async with home(openstack_lab) as here:
        auth = openstack_lab.auth("lab-admin")
        login = {"username": auth["username"], "password": auth["password"]}
        endpoint = replace(openstack_lab.endpoint(projectName="admin"), credentials=login)
        await provide(here.store, "administrator", endpoint)
        name = f"fast-{here.endpoint.installation}"  # It is the whole cloud's.
        wanted = an_instance("fast", "cinder-volume-type", "private", volumeType=name)
        spec = wanted.spec.model_copy(update={"provider": "administrator"})
        await here.apply(wanted.model_copy(update={"spec": spec}))
        made = await outputs(here, ServiceInstance, "fast")
        kind = await asyncio.to_thread(_volume_type, openstack_lab, made["VolumeTypeId"])
        assert (kind.name, kind.is_public) == (name, False)
        await here.delete(ServiceInstance, "fast")


def _volume_type(lab: OpenStackLab, type_id: str) -> Any:
    admin = lab.connect("lab-admin")
    found = admin.block_storage.get_type(type_id)
    admin.close()
    return found


async def test_an_openshift_is_made_of_played_servers_and_loses_its_bootstrap_server(
    openstack_lab: OpenStackLab,
) -> None:
    """Its installer is not run."""
    async with home(openstack_lab) as here:
        await here.store.create(SECRETS, IGNITION)
        flavors = {"controlFlavor": "m1.tiny", "workerFlavor": "m1.tiny"}
        parameters = OPENSHIFT | flavors | {"image": "fedora-coreos", "workers": 1}
        await here.apply(an_instance("shift", "openshift-nova", "standard", **parameters))
        await here.ready(ServiceInstance, "shift")
        assert sum((await here.servers()).values()) == 5
        without = parameters | {"bootstrapping": False}
        await here.apply(an_instance("shift", "openshift-nova", "standard", **without))
        await here.until(ServiceInstance, "shift", lambda i: i.ready and _follows(i))
        assert sum((await here.servers()).values()) == 4
        await here.delete(ServiceInstance, "shift")


IGNITION: Json = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "shift-ignition", "namespace": TEAM},
    "data": {"url": base64.b64encode(b"https://swift.example.com/bootstrap.ign").decode()},
}


def an_instance(name: str, offering: str, plan: str, **parameters: Any) -> ServiceInstance:
    spec: Json = {"offering": offering, "plan": plan, "parameters": parameters}
    return ServiceInstance.model_validate(
        {"metadata": {"name": name, "namespace": TEAM}, "spec": spec}
    )
