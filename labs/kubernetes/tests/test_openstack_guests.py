"""Servers of a real Nova that boot: a cluster by Heat, power, rebuild, resize, the end."""

import base64
import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus_lab_kubernetes import building
from isthmus_lab_kubernetes.commands import wait
from isthmus_lab_kubernetes.settings import NEWEST, RELEASES, LabError
from tests.kubernetes_lab import FLAVOR, ON_OPENSTACK, GuestCloud, image_name

pytestmark = [*ON_OPENSTACK, pytest.mark.timeout(2400)]
TEMPLATE = Path(__file__).parent / "cluster.hot.yaml"
SERVER = {"timeout": 300, "every": 1.0}


def said(guest: Any, *words: str) -> str:
    """What a command inside a guest says; empty while it is off."""
    try:
        command = guest.command(words)
    except LabError:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def boot(cloud: GuestCloud, name: str, network: Any, **more: Any) -> Any:
    """A server that is a guest, ACTIVE, with its cloud-init done."""
    connection = cloud.openstack.connect()
    usual = {"image_id": image(connection), "flavor_id": flavor(connection, FLAVOR)}
    server = connection.compute.create_server(
        name=name, networks=[{"uuid": network.id}], **(usual | more)
    )
    server = connection.compute.wait_for_server(server, wait=300, interval=1)
    settled(cloud, server)
    return server


def image(connection: Any) -> str:
    return next(connection.image.images(name=image_name())).id


def flavor(connection: Any, name: str) -> str:
    return connection.compute.find_flavor(name, ignore_missing=False).id


def gone(connection: Any) -> None:
    wait(lambda: not list(connection.compute.servers()), 240, "a server is not deleted", every=1)


def settled(cloud: GuestCloud, server: Any) -> None:
    guest = cloud.guest(server.id)
    wait(lambda: "done" in said(guest, "cloud-init", "status"), 240, "cloud-init", every=1)


def state_becomes(connection: Any, server: Any, state: str) -> None:
    wait(
        lambda: connection.compute.get_server(server.id).status == state,
        240,
        f"{server.name} does not become {state}",
        every=1,
    )


def text(content: str) -> str:
    return base64.b64encode(content.encode()).decode()


def test_a_cluster_by_heat_is_reached_through_its_floating_address(guest_cloud: GuestCloud) -> None:
    connection = guest_cloud.openstack.connect()
    parameters = {"image": image_name(), "version": RELEASES[NEWEST], "worker_count": 2}
    stack = connection.orchestration.create_stack(
        name="guests", template=TEMPLATE.read_text(), parameters=parameters
    )
    wait(
        lambda: connection.orchestration.get_stack(stack.id).status != "CREATE_IN_PROGRESS",
        900,
        "the stack is not made",
        every=2,
    )
    stack = connection.orchestration.get_stack(stack.id)
    assert stack.status == "CREATE_COMPLETE", stack.status_reason
    floating = next(o["output_value"] for o in stack.outputs if o["output_key"] == "server")
    control = next(s for s in connection.compute.servers() if s.name == "guests-control")
    guest = guest_cloud.guest(control.id)
    kubectl = kubectl_through(guest, floating, guest_cloud.lab.state)
    wait(lambda: kubectl("get", "nodes").count(" Ready ") == 3, 300, "three nodes", every=1)

    # The security group lets the API through, and nothing else: the kubelet does not answer us.
    with pytest.raises(TimeoutError):
        socket.create_connection((floating, 10250), timeout=3)
    worker = next(s for s in connection.compute.servers() if s.name == "guests-worker-0")
    guest_cloud.guest(worker.id).kill()
    state_becomes(connection, worker, "SHUTOFF")
    connection.compute.reboot_server(worker, "HARD")
    state_becomes(connection, worker, "ACTIVE")
    wait(lambda: kubectl("get", "nodes").count(" Ready ") == 3, 300, "all nodes again", every=1)

    connection.orchestration.delete_stack(stack.id)
    wait(
        lambda: (
            connection.orchestration.find_stack(stack.id, ignore_missing=True) is None
            or connection.orchestration.get_stack(stack.id).status == "DELETE_COMPLETE"
        ),
        300,
        "the stack is not deleted",
        every=2,
    )
    wait(lambda: guest_cloud.left_on_the_host() == [], 120, "something of the guests is left")


def kubectl_through(guest: Any, address: str, folder: Path) -> Callable[..., str]:
    """The administrator's kubectl on this host, by the cluster's outer address."""
    config = folder / "kubeconfig"
    inner = guest.home / "upper/etc/kubernetes/admin.conf"
    wait(inner.exists, 120, "kubeadm has not begun")
    command = [str(building.kube(NEWEST)), "kubectl", "--kubeconfig", str(config)]

    def run(*words: str) -> str:
        lines = inner.read_text().splitlines()
        replaced = [
            f"    server: https://{address}:6443" if "server: https://" in line else line
            for line in lines
        ]
        config.write_text("\n".join(replaced))
        return subprocess.run(
            [*command, *words], capture_output=True, text=True, check=False
        ).stdout

    return run


@pytest.fixture
def network(guest_cloud: GuestCloud) -> Any:
    connection = guest_cloud.openstack.connect()
    made = connection.network.create_network(name="guests-test")
    connection.network.create_subnet(network_id=made.id, cidr="10.62.0.0/24", ip_version=4)
    yield made
    for server in connection.compute.servers():
        connection.compute.delete_server(server)
    gone(connection)
    wait(lambda: guest_cloud.left_on_the_host() == [], 120, "something of the guests is left")
    connection.network.delete_network(made)


