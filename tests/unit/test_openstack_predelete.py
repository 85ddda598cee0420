"""What a cluster made in its cloud goes before its stack, whatever fails; and nothing else does."""

import re

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import StackResource
from isthmus.drivers.openstack import predelete
from isthmus.drivers.openstack.predelete import Target
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import DeletionBlocked, InvalidSpec, Throttled, Unavailable
from tests.catalog_files import composed
from tests.openstack_double import Double, serving

UID = "7a1e0c52-uid"
OURS, THEIRS = f"shop-{UID}", f"shop-{UID}-too"
MARK = "cinder.csi.openstack.org/cluster"
STEPS = composed("kubernetes-nova", "dev", uid=UID).spec.pre_delete
MOST = 20
"""Rounds in which everything must be gone."""


def left_by(cluster: str, number: int) -> dict[str, Json]:
    """What the cloud controller and the CSI driver of a cluster make, by kind."""
    end, name = f"{number}", f"kube_service_{cluster}_a_b"
    address = f"Floating IP for Kubernetes external service a/b from cluster {cluster}"
    return {
        "loadbalancers": {
            "id": f"lb{end}", "name": name, "provisioning_status": "ACTIVE",
        },
        "floatingips": {
            "id": f"fip{end}", "tags": [], "description": address,
        },
        "security_groups": {
            "id": f"sg{end}", "tags": [],
            "description": f"Security Group for a/b Service LoadBalancer in cluster {cluster}",
        },
        "ports": {
            "id": f"port{end}", "tags": [cluster], "device_owner": "compute:nova",
            "device_id": "control", "security_groups": [f"sg{end}-of-pod"],
        },
        "volumes": {
            "id": f"vol{end}", "status": "in-use", "metadata": {MARK: cluster},
            "attachments": [{"server_id": "control"}],
        },
        "snapshots": {
            "id": f"snap{end}", "status": "available", "metadata": {MARK: cluster},
            "volume_id": f"vol{end}",
        },
    }  # fmt: skip


def a_cloud(**options) -> Double:
    double = Double(page=1, **options)
    double.servers = [{"id": "control", "name": "shop-control-0", "status": "ACTIVE"}]
    double.routers = [{"id": "router", "tags": [], "routes": [{"nexthop": "10.64.0.10"}]}]
    for number, cluster in enumerate((OURS, THEIRS)):
        for kind, thing in left_by(cluster, number).items():
            getattr(double, kind).append(thing)
    return double


def target(**resources: str) -> Target:
    there = resources or {"control_0": "OS::Nova::Server", "router": "OS::Neutron::Router"}
    ids = {"OS::Nova::Server": "control", "OS::Neutron::Router": "router"}
    found = [
        StackResource(logical_id=name, type=kind, physical_id=ids[kind])
        for name, kind in there.items()
    ]
    return Target(uid=UID, outputs={}, resources=found)


def there(double: Double) -> set[str]:
    """Ids of everything that a cluster may have made."""
    return {thing["id"] for kind in left_by("", 0) for thing in getattr(double, kind)}


async def cleared(double: Double) -> list[str]:
    """Clear up in a cloud; return what was waited for."""
    with serving(double) as cloud:
        return await repeated(cloud)


async def repeated(cloud: Cloud) -> list[str]:
    """Repeat the steps until they are done, as the engine does; return what was waited for."""
    waited: list[str] = []
    for _ in range(MOST):
        try:
            left = await predelete.run(cloud, STEPS, target())
        except Unavailable:
            continue
        if not left:
            return waited
        waited.append(left)
    raise AssertionError(waited)


async def tried(cloud: Cloud, where: Target) -> None:
    """Repeat the steps, done or not."""
    for _ in range(MOST):
        await predelete.run(cloud, STEPS, where)


def of_each_kind(calls: list[str]) -> dict[str, int]:
    """Number of the first call of each kind, by its words without an id."""
    numbered = list(enumerate(calls, 1))
    return {re.sub(r"(control|router|[a-z]+)\d*$", "", call): n for n, call in numbered[::-1]}


async def test_what_is_the_clusters_goes_and_nothing_else():
    double = a_cloud()
    waited = await cleared(double)
    assert there(double) == {thing["id"] for thing in left_by(THEIRS, 1).values()}
    assert double.servers[0]["status"] == "SHUTOFF"
    assert double.routers[0]["routes"] == []
    assert "server shop-control-0 is ACTIVE" in waited[0]
    assert any("load balancer kube_service" in words for words in waited)
    assert any("volume vol0 is in-use" in words for words in waited)


async def test_each_kind_of_call_fails_once():
    """Before its effect, and after it."""
    double = a_cloud()
    with serving(double) as cloud:
        await repeated(cloud)
        for call, number in of_each_kind(double.calls).items():
            for lost_answer in (False,) if call.startswith("GET") else (False, True):
                double.become(a_cloud(strike=number, lost_answer=lost_answer))
                await repeated(cloud)
                wanted = {thing["id"] for thing in left_by(THEIRS, 1).values()}
                assert (there(double), double.routers[0]["routes"]) == (wanted, []), call


async def test_what_somebody_else_uses_blocks_with_its_name():
    double = a_cloud()
    double.ports.append({"id": "guest", "tags": [], "security_groups": ["sg0"]})
    with serving(double) as cloud, pytest.raises(DeletionBlocked, match="sg0 in use"):
        await tried(cloud, target())


async def test_a_cloud_without_octavia_has_no_load_balancers():
    double = a_cloud(services=("compute", "network", "block-storage"))
    await cleared(double)
    assert not [call for call in double.calls if "load-balancer" in call]


async def test_a_stack_without_a_router_of_its_own_touches_none():
    double = a_cloud()
    with serving(double) as cloud:
        await tried(cloud, target(control_0="OS::Nova::Server"))
    assert double.routers[0]["routes"]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"step": "clear-routes-of-router", "router": "somebodys"}, "a `router` of the stack"),
        ({"step": "delete-ports-of-cluster", "cluster": "shop"}, "isthmus.uid"),
        ({"step": "delete-everything"}, "is unknown; known are"),
    ],
)
async def test_a_step_that_could_meet_others_is_refused(step: Json, words: str):
    double = a_cloud()
    with serving(double) as cloud, pytest.raises(InvalidSpec, match=words):
        await predelete.run(cloud, [step], target())
    assert not [call for call in double.calls if not call.startswith("GET")]


async def test_whoever_is_throttled_is_told_when_to_come_back():
    double = a_cloud(strike=1, failure=(429, {"Retry-After": "7"}))
    with serving(double) as cloud, pytest.raises(Throttled) as caught:
        await predelete.run(cloud, STEPS, target())
    assert caught.value.after is not None
    assert caught.value.after.total_seconds() == 7


async def test_a_token_that_has_ended_is_renewed_within_the_call():
    double = a_cloud(strike=2, failure=(401, {}))
    await cleared(double)
    assert double.logins == 2
