"""A running Isthmus, and a cloud whose servers boot: what end-to-end tests of clusters start from.

Isthmus is `isthmus up` in a process of its own, used by its command line only; clusters are used by
kubectl and the kubeconfig that Isthmus hands out. What is looked at from the outside is the cloud,
as an administrator sees all its projects, and this host.
"""

import base64
import json
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from isthmus_lab_kubernetes import building
from isthmus_lab_kubernetes.settings import NEWEST
from tests.catalog_files import FOLDER
from tests.installation import Installation, a_namespace, up
from tests.kubernetes_lab import FLAVOR, GuestCloud
from tests.openstack_census import census
from tests.openstack_lab import REGION, until

SPACE = "shop"
"""The namespace of everything."""
Json = dict[str, Any]


@dataclass(frozen=True)
class Kubectl:
    """kubectl with one kubeconfig."""

    config: Path

    def __call__(self, *words: str, stdin: str = "") -> str:
        """What it says; empty if it fails, as it does while a cluster is not there."""
        done = subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    def command(self, *words: str) -> list[str]:
        binary = building.kube(NEWEST)
        return [str(binary), "kubectl", "--kubeconfig", str(self.config), *words]

    def items(self, *words: str) -> list[Json]:
        """The objects of a list; none where nobody answers."""
        said = self("get", *words, "-o", "json")
        return json.loads(said)["items"] if said else []

    def ready(self) -> list[str]:
        """The names of the nodes that are Ready."""
        return sorted(n["metadata"]["name"] for n in self.items("nodes") if is_ready(n))

    def versions(self) -> set[str]:
        """The versions of Kubernetes that the nodes run."""
        return {node["status"]["nodeInfo"]["kubeletVersion"] for node in self.items("nodes")}


def is_ready(obj: Json) -> bool:
    """Whether an object's condition Ready is true."""
    conditions = obj.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def runs(cluster: Json, version: str) -> bool:
    """Whether a Cluster's control plane is said to run that version, all of it."""
    status = cluster["status"]
    (upgraded,) = [c["status"] for c in status["conditions"] if c["type"] == "Upgraded"] or [""]
    return status.get("version") == version and upgraded == "True"


@dataclass
class Site:
    """Isthmus, its folder, and the cloud that its Provider `lab` leads to."""

    folder: Path
    cloud: GuestCloud
    _process: ExitStack = field(default_factory=ExitStack)
    _home: Installation | None = None

    @property
    def home(self) -> Installation:
        """The running Isthmus."""
        assert self._home is not None
        return self._home

    def start(self) -> None:
        """Run Isthmus, on what its folder keeps."""
        self._home = self._process.enter_context(up(self.folder))

    def end(self, signum: int) -> None:
        """End Isthmus by a signal."""
        self.home.stop(signum)
        self._process.close()

    def apply(self, *objects: Json) -> None:
        """Apply objects without waiting."""
        self.home.apply(*objects, wait=False)

    def change(self, what: str, **spec: Any) -> None:
        """Apply an object with other values of its spec."""
        former = self.get(what)
        self.apply(an_object(former["kind"], former["metadata"]["name"], former["spec"] | spec))

    def get(self, what: str) -> Json:
        """An object of the namespace; empty where there is none."""
        said = self.home.run("get", what, "-n", SPACE, "-o", "json", code=None)
        return json.loads(said.stdout) if said.returncode == 0 else {}

    def ready(self, what: str, seconds: float = 600) -> Json:
        """Wait until an object is ready for the spec that it has."""

        def now(obj: Json) -> bool:
            return is_ready(obj) and _observed(obj) == obj["metadata"]["generation"]

        return self.until(what, now, seconds)

    def until(self, what: str, good: Callable[[Json], object], seconds: float = 300) -> Json:
        """Wait until an object is as wished; without success say why it is not."""
        try:
            return until(lambda: self.get(what), good, seconds)
        except AssertionError as failure:
            said = self.home.run("why", what, "-n", SPACE, code=None)
            raise AssertionError(f"{failure}\n{said.stdout}{said.stderr}") from failure

    def why(self, what: str) -> str:
        """What `isthmus why` says."""
        return self.home.run("why", what, "-n", SPACE).stdout

    def kubectl(self, cluster: str, *options: str) -> Kubectl:
        """kubectl of a cluster, by the kubeconfig that Isthmus delivers."""
        file = self.folder / f"{cluster}.kubeconfig"
        words = ("cluster", "kubeconfig", cluster, "-n", SPACE, "--file", str(file))
        self.home.run(*words, *options)
        return Kubectl(file)

    def servers(self) -> dict[str, Any]:
        """The cloud's servers of all projects, by name; two of one name are an error."""
        found = list(self.cloud.openstack.connect("lab-admin").compute.servers(all_projects=True))
        named = {server.name: server for server in found}
        assert len(named) == len(found), sorted(server.name for server in found)
        return named


