"""A cluster on Ironic whose machines boot: it grows, loses a machine, shrinks, goes to the next
minor version, and gives all back.

What is played is the metal: a node's machine is a guest, which its deployment boots with the
server's config drive and its fixed address.
"""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.api.meta import Json, Resource
from isthmus.api.v1alpha1 import Cluster, MemberPhase, NodePool
from isthmus.drivers.kubernetes import open_cluster
from isthmus.runtime.kinds import api_of
from isthmus_lab_kubernetes import building
from isthmus_lab_kubernetes.settings import NEWEST, RELEASES
from tests.cloud_place import Place, place
from tests.kubernetes_lab import ON_OPENSTACK, GuestCloud
from tests.openstack_census import census
from tests.openstack_lab import until
from tests.world import TEAM

pytestmark = [*ON_OPENSTACK, pytest.mark.timeout(1500)]

BUSYBOX = "docker.io/library/busybox:1.35"
API = "kubernetes.default.svc.cluster.local"
NAME = "metal"
OLDER = min(RELEASES)


def a_cluster(image: str) -> Cluster:
    spec: Json = {
        "offering": "kubernetes-nova",
        "plan": "bare-metal",
        "provider": "lab",
        "kubernetesVersion": RELEASES[OLDER].removeprefix("v"),
        "parameters": {"image": image, "ignorePreflightErrors": ["all"]},
    }
    return Cluster.model_validate({"metadata": {"name": NAME, "namespace": TEAM}, "spec": spec})


def a_pool() -> NodePool:
    spec: Json = {
        "cluster": NAME,
        "plan": "bare-metal",
        "rollout": {"drainTimeoutSeconds": 30},
        "heal": {"joinSeconds": 600},
    }
    return NodePool.model_validate({"metadata": {"name": NAME, "namespace": TEAM}, "spec": spec})


async def test_nodes_of_ironic_come_are_lost_and_go_as_nodes_of_kubernetes(
    guest_cloud: GuestCloud, tmp_path: Path
) -> None:
    guest_cloud.await_metal()
    former, image = guest_cloud.prepare(OLDER), guest_cloud.prepare(NEWEST)
    lab = guest_cloud.openstack
    project = lab.auth()["project_name"]
    before = census(lab, project)
    async with place(lab, open_cluster) as here, here.life():
        for wanted in (a_cluster(former), a_pool()):
            await here.store.create(api_of(type(wanted)), wanted.dump())
        await here.until(ready(here, Cluster), bool, within=400)
        await here.until(ready(here, NodePool), bool, within=400)
        assert deployed(here) == {guest.name for guest in guest_cloud.guests()}
        config = tmp_path / "config"
        config.write_text((await here.told(f"{NAME}-kubeconfig"))["kubeconfig"])
        run_a_pod(config)
        await grow(here, config)
        await lose_a_machine(here, guest_cloud, config)
        await here.change(NodePool, NAME, replicas=1)
        await settled(here, config, 1)
        await upgrade(here, config, image)
        await here.store.delete(api_of(Cluster), TEAM, NAME)
        await here.until(lambda: here.get(Cluster, NAME), lambda found: found is None, within=400)
        until(lambda: left(guest_cloud, before, project), lambda found: not found)


def ready(here: Place, kind: type[Resource[Any, Any]]) -> Callable[[], Any]:
    async def read() -> bool:
        return (await here.get(kind, NAME)).ready

    return read


async def settled(here: Place, config: Path, replicas: int) -> None:
    """Wait until the pool has so many nodes, each Ready on a machine of its own."""

    async def as_wished() -> bool:
        pool = await here.get(NodePool, NAME)
        return pool.ready and (pool.status.replicas, pool.status.ready) == (replicas, replicas)

    await here.until(as_wished, bool, within=400)
    assert len(deployed(here)) == replicas + 1
    await here.until(
        lambda: asyncio.to_thread(nodes_ready, config), (replicas + 1).__eq__, within=60
    )


