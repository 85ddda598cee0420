"""A real control plane goes to the next minor version by itself, on servers that boot.

The cluster is the catalog's blueprint on real Heat, Nova and Kubernetes: its key reaches the guest
by the metadata service, its own timer finds the wish and runs kubeadm. Nothing is played.
"""

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster
from isthmus.drivers.kubernetes import open_cluster
from isthmus.runtime.kinds import api_of
from isthmus_lab_kubernetes.settings import NEWEST, RELEASES
from tests.cloud_place import Place, place
from tests.kubernetes_lab import FLAVOR, ON_OPENSTACK, GuestCloud
from tests.world import TEAM

pytestmark = [*ON_OPENSTACK, pytest.mark.timeout(1800)]

OLDER = min(RELEASES)


def a_cluster(image: str, version: str, replicas: int) -> Cluster:
    spec: Json = {
        "offering": "kubernetes-nova",
        "plan": "custom",
        "provider": "lab",
        "kubernetesVersion": version.removeprefix("v"),
        "controlPlane": {"replicas": replicas},
        "parameters": {"image": image, "flavor": FLAVOR, "ignorePreflightErrors": ["all"]},
    }
    return Cluster.model_validate({"metadata": {"name": "up", "namespace": TEAM}, "spec": spec})


async def up(here: Place, version: str) -> Cluster:
    return await here.until(
        lambda: here.get(Cluster, "up"),
        lambda c: c is not None and c.ready and c.status.version == version,
        within=900,
    )


async def test_a_control_plane_goes_to_the_next_minor(guest_cloud: GuestCloud) -> None:
    older, newer = RELEASES[OLDER], RELEASES[NEWEST]
    image = guest_cloud.prepare(OLDER)
    async with place(guest_cloud.openstack, open_cluster) as here, here.life():
        await here.store.create(api_of(Cluster), a_cluster(image, older, 1).dump())
        await up(here, older)
        assert await here.keys() == {}
        await here.change(Cluster, "up", kubernetesVersion=newer.removeprefix("v"))
        cluster = await up(here, newer)
        upgraded = cluster.condition("Upgraded")
        assert upgraded is not None
        assert upgraded.status == "True"
        kubeconfig = (await here.told("up-kubeconfig"))["kubeconfig"]
        async with open_cluster(kubeconfig) as nodes:
            assert await nodes.version() == newer
            (node,) = await nodes.nodes()
        assert (node.version, node.ready, node.upgrade_failure) == (newer, True, "")
        await here.store.delete(api_of(Cluster), TEAM, "up")
        await here.until(lambda: here.get(Cluster, "up"), lambda c: c is None)
