"""What the catalog brings into Kubernetes clusters: every plan, as the engine will send it."""

import re
from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.core.stacks import TAG_UID, NativeStack, StackName
from isthmus.drivers.kubernetes import DRIVER, manifests
from tests.catalog_files import NAMES, composed, offering

OFFERINGS = [name for name in NAMES if "kubernetes" in offering(name).spec.stacks]
PLANS = [(name, plan.name) for name in OFFERINGS for plan in offering(name).spec.plans]
PINNED = re.compile(r"^[a-z0-9./-]+:(v?[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.-]*|release-[0-9]+\.[0-9]+)$")


def sent(name: str, plan: str, parameters: Json | None = None) -> list[Json]:
    """The objects of a plan with made-up secrets, as they go to the cluster."""
    spec = composed(name, plan, parameters).spec
    secret = frozenset(n for n, p in spec.parameters.items() if p.secret_key_ref is not None)
    values = {n: p.value if p.value is not None else f"<{n}>" for n, p in spec.parameters.items()}
    native = NativeStack(
        name=StackName("s"),
        template=spec.template,
        parameters=values,
        secret_parameters=secret,
        tags={TAG_UID: "u"},
    )
    return [manifests.manifest(obj, native, "").body for obj in manifests.read(spec.template)]


def containers(objects: list[Json]) -> list[Json]:
    pods = [obj["spec"]["template"]["spec"] for obj in objects if "template" in obj.get("spec", {})]
    return [
        one
        for pod in pods
        for part in ("initContainers", "containers")
        for one in pod.get(part, [])
    ]


def named(objects: list[Json], kind: str) -> dict[str, Any]:
    return {obj["metadata"]["name"]: obj for obj in objects if obj["kind"] == kind}


@pytest.mark.parametrize(("name", "plan"), PLANS)
def test_the_driver_finds_nothing_wrong_with_it(name: str, plan: str) -> None:
    assert DRIVER.lint is not None
    assert DRIVER.lint(composed(name, plan).spec.template) == ()


@pytest.mark.parametrize(("name", "plan"), PLANS)
def test_every_image_has_a_version(name: str, plan: str) -> None:
    for container in containers(sent(name, plan)):
        assert PINNED.match(container["image"]), container["image"]


@pytest.mark.parametrize(("name", "plan"), PLANS)
def test_what_a_pod_mounts_or_runs_as_is_there(name: str, plan: str) -> None:
    objects = sent(name, plan)
    there = {(obj["kind"], obj["metadata"]["name"]) for obj in objects}
    for obj in objects:
        pod = obj.get("spec", {}).get("template", {}).get("spec", {})
        if not pod:
            continue
        if "serviceAccountName" in pod:
            assert ("ServiceAccount", pod["serviceAccountName"]) in there
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for volume in volumes.values():
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in there
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in there
        for container in (*pod.get("initContainers", []), *pod["containers"]):
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounts <= set(volumes), container["name"]


def test_cinder_makes_a_class_for_each_volume_type() -> None:
    classes = [
        {"name": "fast", "type": "ssd", "default": True, "fsType": "xfs"},
        {"name": "slow", "type": "hdd", "reclaimPolicy": "Retain", "zone": "az-2"},
    ]
    found = named(sent("storage-cinder", "custom", {"classes": classes}), "StorageClass")
    usual = "storageclass.kubernetes.io/is-default-class"
    assert {n: c["metadata"]["annotations"][usual] for n, c in found.items()} == {
        "fast": "true",
        "slow": "false",
    }
    assert found["fast"]["parameters"] == {"type": "ssd", "csi.storage.k8s.io/fstype": "xfs"}
    assert found["slow"]["parameters"]["availability"] == "az-2"
    assert [found[name]["reclaimPolicy"] for name in ("fast", "slow")] == ["Delete", "Retain"]


def test_cinders_secret_stands_in_the_secret_only() -> None:
    objects = sent("storage-cinder", "dev", {"caBundle": "-----BEGIN CERTIFICATE-----"})
    bearing = [obj["kind"] for obj in objects if "<CredentialSecret>" in str(decoded(obj))]
    assert bearing == ["Secret"]
    secret = decoded(named(objects, "Secret")["cinder-csi-cloud-config"])
    assert secret["cloud.conf"] == (
        '[Global]\nauth-url="https://keystone.example.com/v3"\nregion=""\n'
        'application-credential-id="<CredentialId>"\n'
        'application-credential-secret="<CredentialSecret>"\n'
        "ca-file=/etc/config/ca.crt\n[BlockStorage]\nbs-version=v3\n"
    )
    assert secret["ca.crt"].startswith("-----BEGIN")


def decoded(obj: Json) -> Json:
    from base64 import b64decode

    if obj["kind"] != "Secret":
        return obj
    return {key: b64decode(value).decode() for key, value in obj["data"].items()}


def test_cinder_brings_no_more_than_it_is_asked_for() -> None:
    kinds = {obj["kind"] for obj in sent("storage-cinder", "classes-only")}
    assert kinds == {"StorageClass", "VolumeSnapshotClass"}
    plain = sent("storage-cinder", "dev", {"snapshots": False})
    assert "VolumeSnapshotClass" not in {obj["kind"] for obj in plain}
    assert "csi-snapshotter" not in {one["name"] for one in containers(plain)}
    assert not named(plain, "CustomResourceDefinition")


def test_ovn_is_told_of_packets_that_fit_and_of_the_api_that_nodes_reach() -> None:
    told = named(sent("pod-network-ovn-kubernetes", "usual"), "ConfigMap")["ovn-config"]["data"]
    assert told["mtu"] == "1392"
    assert told["net_cidr"] == "10.244.0.0/16/24"
    assert told["k8s_apiserver"] == "https://10.64.0.10:6443"


def test_neutrons_routes_are_those_of_the_clusters_router() -> None:
    objects = sent("pod-network-neutron", "usual")
    config = decoded(named(objects, "Secret")["openstack-cloud-config"])["cloud.conf"]
    assert '[Route]\nrouter-id="0a1b2c3d-0000-4000-8000-000000000000"\n' in config
    assert "[LoadBalancer]\nenabled=true\nsubnet-id=" in config
    assert "ca-file" not in config
    network = named(objects, "ConfigMap")["kube-flannel-cfg"]["data"]["net-conf.json"]
    assert '"Network": "10.244.0.0/16"' in network
    assert '"Type": "alloc"' in network
