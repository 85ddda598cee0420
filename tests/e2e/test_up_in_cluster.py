"""What lands in a cluster, through a running installation, in a real Kubernetes API without nodes.

The cluster is attached by its kubeconfig. Nothing runs there, so what needs a pod never is ready;
classes of storage and plain objects are.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from isthmus.api.meta import Json
from isthmus.drivers.kubernetes.kube import Ref, reach
from isthmus.drivers.kubernetes.kubeconfig import parse
from tests.cluster_world import POOL
from tests.installation import Installation, a_namespace, a_provider, an_offering, up
from tests.kubernetes_plane import MARKS

pytestmark = [*MARKS]

SECONDS = 120
IN_CLUSTER: Json = {
    "category": "test",
    "parameters": {"type": "object", "properties": {}},
    "binding": None,
    "actions": [],
    "stacks": {
        "kubernetes": {
            "template": {
                "manifests": [
                    {
                        "apiVersion": "v1",
                        "kind": "ConfigMap",
                        "metadata": {"name": "${isthmus.name}"},
                        "data": {"from": "${isthmus.namespace}"},
                    }
                ]
            }
        }
    },
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, kubernetes_plane: str) -> Iterator[Installation]:
    with up(tmp_path_factory.mktemp("up")) as installation:
        offerings = an_offering("notes", **IN_CLUSTER), an_offering("theirs-pool", **POOL)
        installation.apply(a_namespace("shop"), a_provider(), *offerings)
        installation.apply(
            secret("theirs", config=kubernetes_plane),
            secret(
                "user",
                **{
                    "application-credential-id": "an-id",
                    "application-credential-secret": "hunter2",
                },
            ),
        )
        attached = {"kubeconfigSecret": {"name": "theirs", "key": "config"}}
        installation.apply(ours("Cluster", "theirs", attached), wait=False)
        until(lambda: status(installation, "cluster/theirs").get("ownProvider") == "shop.theirs")
        yield installation


def secret(name: str, **data: str) -> Json:
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": data}


def ours(kind: str, name: str, spec: Json) -> Json:
    meta = {"name": name, "namespace": "shop"}
    return {"apiVersion": "isthmus.dev/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}


def a_backend(name: str, **spec: Any) -> Json:
    return ours("StorageBackend", name, {"cluster": "theirs", "plan": "custom"} | spec)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def status(home: Installation, what: str) -> Json:
    return home.json("get", what, "-n", "shop").get("status", {})


def there(config: str, api_version: str, kind: str, name: str, namespace: str = "") -> Json | None:
    async def look() -> Json | None:
        async with reach(parse(config)) as kube:
            return await kube.get(Ref(api_version, kind, namespace, name))

    return asyncio.run(look())


def a_class(config: str, name: str) -> Json | None:
    return there(config, "storage.k8s.io/v1", "StorageClass", name)


def test_the_cluster_is_a_provider(home: Installation) -> None:
    until(lambda: status(home, "provider/shop.theirs").get("engine", "").startswith("Kubernetes"))
    home.apply(ours("ServiceInstance", "note", {"offering": "notes", "plan": "dev"}), wait=False)
    said = home.json("get", "serviceinstance/note", "-n", "shop")
    until(lambda: "spec.provider" in home.run("why", "si/note", "-n", "shop", code=None).stdout)
    assert said["spec"].get("provider", "") == "", "it lands in no cluster that it does not name"
    home.run("delete", "serviceinstance/note", "-n", "shop")


def test_classes_of_storage_come_and_go(home: Installation, kubernetes_plane: str) -> None:
    bare = {"installDriver": False, "snapshots": False}
    fast = {"name": "fast", "type": "ssd", "default": True}
    home.apply(a_backend("classes", classes=[fast], parameters=bare))
    shown = status(home, "storagebackend/classes")
    assert (shown["classes"], shown["driver"]) == (["fast"], "cinder.csi.openstack.org")
    stored = a_class(kubernetes_plane, "fast")
    assert stored is not None
    assert stored["parameters"]["type"] == "ssd"
    home.apply(a_backend("classes", classes=[{"name": "slow"}], parameters=bare))
    until(lambda: status(home, "storagebackend/classes")["classes"] == ["slow"])
    assert a_class(kubernetes_plane, "fast") is None
    home.run("delete", "storagebackend/classes", "-n", "shop")
    assert a_class(kubernetes_plane, "slow") is None


def test_a_driver_that_cannot_run_names_the_pod(home: Installation, kubernetes_plane: str) -> None:
    spec = {"credentialsSecret": "user", "parameters": {"authUrl": "https://keystone.test/v3"}}
    home.apply(a_backend("csi", **spec), wait=False)
    said: list[str] = []

    def told() -> bool:
        said.append(home.run("why", "storagebackend/csi", "-n", "shop", code=None).stdout)
        return "finds no node" in said[-1]

    until(told)
    assert "Stack shop/storage-csi" in said[-1]
    assert "Deployment" in said[-1]
    described = home.run("describe", "storagebackend/csi", "-n", "shop").stdout
    assert "CSIDriver/cinder.csi.openstack.org" in described
    assert "hunter2" not in described
    held = there(kubernetes_plane, "v1", "Secret", "cinder-csi-cloud-config", "kube-system")
    assert held is not None
    home.run("delete", "storagebackend/csi", "-n", "shop", "--timeout", "120")
    assert a_class(kubernetes_plane, "cinder") is None


def test_a_pool_is_planned_and_described_by_its_stacks(home: Installation, tmp_path: Any) -> None:
    facts = {"networkId": "n", "caHash": "sha256:0", "endpoint": "127.0.0.1:6443"}
    pool = {"cluster": "theirs", "offering": "theirs-pool", "provider": "cloud", "replicas": 2}
    wanted = ours("NodePool", "workers", pool | {"parameters": facts})
    file = tmp_path / "pool.yaml"
    file.write_text(yaml.safe_dump(wanted))
    plan = home.run("plan", "-f", str(file), "-n", "shop").stdout
    assert "Fake::Server" in plan
    assert "It may happen." in plan
    home.apply(wanted, wait=False)
    until(lambda: status(home, "nodepool/workers").get("replicas") == 2)
    until(lambda: "Fake::Server" in home.run("describe", "np/workers", "-n", "shop").stdout)
    assert (
        "Native stack: isthmus-pool-workers-"
        in home.run("describe", "np/workers", "-n", "shop").stdout
    )
    until(lambda: "Joining" in str(status(home, "nodepool/workers").get("members")))
    home.run("delete", "nodepool/workers", "-n", "shop", "--timeout", "120")


def test_a_cluster_that_bears_somebodys_stack_stays(
    home: Installation, kubernetes_plane: str
) -> None:
    bare = {"installDriver": False, "snapshots": False}
    home.apply(a_backend("classes", classes=[{"name": "last"}], parameters=bare))
    note = {"offering": "notes", "plan": "dev", "provider": "shop.theirs"}
    home.apply(ours("ServiceInstance", "note", note))
    assert there(kubernetes_plane, "v1", "ConfigMap", "note", "default") is not None
    planned = home.run("plan", "--delete", "cluster/theirs", "-n", "shop", code=9).stdout
    assert "stacks live in it: note" in planned
    home.run("delete", "cluster/theirs", "-n", "shop", "--no-wait")
    until(lambda: "DeletionBlocked" in str(status(home, "cluster/theirs")))
    assert "note" in str(status(home, "cluster/theirs")["conditions"])
    home.run("delete", "serviceinstance/note", "-n", "shop", "--timeout", "60")
    assert there(kubernetes_plane, "v1", "ConfigMap", "note", "default") is None
    until(lambda: home.run("get", "cluster/theirs", "-n", "shop", code=None).returncode == 4)
    assert a_class(kubernetes_plane, "last") is None
    assert home.run("get", "provider/shop.theirs", code=None).returncode != 0