async def grow(here: Place, config: Path) -> None:
    await here.change(NodePool, NAME, replicas=2)
    await settled(here, config, 2)


async def lose_a_machine(here: Place, cloud: GuestCloud, config: Path) -> None:
    """It fails with its power on, and another machine is deployed in its place.

    One that loses its power is turned on again by Ironic, mostly before its node is missed.
    """
    pool = await here.get(NodePool, NAME)
    lost = pool.status.members[0].server_id
    failing = cloud.guest(lost).command(["systemctl", "disable", "--now", "kubelet"])
    await asyncio.to_thread(subprocess.run, failing, check=True, capture_output=True)

    async def members() -> dict[str, MemberPhase]:
        found = (await here.get(NodePool, NAME)).status.members
        return {member.server_id: member.phase for member in found}

    await here.until(members, lambda found: found.get(lost) == MemberPhase.NOT_READY, within=300)
    # At once, but only this one: on a busy machine any other may be silent for a second.
    await here.change(NodePool, NAME, heal={"afterSeconds": 1, "joinSeconds": 600})
    chosen = (None, MemberPhase.REMOVING)
    await here.until(members, lambda found: found.get(lost) in chosen, within=300)
    await here.change(NodePool, NAME, heal={"joinSeconds": 600})
    await here.until(members, lambda found: lost not in found, within=400)
    await settled(here, config, 2)


async def upgrade(here: Place, config: Path, image: str) -> None:
    """The control plane where it stands; the node's work goes to a machine of the new image."""
    older, newer = (RELEASES[minor].removeprefix("v") for minor in (OLDER, NEWEST))
    await here.until(lambda: asyncio.to_thread(versions, config), {f"v{older}"}.__eq__, within=60)
    before = deployed(here)
    await here.change(Cluster, NAME, kubernetesVersion=newer)
    await here.until(
        lambda: asyncio.to_thread(versions, config), {f"v{older}", f"v{newer}"}.__eq__, within=400
    )
    await here.until(ready(here, Cluster), bool, within=400)
    assert deployed(here) == before
    await here.change(NodePool, NAME, image=image, kubernetesVersion=newer)
    await here.until(lambda: asyncio.to_thread(versions, config), {f"v{newer}"}.__eq__, within=400)
    await settled(here, config, 1)
    assert len(deployed(here) & before) == 1, "the control plane's"


def versions(config: Path) -> set[str]:
    """The versions of Kubernetes that the nodes run."""
    path = "jsonpath={.items[*].status.nodeInfo.kubeletVersion}"
    return set(kubectl(config, "get", "nodes", "-o", path).split())


def nodes_ready(config: Path) -> int:
    """How many nodes the cluster itself calls Ready."""
    return kubectl(config, "get", "nodes").count(" Ready ")


def kubectl(config: Path, *words: str) -> str:
    command = [building.kube(NEWEST), "kubectl", "--kubeconfig", config, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def deployed(here: Place) -> set[str | None]:
    """The servers that nodes of Ironic are deployed for, with their power on."""
    nodes = here.admin.baremetal.nodes(details=True)
    taken = [node for node in nodes if node.provision_state == "active"]
    assert {node.power_state for node in taken} == {"power on"}
    return {node.instance_id for node in taken}


def run_a_pod(config: Path) -> None:
    """On the node of the pool, for the control plane takes none; the cluster's DNS answers it."""
    until(lambda: nodes_ready(config), (2).__eq__, 60)
    kubectl(
        config, "run", "hello", f"--image={BUSYBOX}", "--restart=OnFailure", "--", "nslookup", API
    )
    phase = ("get", "pod", "hello", "-o", "jsonpath={.status.phase}")
    until(lambda: kubectl(config, *phase), lambda said: said == "Succeeded", 240)


def left(cloud: GuestCloud, before: set[tuple[str, str]], project: str) -> list[Any]:
    return [*(census(cloud.openstack, project) - before), *cloud.left_on_the_host()]
