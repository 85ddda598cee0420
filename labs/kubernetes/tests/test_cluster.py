"""Real Kubernetes: a control plane by itself, and a cluster of guests."""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from isthmus_lab_kubernetes import building, cluster, plane
from isthmus_lab_kubernetes.commands import wait
from isthmus_lab_kubernetes.guests import Guest, guests
from isthmus_lab_kubernetes.settings import NEWEST, RELEASES, Lab

pytestmark = [pytest.mark.labs, pytest.mark.guests, pytest.mark.timeout(1800)]
Kubectl = Callable[..., str]
PODS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      tolerations: [{operator: Exists}]
      containers:
      - name: web
        image: docker.io/library/busybox:1.35
        command: [sh, -c, "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www"]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
"""


def kubectl_for(config: Path) -> Kubectl:
    command = [str(building.kube(NEWEST)), "kubectl", "--kubeconfig", str(config)]

    def run(*words: str, text: str = "") -> str:
        done = subprocess.run(
            [*command, *words], input=text, capture_output=True, text=True, check=False
        )
        return done.stdout if done.returncode == 0 else f"failed: {done.stderr}"

    return run


def fetched(kubectl: Kubectl, pod: str, host: str) -> str:
    """What a pod hears from a host; it does not wait for what is lost on the way."""
    return kubectl("exec", pod, "--", "timeout", "20", "wget", "-qO-", f"http://{host}")


def left_on_the_host(lab: Lab) -> list[str]:
    """Everything on this host that bears the lab's name."""
    tag = f"il{lab.tag}"
    spaces = [str(path) for path in Path("/run/netns").glob(f"{tag}*")]
    cards = [str(path) for path in Path("/sys/class/net").glob(f"{tag}*")]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{tag}*")]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if tag in line]
    roots = [
        line for line in Path("/proc/mounts").read_text().splitlines() if str(lab.state) in line
    ]
    commands = [text for text in commands_of_all() if f"machine={tag}" in text]
    return spaces + cards + groups + mounts + roots + commands


def commands_of_all() -> Iterator[str]:
    """The command line of every process that does not end while we look."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes().decode(errors="replace")


def test_a_control_plane_without_nodes(plane_lab: Lab) -> None:
    config = plane.up(plane_lab)
    kubectl = kubectl_for(config)
    assert (
        json.loads(kubectl("version", "-o", "json"))["serverVersion"]["gitVersion"]
        == (RELEASES[NEWEST])
    )
    assert "created" in kubectl("create", "deployment", "web", "--image", "web")
    wait(lambda: "web-" in kubectl("get", "pods"), 180, "the controllers make no pods")
    plane.down(plane_lab)
    assert kubectl("get", "pods").startswith("failed")
    assert plane.up(plane_lab) == config
    assert "web" in kubectl("get", "deployments")


def test_a_cluster_of_guests_whose_pods_talk(guest_lab: Lab) -> None:
    kubectl = kubectl_for(cluster.up(guest_lab, nodes=2))
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    assert {node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes} == {RELEASES[NEWEST]}
    kubectl("apply", "-f", "-", text=PODS)
    wait(
        lambda: kubectl("rollout", "status", "daemonset/web", "--timeout=5s").count("success") == 1,
        180,
        "the pods do not run",
    )
    # Over VXLAN to each pod of the other guests, and through the Service and its name.
    pods = json.loads(kubectl("get", "pods", "-l", "app=web", "-o", "json"))["items"]
    first = pods[0]["metadata"]["name"]
    said = partial(fetched, kubectl, first)
    for pod in pods:
        name, address = pod["metadata"]["name"], pod["status"]["podIP"]
        # A pod without a probe is ready as soon as its process runs.
        wait(lambda a=address, n=name: said(a).strip() == n, 60, f"{name} is silent", every=1)
    wait(
        lambda: "web-" in said("web.default"),
        180,
        "the Service does not answer by its name",
        every=1,
    )
    assert "web-" in kubectl("logs", first) or kubectl("logs", first) == ""

    killed = Guest(guest_lab, "node-1")
    killed.kill()
    assert killed.leader is None
    killed.start()
    wait(
        lambda: len(kubectl("get", "nodes").split(" Ready ")) == 4,
        180,
        "the guest whose power was pulled does not come back",
        every=1,
    )
    assert len(guests(guest_lab)) == 3
    cluster.down(guest_lab)
    # What is in a guest's namespaces goes with them, a moment later.
    wait(lambda: left_on_the_host(guest_lab) == [], 60, "something of the lab is left")


def test_a_guest_has_the_limits_of_its_flavor_and_goes_off_by_itself(guest_lab: Lab) -> None:
    text = "#cloud-config\nwrite_files: [{path: /etc/lab-was-here, content: here}]\n"
    guest = cluster.node(guest_lab, "small", text, NEWEST)
    guest.resize(memory_mib=700, cpus=0.5)

    def said(*words: str) -> str:
        return subprocess.run(
            guest.command(words), capture_output=True, text=True, check=False
        ).stdout

    wait(lambda: "done" in said("cloud-init", "status"), 300, "cloud-init does not end", every=1)
    assert said("cat", "/etc/lab-was-here") == "here"
    assert said("cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes").strip() == str(700 << 20)
    assert "small" in said("hostname")
    assert "Cloud-init" in guest.console()
    guest.stop()
    assert guest.leader is None
    guest.delete()
    assert not guest.exists
