"""Three control planes on servers that boot: they go to the next minor version one after the other,
and the API answers on when one of them is lost.

Nothing is played but the hardware: keepalived in the servers moves the address, Neutron's floating
address leads to whoever has it.
"""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus_lab_kubernetes.settings import NEWEST, RELEASES
from tests.guest_site import Kubectl, Site, a_cluster, everything, nothing_more, runs, site
from tests.kubernetes_lab import ON_OPENSTACK, GuestCloud
from tests.openstack_lab import until

pytestmark = [*ON_OPENSTACK, pytest.mark.timeout(1800)]

OLDER = min(RELEASES)


@pytest.fixture
def here(guest_cloud: GuestCloud, tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, guest_cloud) as place:
        yield place


def test_the_api_outlives_an_upgrade_and_a_control_plane(here: Site) -> None:
    older, newer = RELEASES[OLDER], RELEASES[NEWEST]
    image = here.cloud.prepare(OLDER)
    before = everything(here.cloud)
    here.apply(a_cluster("trio", image, older, control_planes=3))
    here.ready("cluster/trio", 900)
    kubectl = here.kubectl("trio")
    names = [f"trio-control-{number}" for number in range(3)]
    until(kubectl.ready, names.__eq__, 60)
    upgrade(here, kubectl, older, newer)

    (lost,) = until(lambda: [n for n in names if has_the_address(here, n)], lambda n: len(n) == 1)
    here.cloud.guest(here.servers()[lost].id).kill()
    until(lambda: written(kubectl), bool, 120, 0.2)
    here.until("cluster/trio", lambda cluster: cluster["status"]["nodes"]["ready"] == 2)
    until(lambda: here.why("cluster/trio"), lambda said: lost in said, 120)

    here.home.run("delete", "cluster/trio", "-n", "shop", "--timeout", "600")
    nothing_more(here.cloud, before)


def upgrade(here: Site, kubectl: Kubectl, older: str, newer: str) -> None:
    """Each in place, on the server that it has; the API takes changes meanwhile."""
    servers = {name: server.id for name, server in here.servers().items()}
    until(kubectl.versions, {older}.__eq__, 60)
    here.change("cluster/trio", kubernetesVersion=newer.removeprefix("v"))
    until(kubectl.versions, {older, newer}.__eq__, 600)
    until(lambda: written(kubectl), bool, 120, 0.2)
    here.until("cluster/trio", lambda cluster: runs(cluster, newer), 900)
    here.ready("cluster/trio")  # The last one's kubelet has only just begun.
    until(kubectl.versions, {newer}.__eq__, 60)
    assert {name: server.id for name, server in here.servers().items()} == servers


def has_the_address(here: Site, server: str) -> bool:
    """Whether a server has an address beside its own: that of the API."""
    guest = here.cloud.guest(here.servers()[server].id)
    command = guest.command(["ip", "-4", "-o", "addr", "show", "dev", "eth0"])
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return len(said.splitlines()) > 1


def written(kubectl: Kubectl) -> bool:
    """Whether the API takes a change, for which etcd has to agree."""
    now = str(time.monotonic_ns())
    return bool(kubectl("create", "configmap", f"at-{now}", "--request-timeout", "2s"))