def _observed(obj: Json) -> int:
    conditions = obj["status"].get("conditions", [])
    return next((c.get("observedGeneration", 0) for c in conditions if c["type"] == "Ready"), 0)


@contextmanager
def site(folder: Path, cloud: GuestCloud, **settings: str) -> Generator[Site]:
    """A running Isthmus with a Provider `lab` and the blueprints of Kubernetes in its catalog."""
    place = Site(folder, cloud)
    place.start()
    try:
        blueprints = [str(FOLDER / f"kubernetes-nova{end}.yaml") for end in ("", "-pool")]
        place.home.run("catalog", "install", *blueprints)
        place.apply(a_namespace(SPACE), *_provider(cloud, settings))
        yield place
    finally:
        place.end(15)


def _provider(cloud: GuestCloud, settings: dict[str, str]) -> tuple[Json, Json]:
    endpoint = cloud.openstack.endpoint(**settings)
    data = {k: base64.b64encode(v.encode()).decode() for k, v in endpoint.credentials.items()}
    secret: Json = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": data}
    secret["metadata"] = {"name": "lab", "namespace": SPACE}
    spec: Json = {
        "driver": "openstack",
        "region": REGION,
        "settings": dict(endpoint.settings),
        "credentialsSecret": {"namespace": SPACE, "name": "lab"},
    }
    return secret, an_object("Provider", "lab", spec, "")


def an_object(kind: str, name: str, spec: Json, namespace: str = SPACE) -> Json:
    """A manifest."""
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "isthmus.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def a_cluster(
    name: str, image: str, version: str, *, control_planes: int = 1, **parameters: Any
) -> Json:
    """A cluster without nodes of a pool."""
    # The lab's Octavia has an API and nothing behind it.
    lab = {"flavor": FLAVOR, "ignorePreflightErrors": ["all"], "apiBalancer": "keepalived"}
    spec: Json = {
        "offering": "kubernetes-nova",
        "plan": "dev",
        "provider": "lab",
        "kubernetesVersion": version.removeprefix("v"),
        "network": {"plugin": "flannel"},
        "controlPlane": {"replicas": control_planes},
        "parameters": lab | {"image": image} | parameters,
    }
    return an_object("Cluster", name, spec)


def a_pool(cluster: str, replicas: int, **spec: Any) -> Json:
    """A pool, named as its cluster is; its servers may take long to join.

    Its nodes have as long to be emptied as they have by default: on a busy machine pods that a
    budget lets go one by one need minutes, and who has not moved by then is lost.
    """
    wanted: Json = {"cluster": cluster, "replicas": replicas, "heal": {"joinSeconds": 600}}
    return an_object("NodePool", cluster, wanted | spec)


def nothing_more(cloud: GuestCloud, before: set[tuple[str, str]], seconds: float = 180) -> None:
    """Wait until the cloud has nothing that it did not have, and the host nothing of guests."""

    def more() -> list[Any]:
        return [*(everything(cloud) - before), *cloud.left_on_the_host()]

    until(more, lambda left: not left, seconds, 1)


def everything(cloud: GuestCloud) -> set[tuple[str, str]]:
    """Kind and id of all that the cloud has, in all services and all projects."""
    return census(cloud.openstack)


@contextmanager
def watched(kubectl: Kubectl, deployment: str) -> Generator[list[int]]:
    """Note how many pods of a deployment serve, each time that this changes.

    The list is complete when the block has been left.
    """
    number = "jsonpath={.status.availableReplicas}{'\\n'}"
    words = ("get", "deployment", deployment, "--watch", "-o", number)
    seen: list[int] = []
    with subprocess.Popen(kubectl.command(*words), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield seen
        finally:
            time.sleep(1)  # What has just happened is still to be told.
            process.terminate()
            said, _ = process.communicate()
            seen += [int(line or 0) for line in said.splitlines()]  # None is written as nothing.


def manifests(*objects: Json) -> str:
    """Objects as YAML for kubectl."""
    return yaml.safe_dump_all(objects)