def test_the_life_of_a_server(guest_cloud: GuestCloud, network: Any) -> None:
    connection = guest_cloud.openstack.connect()
    first = "#cloud-config\nwrite_files: [{path: /root/life, content: first}]\n"
    server = boot(guest_cloud, "life", network, user_data=text(first), metadata={"colour": "red"})
    guest = guest_cloud.guest(server.id)
    assert said(guest, "cat", "/root/life") == "first"
    assert "life" in said(guest, "hostname")
    address = server.addresses["guests-test"][0]["addr"]
    assert address in said(guest, "ip", "-4", "addr", "show", "eth0")
    assert "Cloud-init" in connection.compute.get_server_console_output(server)["output"]

    # Metadata are served live: what is changed or removed is so for the guest.
    connection.compute.set_server_metadata(server, colour="blue")
    served = said(guest, "curl", "-s", "http://169.254.169.254/openstack/latest/meta_data.json")
    assert json.loads(served)["meta"] == {"colour": "blue"}

    connection.compute.stop_server(server)
    state_becomes(connection, server, "SHUTOFF")
    assert guest.leader is None
    connection.compute.start_server(server)
    state_becomes(connection, server, "ACTIVE")
    assert said(guest, "cat", "/root/life") == "first"

    leader = guest.leader
    connection.compute.reboot_server(server, "SOFT")
    wait(lambda: guest.leader not in (None, leader), 180, "it is not rebooted", every=1)
    state_becomes(connection, server, "ACTIVE")

    second = "#cloud-config\nwrite_files: [{path: /root/life, content: second}]\n"
    connection.compute.rebuild_server(
        server, image=server.image.id, user_data=text(second), name="life"
    )
    wait(lambda: said(guest, "cat", "/root/life") == "second", 300, "it is not rebuilt", every=1)
    state_becomes(connection, server, "ACTIVE")

    admin = guest_cloud.openstack.connect("lab-admin")
    larger = admin.compute.create_flavor(name="m1.larger", ram=3072, vcpus=2, disk=10)
    try:
        connection.compute.resize_server(server, larger.id)
        state_becomes(connection, server, "VERIFY_RESIZE")
        connection.compute.confirm_server_resize(server)
        state_becomes(connection, server, "ACTIVE")
        limit = ("cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
        # It is ACTIVE as soon as its PID 1 runs, which mounts this first.
        wait(lambda: said(guest, *limit).strip() == str(3072 << 20), 60, "no new limit", every=1)
        assert said(guest, "cat", "/root/life") == "second"
    finally:
        admin.compute.delete_flavor(larger)

    # Last: a host that has just begun takes what is under way for something that it lost.
    leader = guest.leader
    guest_cloud.openstack.order("restart", "nova-compute-0")
    assert guest.leader == leader


def test_a_root_on_a_volume_outlives_its_server(guest_cloud: GuestCloud, network: Any) -> None:
    connection = guest_cloud.openstack.connect()
    device = {"boot_index": 0, "destination_type": "volume", "delete_on_termination": False}
    source = {"source_type": "image", "uuid": image(connection), "volume_size": 10}
    note = "#cloud-config\nwrite_files: [{path: /root/note, content: kept}]\n"
    first = boot(
        guest_cloud, "first", network, image_id="", block_device_mapping=[device | source],
        user_data=text(note),
    )  # fmt: skip
    (attached,) = connection.compute.volume_attachments(first)
    volume = attached.volume_id
    connection.compute.delete_server(first)
    gone(connection)

    source = {"source_type": "volume", "uuid": volume, "delete_on_termination": True}
    second = boot(
        guest_cloud, "second", network, image_id="", block_device_mapping=[device | source],
        config_drive=True,
    )  # fmt: skip
    guest = guest_cloud.guest(second.id)
    assert said(guest, "cat", "/root/note") == "kept"
    drive = json.loads(said(guest, "cat", "/config-drive/openstack/latest/meta_data.json"))
    assert drive["uuid"] == second.id
    content = guest_cloud.openstack.state / "var" / "volumes" / volume
    assert content.exists()
    connection.compute.delete_server(second)
    gone(connection)
    wait(lambda: not content.exists(), 180, "the volume's content is left")


def test_the_life_of_a_node_of_ironic(guest_cloud: GuestCloud, network: Any) -> None:
    connection = guest_cloud.openstack.connect()
    metal = guest_cloud.await_metal().baremetal
    kind = flavor(connection, "baremetal")
    guest_cloud.openstack.faults(
        {"service": "ironic-conductor", "method": "deploy", "path": "^metal$", "times": 1}
    )
    first = "#cloud-config\nwrite_files: [{path: /root/life, content: first}]\n"
    server = boot(guest_cloud, "metal", network, flavor_id=kind, user_data=text(first))
    (node,) = metal.nodes(details=True, instance_id=server.id)
    assert (node.provision_state, node.power_state) == ("active", "power on")
    guest = guest_cloud.guest(server.id)
    assert said(guest, "cat", "/root/life") == "first"
    address = server.addresses["guests-test"][0]["addr"]
    assert address in said(guest, "ip", "-4", "addr", "show", "eth0")

    connection.compute.stop_server(server)
    state_becomes(connection, server, "SHUTOFF")
    assert guest.leader is None
    connection.compute.start_server(server)
    state_becomes(connection, server, "ACTIVE")
    leader = guest.leader
    assert leader is not None
    metal.set_node_power_state(node, "rebooting")
    wait(lambda: guest.leader not in (None, leader), 180, "it is not rebooted", every=1)

    connection.compute.delete_server(server)
    gone(connection)
    node = metal.wait_for_nodes_provision_state([node], "available", timeout=180)[0]
    assert (node.power_state, guest.exists) == ("power off", False)
