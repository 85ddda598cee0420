"""A cluster through Isthmus on a real OpenStack whose servers boot, from object to nothing left.

Nothing is played but the hardware: the servers run the blueprint's own user data, kubeadm, flannel
and pods; what is said of the cluster is asked of its own API with the kubeconfig that Isthmus hands
out, and what is said of the cloud of the cloud.
"""

import base64
import json
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from isthmus_lab_kubernetes.settings import NEWEST, RELEASES
from tests.guest_site import (
    Kubectl,
    Site,
    a_cluster,
    a_pool,
    an_object,
    everything,
    manifests,
    nothing_more,
    site,
    watched,
)
from tests.kubernetes_lab import ON_OPENSTACK, GuestCloud, image_name
from tests.openstack_lab import until

pytestmark = [*ON_OPENSTACK, pytest.mark.timeout(1800)]

PODS = 6
SERVING = PODS - 1
"""A budget holds so many; a node is emptied accordingly."""


@pytest.fixture
def here(guest_cloud: GuestCloud, tmp_path: Path) -> Iterator[Site]:
    # A minute without an event is long for a template that waits for nobody.
    with site(tmp_path, guest_cloud, stallMinutes="1") as place:
        yield place


def test_the_life_of_a_cluster(here: Site) -> None:
    patched = here.cloud.prepare(NEWEST, f"{image_name()}-patched")
    before = everything(here.cloud)
    create_with_interruptions(here)
    nothing_twice(here, before)
    kubectl = here.kubectl("shop")
    until(lambda: len(kubectl.ready()), (3).__eq__, 60)
    run_pods(kubectl)
    pods_reach_each_other(kubectl)
    the_service_answers(kubectl)

    lose_a_server_and_grow(here, kubectl)
    with watched(kubectl, "web") as serving:
        change_pool(here, replicas=1)
        settled(here, kubectl, 1)
        take_another_image(here, kubectl, patched)
    assert min(serving) >= SERVING, serving
    the_service_answers(kubectl)
    rotate_the_kubeconfig(here, kubectl)

    delete(here)
    nothing_more(here.cloud, before)


def create_with_interruptions(here: Site) -> None:
    """Apply a cluster and its pool; kill Isthmus and restart Heat's engine while they are made."""
    cluster = a_cluster("shop", image_name(), RELEASES[NEWEST])
    here.apply(cluster, a_pool("shop", 2))
    until(here.servers, lambda found: "shop-control-0" in found, 300)
    here.end(signal.SIGKILL)
    here.cloud.openstack.order("kill", "heat-engine")
    here.cloud.openstack.order("start", "heat-engine")
    here.start()
    here.ready("cluster/shop", 600)
    here.ready("nodepool/shop")


def nothing_twice(here: Site, before: set[tuple[str, str]]) -> None:
    """Each thing of the cluster is there once, however often somebody began to make it."""
    made = Counter(kind for kind, _ in everything(here.cloud) - before)
    assert made["servers"] == 3
    assert [made[kind] for kind in ("networks", "subnets", "routers", "floatingips")] == [1] * 4
    stacks = here.cloud.openstack.connect().orchestration.stacks()
    own = {("stacks", stack.id) for stack in stacks} - before
    assert len(own) == 2  # The cluster, and the one group of its pool.


def an_app() -> str:
    """Pods on every node, a Service in front of them, and a budget."""
    labels = {"app": "web"}
    serve = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www"
    container = {
        "name": "web",
        "image": "docker.io/library/busybox:1.35",
        "command": ["sh", "-c", serve],
        # Looked at often, but a kubelet that has to wait for a processor makes none unready.
        "readinessProbe": {
            "tcpSocket": {"port": 80},
            "periodSeconds": 1,
            "timeoutSeconds": 10,
            "failureThreshold": 10,
        },
    }
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    spec: dict[str, Any] = {
        "terminationGracePeriodSeconds": 1,
        "topologySpreadConstraints": [spread],
        "containers": [container],
    }
    selector = {"matchLabels": labels}
    pod = {"metadata": {"labels": labels}, "spec": spec}
    meta = {"name": "web"}
    return manifests(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {"replicas": PODS, "selector": selector, "template": pod},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": 80}]},
        },
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": meta,
            "spec": {"minAvailable": SERVING, "selector": selector},
        },
    )


def run_pods(kubectl: Kubectl) -> None:
    """On both workers: a node that is Ready takes pods only after its taint has been removed."""

    def open_nodes() -> int:
        return sum(1 for node in kubectl.items("nodes") if not node["spec"].get("taints"))

    until(open_nodes, (2).__eq__, 60)
    assert kubectl("apply", "-f", "-", stdin=an_app())
    all_pods_run(kubectl)


def all_pods_run(kubectl: Kubectl) -> None:
    def available() -> int:
        said = kubectl("get", "deployment", "web", "-o", "json")
        return json.loads(said)["status"].get("availableReplicas", 0) if said else 0

    until(available, lambda number: number == PODS, 300)


