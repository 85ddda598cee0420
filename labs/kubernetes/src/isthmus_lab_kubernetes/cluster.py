"""A kubeadm cluster of guests on a network of their own, without any cloud."""

import subprocess
import uuid
from pathlib import Path
from string import Template

from isthmus_lab_kubernetes import building, networks
from isthmus_lab_kubernetes.commands import wait
from isthmus_lab_kubernetes.config_drive import drive
from isthmus_lab_kubernetes.guests import Guest, guests
from isthmus_lab_kubernetes.machines import Machine, Port
from isthmus_lab_kubernetes.settings import (
    NEWEST,
    PACKAGE,
    POD_CIDR,
    RELEASES,
    SERVICE_CIDR,
    Lab,
    LabError,
)

NETWORK = "lab"
TOKEN = "abcdef.0123456789abcdef"
_USER_DATA = PACKAGE / "user_data"


def subnet(lab: Lab) -> str:
    """The first three bytes of the lab's own network: two labs on one host seldom share it."""
    return f"10.89.{int(lab.tag[:2], 16)}"


def free_port(lab: Lab) -> Port:
    """A card on the lab's own network, with the next free address; the host is its gateway."""
    prefix = subnet(lab)
    networks.uplink(lab, NETWORK, (f"{prefix}.1/24",))
    taken = {address for guest in guests(lab) for port in guest.ports for address in port.addresses}
    address = next(
        (f"{prefix}.{host}/24" for host in range(10, 250) if f"{prefix}.{host}/24" not in taken),
        None,
    )
    if address is None:
        raise LabError(f"no address of {prefix}.0/24 is free: delete a guest")
    digits = uuid.uuid4().hex
    mac = f"fa:16:3e:{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
    return Port(
        id=str(uuid.uuid4()), network=NETWORK, mac=mac, addresses=(address,), gateway=f"{prefix}.1"
    )


def boot(lab: Lab, machine: Machine) -> Guest:
    """Make and start a guest; does nothing if it runs."""
    guest = Guest(lab, machine.id)
    if not guest.exists:
        guest.create(machine)
    guest.start()
    return guest


def node(lab: Lab, name: str, user_data: str, release: str) -> Guest:
    """A guest on the lab's own network, which runs this user data."""
    if Guest(lab, name).exists:
        guest = Guest(lab, name)
        guest.start()
        return guest
    port = free_port(lab)
    files = drive(name, name, user_data)
    return boot(lab, Machine(id=name, hostname=name, ports=(port,), release=release, drive=files))


def _user_data(name: str, **values: str) -> str:
    text = Template((_USER_DATA / f"{name}.yaml").read_text())
    return text.substitute(token=TOKEN, **values)


def up(lab: Lab, nodes: int, release: str = NEWEST) -> Path:
    """Bring a cluster of one control plane and `nodes` nodes up, all Ready; returns its kubeconfig.

    Raises:
        LabError: The nodes did not become Ready in five minutes.
    """
    version = RELEASES[release]
    building.release(release)
    text = _user_data("first-node", version=version, pods=POD_CIDR, services=SERVICE_CIDR)
    first = node(lab, "control", text, release)
    join = _user_data("next-node", server=first.address)
    for number in range(1, nodes + 1):
        node(lab, f"node-{number}", join, release)
    config = first.home / "upper/etc/kubernetes/admin.conf"
    kubectl = [str(building.kube(release)), "kubectl", "--kubeconfig", str(config)]

    def ready() -> bool:
        answer = subprocess.run(
            [*kubectl, "get", "nodes", "--no-headers"], capture_output=True, text=True, check=False
        )
        return answer.stdout.count(" Ready ") == nodes + 1

    wait(
        ready, 300, "the nodes did not become Ready: exec control -- journalctl -u kubelet", every=1
    )
    return config


def down(lab: Lab) -> None:
    """Remove every guest, network, cable and cgroup of the lab."""
    for guest in guests(lab):
        guest.delete()
    networks.remove_all(lab)
