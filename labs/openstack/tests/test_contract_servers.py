"""Contract of the running lab: machines, networks, volumes and metal, as the product needs them."""

from typing import Any

import pytest

from tests.openstack_lab import OpenStackLab, until

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    # The SDK warns of its own inside.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
PATIENCE = {"wait": 180, "interval": 0.5}


@pytest.fixture
def network(cloud: Any, name: str) -> Any:
    """A network with a subnet behind a router to the outside."""
    net = cloud.network
    network = net.create_network(name=name)
    subnet = net.create_subnet(network_id=network.id, name=name, cidr="10.7.0.0/24", ip_version=4)
    outside = net.find_network("public")
    router = net.create_router(name=name, external_gateway_info={"network_id": outside.id})
    net.add_interface_to_router(router, subnet_id=subnet.id)
    yield network
    net.remove_interface_from_router(router, subnet_id=subnet.id)
    net.delete_router(router)
    net.delete_network(network)


@pytest.fixture
def server(cloud: Any, network: Any, name: str) -> Any:
    made = cloud.compute.create_server(
        name=name,
        image_id=cloud.image.find_image("cirros").id,
        flavor_id=cloud.compute.find_flavor("m1.small").id,
        networks=[{"uuid": network.id}],
    )
    yield cloud.compute.wait_for_server(made, **PATIENCE)
    cloud.compute.delete_server(made)
    cloud.compute.wait_for_delete(made, interval=0.5, wait=120)


def test_a_server_has_a_port_an_address_and_a_floating_ip(cloud: Any, server: Any) -> None:
    port = next(cloud.network.ports(device_id=server.id))
    assert port.status == "ACTIVE"
    outside = cloud.network.find_network("public")
    address = cloud.network.create_ip(floating_network_id=outside.id, port_id=port.id)
    until(lambda: cloud.network.get_ip(address.id).status, "ACTIVE".__eq__)
    cloud.network.delete_ip(address)


def test_a_server_is_stopped_started_resized_and_gives_a_console(cloud: Any, server: Any) -> None:
    compute = cloud.compute
    compute.stop_server(server)
    compute.wait_for_server(server, "SHUTOFF", **PATIENCE)
    compute.start_server(server)
    compute.wait_for_server(server, "ACTIVE", **PATIENCE)
    compute.resize_server(server, compute.find_flavor("m1.medium").id)
    compute.wait_for_server(server, "VERIFY_RESIZE", **PATIENCE)
    compute.confirm_server_resize(server)
    compute.wait_for_server(server, "ACTIVE", **PATIENCE)
    assert compute.create_console(server, "novnc")["url"].startswith("http")


def test_a_volume_is_made_from_an_image_attached_and_detached(cloud: Any, server: Any) -> None:
    storage = cloud.block_storage
    image = cloud.image.find_image("cirros")
    volume = storage.create_volume(name=server.name, size=3, image_id=image.id)
    states = {"failures": ["error"], "interval": 0.5, "wait": 120}
    storage.wait_for_status(volume, "available", **states)
    attachment = cloud.compute.create_volume_attachment(server, volume_id=volume.id)
    storage.wait_for_status(volume, "in-use", **states)
    cloud.compute.delete_volume_attachment(server, attachment.volume_id)
    storage.wait_for_status(volume, "available", **states)
    storage.delete_volume(volume)
    storage.wait_for_delete(volume, interval=0.5, wait=60)


def test_a_server_that_is_to_fail_says_why(
    cloud: Any, openstack_lab: OpenStackLab, network: Any, name: str
) -> None:
    openstack_lab.faults(
        {"service": "nova-compute", "path": f"^{name}$", "message": "the lab says no"}
    )
    made = cloud.compute.create_server(
        name=name,
        image_id=cloud.image.find_image("cirros").id,
        flavor_id=cloud.compute.find_flavor("m1.small").id,
        networks=[{"uuid": network.id}],
    )
    failed = until(
        lambda: cloud.compute.get_server(made.id),
        # Nova notes the reason after the status.
        lambda s: s.status not in ("BUILD", "ERROR") or s.fault,
    )
    assert failed.status == "ERROR"
    assert failed.fault["message"]
    cloud.compute.delete_server(made)
    cloud.compute.wait_for_delete(made, interval=0.5, wait=120)


def test_an_api_refuses_as_often_as_it_is_told(cloud: Any, openstack_lab: OpenStackLab) -> None:
    url = cloud.compute.get_endpoint() + "/flavors"
    openstack_lab.faults(
        {"service": "nova", "path": "/flavors$", "status": 429, "retryAfter": 5, "times": 2}
    )
    answers = [cloud.session.get(url, raise_exc=False) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "5"


def test_bare_metal_is_available_and_takes_faults(admin: Any, openstack_lab: OpenStackLab) -> None:
    nodes = until(
        lambda: {node.name: node.provision_state for node in admin.baremetal.nodes(details=True)},
        # One that another test has given back may be on its way.
        lambda found: set(found.values()) <= {"available", "active"},
    )
    assert {name for name in nodes if name.startswith("bm-")} == {f"bm-{n}" for n in range(4)}
    openstack_lab.faults({"service": "ironic", "path": "/nodes", "status": 503})
    answer = admin.session.get(admin.baremetal.get_endpoint() + "/v1/nodes", raise_exc=False)
    assert answer.status_code == 503


def test_a_server_of_a_bare_metal_flavor_takes_a_node_and_gives_it_back(
    cloud: Any, admin: Any, network: Any, name: str
) -> None:
    nodes = {node.id for node in admin.baremetal.nodes()}
    until(lambda: {host.name for host in admin.compute.hypervisors()}, nodes.issubset, 180)
    made = cloud.compute.create_server(
        name=name,
        image_id=cloud.image.find_image("cirros").id,
        flavor_id=cloud.compute.find_flavor("baremetal").id,
        networks=[{"uuid": network.id}],
    )
    cloud.compute.wait_for_server(made, wait=300, interval=1)
    (node,) = admin.baremetal.nodes(details=True, instance_id=made.id)
    assert node.provision_state == "active"
    cloud.compute.delete_server(made)
    cloud.compute.wait_for_delete(made, interval=1, wait=180)
    until(lambda: admin.baremetal.get_node(node.id).provision_state, "available".__eq__)


def test_there_is_more_than_one_compute_host(admin: Any) -> None:
    names = {host.name for host in admin.compute.hypervisors()}
    assert {"lab-compute-0", "lab-compute-1"} <= names
