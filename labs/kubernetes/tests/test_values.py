"""What a guest is asked to be, where the lab keeps things, and its images."""

import base64
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from isthmus_lab_kubernetes import images, plane
from isthmus_lab_kubernetes.artefacts import digest
from isthmus_lab_kubernetes.building import PROGRAMS
from isthmus_lab_kubernetes.cloud import servers
from isthmus_lab_kubernetes.cloud.neutron import plug
from isthmus_lab_kubernetes.config_drive import drive
from isthmus_lab_kubernetes.machines import Machine, Port
from isthmus_lab_kubernetes.processes import Process, first_of_a_namespace
from isthmus_lab_kubernetes.settings import GO_SOURCES, NEWEST, RELEASES, Lab, LabError
from tests.openstack_lab import until


def test_a_machine_is_read_from_json() -> None:
    port = {"id": "p-1", "network": "n-1", "mac": "fa:16:3e:00:00:01", "addresses": ["10.0.0.5/24"]}
    data = {"id": "vm-1", "ports": [port], "drive": {"a/b": base64.b64encode(b"x").decode()}}
    machine = Machine.read(json.loads(json.dumps(data)))
    assert machine.hostname == "vm-1"
    assert machine.drive == {"a/b": b"x"}
    assert machine.ports == (Port("p-1", "n-1", "fa:16:3e:00:00:01", ("10.0.0.5/24",)),)
    assert Machine.read(json.loads(json.dumps(machine.request()))) == machine


@pytest.mark.parametrize(
    ("image", "release"),
    [
        ({"os_distro": "debian", "kubernetes_version": "v1.35.4"}, ""),
        ({"os_distro": "lab-guest"}, NEWEST),
        ({"os_distro": "lab-guest", "kubernetes_version": "v1.35.4"}, "1.35"),
        ({"os_distro": "lab-guest", "kubernetes_version": "1.35"}, "1.35"),
    ],
)
def test_an_image_decides_what_boots(image: dict[str, str], release: str) -> None:
    assert servers.release(image) == release


def test_a_card_is_told_what_neutron_knows_of_its_port() -> None:
    route = {"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}
    first: dict[str, Any] = {"cidr": "10.0.0.0/24", "ip_version": 4, "gateway_ip": "10.0.0.1"}
    second: dict[str, Any] = {
        "cidr": "10.1.0.0/16",
        "ip_version": 4,
        "gateway_ip": None,
        "host_routes": [],
    }
    subnets = {"s-1": {**first, "host_routes": [route]}, "s-2": second}
    fixed = [
        {"ip_address": "10.1.0.5", "subnet_id": "s-2"},
        {"ip_address": "10.0.0.5", "subnet_id": "s-1"},
    ]
    port = {"id": "p", "network_id": "n", "mac_address": "fa:16:3e:00:00:01", "fixed_ips": fixed}
    assert plug(port, subnets, 1442) == Port(
        id="p",
        network="n",
        mac="fa:16:3e:00:00:01",
        addresses=("10.1.0.5/16", "10.0.0.5/24"),
        gateway="10.0.0.1",
        mtu=1442,
        routes=(("10.9.0.0/16", "10.0.0.9"),),
    )


@pytest.mark.parametrize("name", ["../etc", "a b", ""])
def test_a_guest_is_not_named_like_a_path(name: str) -> None:
    with pytest.raises(LabError, match="letters, digits and hyphens"):
        Machine.read({"id": name})


def test_two_labs_never_share_a_name() -> None:
    first, second = Lab(Path("/tmp/a")), Lab(Path("/tmp/b"))
    assert first.namespace("vm", "control") != second.namespace("vm", "control")


def test_every_program_has_its_locked_module() -> None:
    folders = {program.folder for program in PROGRAMS.values()} | {f"kube-{m}" for m in RELEASES}
    for folder in folders - {"pause"}:
        assert (GO_SOURCES / folder / "go.sum").exists(), folder
    for minor, version in RELEASES.items():
        module = (GO_SOURCES / f"kube-{minor}/go.mod").read_text()
        assert f"k8s.io/kubernetes {version}" in module


def test_a_digest_follows_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = digest(tmp_path, "flags")
    assert digest(tmp_path, "flags") == before
    (tmp_path / "a").write_text("2")
    assert digest(tmp_path, "flags") != before


def test_an_image_is_an_archive_with_all_its_names(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"#!")
    image = images.Image(
        ["a:1", "b:2"], {"program": program}, {"usr/bin/p": "program"}, tools=False
    )
    images.write(tmp_path / "image.tar", image)
    with tarfile.open(tmp_path / "image.tar") as tar:
        manifest = json.load(tar.extractfile("manifest.json") or pytest.fail("no manifest"))
        assert manifest[0]["RepoTags"] == ["a:1", "b:2"]
        layer = tar.extractfile(manifest[0]["Layers"][0])
        with tarfile.open(fileobj=layer) as inner:
            assert inner.getmember("usr/bin/p").linkname == "program"


def test_a_config_drive_says_who_the_guest_is() -> None:
    files = drive("vm-1", "web", "#cloud-config\n", {"key": "value"})
    meta = json.loads(files["openstack/latest/meta_data.json"])
    assert (meta["uuid"], meta["hostname"], meta["meta"]) == ("vm-1", "web", {"key": "value"})
    assert files["openstack/latest/user_data"] == b"#cloud-config\n"


def test_a_process_is_not_taken_for_a_later_one_with_its_number() -> None:
    own = Process.of(1)
    assert own.alive
    assert not Process(1, "0" + own.started).alive


@pytest.mark.labs
@pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")
def test_the_first_of_a_namespace_is_told_from_who_made_it() -> None:
    command = ["unshare", "--pid", "--fork", "--kill-child", "sleep", "600"]
    with subprocess.Popen(command) as made:
        try:
            found = until(lambda: Process.of(made.pid).children, bool, pause=0.02)
            assert [first_of_a_namespace(pid) for pid in (*found, made.pid)] == [True, False]
        finally:
            made.kill()
    assert not first_of_a_namespace(made.pid)


def test_a_plane_keeps_ports_that_no_client_is_given(tmp_path: Path) -> None:
    ports = plane.ports_of(tmp_path)
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert len(set(ports.values())) == len(ports)
    assert max(ports.values()) < lowest
    assert plane.ports_of(tmp_path) == ports
