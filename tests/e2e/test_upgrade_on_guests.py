"""A real cluster goes to the next minor version, on servers that boot: control plane, then nodes.

The control plane upgrades itself in place: its own timer finds the wish in the cluster and runs
kubeadm. The nodes are exchanged for ones of an image that has the new version.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus_lab_kubernetes.settings import NEWEST, RELEASES
from tests.cloud_place import ITEM
from tests.guest_site import Site, a_cluster, a_pool, everything, nothing_more, runs, site
from tests.kubernetes_lab import ON_OPENSTACK, GuestCloud
from tests.openstack_lab import until

pytestmark = [*ON_OPENSTACK, pytest.mark.timeout(1800)]

OLDER = min(RELEASES)


@pytest.fixture
def here(guest_cloud: GuestCloud, tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, guest_cloud) as place:
        yield place


def test_a_cluster_goes_to_the_next_minor(here: Site) -> None:
    older, newer = RELEASES[OLDER], RELEASES[NEWEST]
    former, image = here.cloud.prepare(OLDER), here.cloud.prepare(NEWEST)
    before = everything(here.cloud)
    here.apply(a_cluster("shop", former, older), a_pool("shop", 1))
    here.ready("cluster/shop", 600)
    here.ready("nodepool/shop")
    kubectl = here.kubectl("shop")
    until(kubectl.versions, {older}.__eq__, 60)
    first = here.servers()["shop-control-0"]
    assert ITEM not in first.metadata

    here.change("cluster/shop", kubernetesVersion=newer.removeprefix("v"))
    here.until("cluster/shop", lambda cluster: runs(cluster, newer), 600)
    until(kubectl.versions, {older, newer}.__eq__, 60)

    here.change("nodepool/shop", image=image, kubernetesVersion=newer.removeprefix("v"))
    here.ready("nodepool/shop")
    until(kubectl.versions, {newer}.__eq__, 60)
    until(lambda: len(kubectl.ready()), (2).__eq__, 60)
    assert len(kubectl.items("nodes")) == 2
    assert here.servers()["shop-control-0"].id == first.id

    here.home.run("delete", "cluster/shop", "-n", "shop", "--timeout", "600")
    nothing_more(here.cloud, before)
