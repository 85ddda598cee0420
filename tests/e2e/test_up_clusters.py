"""Clusters and pools on the command line, against a running installation with a fake cloud.

The fake cloud's servers bear no Kubernetes: a cluster here has its kubeconfig, and nobody answers.
"""

import time
from typing import Any

import pytest
import yaml

from tests.cluster_world import BLUEPRINT, POOL
from tests.installation import Installation, a_namespace, a_provider, an_offering, up, wait_for


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory):
    with up(tmp_path_factory.mktemp("up")) as installation:
        offerings = an_offering("kubernetes", **BLUEPRINT), an_offering("kubernetes-pool", **POOL)
        installation.apply(a_namespace("shop"), a_provider(), *offerings)
        installation.apply(a_cluster(), a_pool(), wait=False)
        wait_for(lambda: kubeconfig(installation) != "", installation)
        yield installation


def a_cluster(**annotations: str) -> dict[str, Any]:
    spec = {"offering": "kubernetes", "plan": "small", "provider": "cloud"}
    return an_object("Cluster", "c", spec, **annotations)


def a_pool(name: str = "workers", **spec: Any) -> dict[str, Any]:
    return an_object("NodePool", name, {"cluster": "c", "replicas": 2} | spec)


def an_object(kind: str, name: str, spec: dict[str, Any], **annotations: str) -> dict[str, Any]:
    named = {f"isthmus.dev/{key}": value for key, value in annotations.items()}
    metadata = {"name": name, "namespace": "shop", "annotations": named}
    head = {"apiVersion": "isthmus.dev/v1alpha1", "kind": kind}
    return head | {"metadata": metadata, "spec": spec}


def kubeconfig(home: Installation) -> str:
    said = home.run("cluster", "kubeconfig", "c", "-n", "shop", code=None)
    return said.stdout if said.returncode == 0 else ""


def certificate(config: str) -> str:
    return yaml.safe_load(config)["users"][0]["user"]["client-certificate-data"]


def test_a_kubeconfig_is_handed_out_and_rotated(home: Installation, tmp_path):
    before = kubeconfig(home)
    assert yaml.safe_load(before)["clusters"][0]["cluster"]["server"].startswith("https://")
    file = tmp_path / "shop.kubeconfig"
    home.run("cluster", "kubeconfig", "c", "-n", "shop", "--file", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert certificate(file.read_text()) == certificate(before)
    home.apply(a_cluster(rotate="now"), wait=False)
    wait_for(lambda: certificate(kubeconfig(home)) != certificate(before), home)
    second = certificate(kubeconfig(home))
    home.run("cluster", "kubeconfig", "c", "-n", "shop", "--rotate", "--file", str(file))
    assert certificate(file.read_text()) == certificate(kubeconfig(home)) != second
    status = home.json("get", "cluster/c", "-n", "shop")["status"]
    assert "PRIVATE KEY" not in str(status)


def test_what_has_no_kubeconfig_says_so(home: Installation):
    said = home.run("cluster", "kubeconfig", "other", "-n", "shop", code=None)
    assert said.returncode != 0
    assert "not found" in said.stderr


def test_why_leads_from_the_pool_to_its_cluster(home: Installation):
    chain: list[str] = []

    def told() -> bool:
        chain[:] = home.run("why", "nodepool/workers", "-n", "shop", code=None).stdout.splitlines()
        return any(line.strip().startswith("because Cluster shop/c") for line in chain)

    wait_for(told, home)
    assert chain[0].startswith("NodePool shop/workers: DependencyNotReady")


def test_a_plan_of_a_pool_says_what_is_missing(home: Installation, tmp_path):
    file = tmp_path / "pool.yaml"
    file.write_text(yaml.safe_dump(a_pool("more")))
    said = home.run("plan", "-f", str(file), "-n", "shop", code=9)
    assert "spec.cluster: Cluster 'c' is not up yet" in said.stdout
    assert "It may not happen." in said.stdout


def test_a_pool_stays_with_its_cluster(home: Installation):
    said = home.run("apply", "-f", "-", stdin=yaml.safe_dump(a_pool(cluster="other")), code=None)
    assert said.returncode != 0
    assert "spec.cluster" in said.stderr
    assert "create another NodePool" in said.stderr


def test_a_pool_cannot_only_be_looked_at(home: Installation):
    home.apply(a_pool("seen", management="Observe"), wait=False)
    deadline = time.monotonic() + 30
    while "can only be Manage" not in home.run("describe", "np/seen", "-n", "shop").stdout:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    home.run("delete", "nodepool/seen", "-n", "shop")


def test_pools_have_their_columns(home: Installation):
    head = home.run("get", "np", "-n", "shop").stdout.splitlines()[0].split()
    assert head[:6] == ["NAME", "CLUSTER", "DESIRED", "CURRENT", "UP-TO-DATE", "RUNNING"]
    shown = home.run("get", "storagebackends", "-n", "shop", code=None)
    assert shown.returncode == 0