def serving_pods(kubectl: Kubectl) -> list[dict[str, Any]]:
    found = kubectl.items("pods", "-l", "app=web")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def pods_reach_each_other(kubectl: Kubectl) -> None:
    """From one pod to every other, on its own node and, by VXLAN, on the other one."""
    pods = serving_pods(kubectl)
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    first = pods[0]["metadata"]["name"]
    for pod in pods:
        address = f"http://{pod['status']['podIP']}"
        command = ("exec", first, "--", "timeout", "20", "wget", "-qO-", address)
        until(lambda c=command: kubectl(*c).strip(), pod["metadata"]["name"].__eq__, 60)


def the_service_answers(kubectl: Kubectl) -> None:
    """By its name, so that the cluster's DNS answers as well."""
    first = serving_pods(kubectl)[0]["metadata"]["name"]
    command = ("exec", first, "--", "timeout", "20", "wget", "-qO-", "http://web.default")
    until(lambda: kubectl(*command), lambda said: said.startswith("web-"), 60)


def settled(here: Site, kubectl: Kubectl, replicas: int) -> None:
    """Wait until the pool is as its spec says, and look at servers, nodes and pods."""
    here.ready("nodepool/shop")
    assert len(workers(here)) == replicas
    until(lambda: len(kubectl.ready()), (replicas + 1).__eq__, 60)
    assert len(kubectl.items("nodes")) == replicas + 1
    all_pods_run(kubectl)


def change_pool(here: Site, **spec: Any) -> None:
    here.apply(an_object("NodePool", "shop", here.get("nodepool/shop")["spec"] | spec))


def members(pool: dict[str, Any]) -> set[str]:
    """Those that stay."""
    found = pool["status"]["members"]
    return {member["name"] for member in found if member["phase"] != "Removing"}


def workers(here: Site) -> set[str]:
    return {name for name in here.servers() if not name.startswith("shop-control")}


def lose_a_server_and_grow(here: Site, kubectl: Kubectl) -> None:
    """Pull the plug of a node: `why` names it, and another one comes; with it two more."""
    lost = max(workers(here))
    here.cloud.guest(here.servers()[lost].id).kill()
    here.until("nodepool/shop", lambda pool: pool["status"].get("ready", 0) == 1)
    until(lambda: here.why("nodepool/shop"), lambda said: lost in said, 60)
    # At once, but only this one: on a busy machine any other may be silent for a second.
    change_pool(here, heal={"afterSeconds": 1})
    here.until("nodepool/shop", lambda pool: lost not in members(pool))
    change_pool(here, replicas=4, heal={"afterSeconds": 300})
    token = short_lived_token(here, kubectl)
    settled(here, kubectl, 4)
    assert lost not in workers(here)
    assert lost not in kubectl.ready()
    assert token not in kubectl("get", "secrets", "-n", "kube-system", "-o", "name")


def short_lived_token(here: Site, kubectl: Kubectl) -> str:
    """What lets servers join now: the name of its Secret in the cluster, which ends soon."""

    def found() -> tuple[str, str]:
        """The Secret's name, and when it ends; empty while the token named last is gone."""
        name = f"bootstrap-token-{here.get('nodepool/shop')['status'].get('joinToken')}"
        where = ("secret", name, "-n", "kube-system")
        return name, kubectl("get", *where, "-o", "jsonpath={.data.expiration}")

    name, ends = until(found, lambda token: token[1], 120)
    left = datetime.fromisoformat(base64.b64decode(ends).decode()) - datetime.now(UTC)
    # As long as a server may take to join, and a quarter of an hour.
    assert timedelta() < left <= timedelta(seconds=1200, minutes=15)
    return name


def take_another_image(here: Site, kubectl: Kubectl, image: str) -> None:
    """A new image comes node by node: one more first, then one fewer."""
    former = workers(here)
    change_pool(here, image=image)
    settled(here, kubectl, len(former))
    assert not former & workers(here)


def rotate_the_kubeconfig(here: Site, kubectl: Kubectl) -> None:
    """A new one opens the cluster; Kubernetes revokes none, so the former one runs out soon."""
    former = yaml.safe_load(kubectl.config.read_text())["users"][0]["user"]
    here.kubectl("shop", "--rotate")
    until(lambda: len(kubectl.ready()), (len(workers(here)) + 1).__eq__, 60)
    (new,) = yaml.safe_load(kubectl.config.read_text())["users"]
    assert new["user"].keys() == former.keys() == {"client-certificate-data", "client-key-data"}
    assert not new["user"].items() & former.items()
    ends = x509.load_pem_x509_certificate(base64.b64decode(former["client-certificate-data"]))
    assert ends.not_valid_after_utc - datetime.now(UTC) < timedelta(days=30)


def delete(here: Site) -> None:
    here.home.run("delete", "cluster/shop", "-n", "shop", "--timeout", "600")
    assert not here.get("nodepool/shop")
