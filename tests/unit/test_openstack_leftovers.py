"""What a cluster made and nothing proves to be its own is named, and stays until somebody acts."""

import pytest

from isthmus.api.v1alpha1 import StackResource
from isthmus.drivers.openstack import predelete
from isthmus.drivers.openstack.predelete import Target
from isthmus.errors import InvalidSpec
from tests.catalog_files import composed
from tests.openstack_double import Double, serving

UID = "7a1e0c52-uid"
MARK = "cinder.csi.openstack.org/cluster"
INFRA = "shift-x7k2p"


def volume(name: str, mark: str, *servers: str) -> dict:
    status = "in-use" if servers else "available"
    attached = [{"server_id": server} for server in servers]
    return {"id": name, "metadata": {MARK: mark}, "status": status, "attachments": attached}


def an_openshift(infra: str) -> Double:
    """A cloud in which an OpenShift of that infra id has left something of each kind."""
    double = Double()
    double.servers = [{"id": "worker", "name": "worker", "status": "SHUTOFF"}]
    name = f"kube_service_{infra}_a_b"
    double.loadbalancers = [{"id": "lb", "name": name, "provisioning_status": "ACTIVE"}]
    words = f"external service a/b from cluster {infra}"
    double.floatingips = [{"id": "fip", "tags": [], "description": words}]
    double.security_groups = [{"id": "sg", "tags": [], "description": f"a/b in cluster {infra}"}]
    double.ports = [{"id": "port", "tags": [f"openshiftClusterID={infra}"], "device_owner": ""}]
    double.volumes = [volume("vol", infra)]
    double.snapshots = [volume("snap", infra)]
    return double


async def ran(double: Double, name: str, plan: str, *resources: StackResource) -> str:
    asked = {"infraId": INFRA} if name == "openshift-nova" else {}
    steps = composed(name, plan, asked, uid=UID).spec.pre_delete
    with serving(double) as cloud:
        return await predelete.run(
            cloud, steps, Target(uid=UID, outputs={}, resources=list(resources))
        )


async def test_each_thing_with_the_infra_id_keeps_the_stack_and_stays():
    double = an_openshift(INFRA)
    kinds = ("loadbalancers", "floatingips", "security_groups", "ports", "snapshots", "volumes")
    for kind in kinds:
        left = await ran(double, "openshift-nova", "standard")
        assert getattr(double, kind)[0]["id"] in left or kind == "loadbalancers"
        assert "we delete none of it" in left
        getattr(double, kind).clear()
    assert await ran(double, "openshift-nova", "standard") == ""
    assert not [call for call in double.calls if call.startswith(("DELETE", "PUT"))]


async def test_another_openshifts_things_keep_nothing():
    assert await ran(an_openshift("other-p2k7x"), "openshift-nova", "standard") == ""


def a_magnum() -> Double:
    """Two clusters, whose volumes are marked alike; the servers tell them apart."""
    double = Double()
    double.clusters = [{"id": "c", "groups": [], "status": "CREATE_COMPLETE", "stack_id": "9"}]
    double.volumes = [
        volume("pvc-ours", "kubernetes", "node"),
        volume("pvc-theirs", "kubernetes", "other"),
        {
            "id": "docker",
            "metadata": {},
            "status": "in-use",
            "attachments": [{"server_id": "node"}],
        },
    ]
    server = {"resource_name": "kube-minion", "physical_resource_id": "node"}
    double.heat = {
        "/stacks/9": {"stack": {"stack_name": "m-abc", "id": "9"}},
        "/stacks/m-abc/9/resources?nested_depth=5&type=OS::Nova::Server": {"resources": [server]},
    }
    return double


CLUSTER = StackResource(logical_id="cluster", type="OS::Magnum::Cluster", physical_id="c")


async def test_the_claims_of_a_magnum_cluster_keep_it_until_they_are_gone():
    double = a_magnum()
    left = await ran(double, "magnum-kubernetes", "dev", CLUSTER)
    assert left.startswith("volume pvc-ours is in-use (we delete none of it")
    del double.volumes[0]
    assert await ran(double, "magnum-kubernetes", "dev", CLUSTER) == ""
    assert [v["id"] for v in double.volumes] == ["pvc-theirs", "docker"]


async def test_a_magnum_cluster_that_never_came_to_be_has_nothing():
    double = a_magnum()
    double.clusters = []
    assert await ran(double, "magnum-kubernetes", "dev", CLUSTER) == ""
    assert await ran(double, "magnum-kubernetes", "dev") == ""


async def test_somebody_elses_cluster_of_magnum_is_refused():
    step = {"step": "name-volumes-of-magnum", "cluster": "other"}
    with serving(a_magnum()) as cloud, pytest.raises(InvalidSpec, match="of the stack"):
        await predelete.run(cloud, [step], Target(uid=UID, outputs={}, resources=[CLUSTER]))
