"""The script that makes a server a node, run to its end on a host whose programs are played.

What is checked is what it asks of them: kubeadm's configuration, what it takes from a mirror, and
that nobody waits in vain for a script that broke off.
"""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from isthmus.runtime import pki
from tests.golden_files import assert_golden
from tests.played_host import Host
from tests.unit.test_cluster_blueprints import BLUEPRINTS, files

pytestmark = pytest.mark.skipif(
    not shutil.which("bash") or not shutil.which("openssl"), reason="bash or openssl is missing"
)
CLUSTER, POOL = BLUEPRINTS


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a socket is in it."""
    with tempfile.TemporaryDirectory(prefix="node-") as made:
        yield Path(made)


def bare(folder: Path, name: str = CLUSTER, *, role: str = "", **parameters) -> Host:
    """A host without Kubernetes whose stack waits for its word."""
    found = Host(folder)
    found.furnish(files(name, **parameters))
    found.metadata(role=role or ("worker" if name == POOL else "first"))
    found.waited_for()
    found.write("etc/isthmus/bundle", "")
    return found


def with_kubernetes(folder: Path, name: str = CLUSTER, **options) -> Host:
    found = bare(folder, name, **options)
    found.kubernetes()
    return found


def told(host: Host) -> tuple[str, str]:
    """What the stack was told last: status and reason."""
    said = json.loads(host.read("told").splitlines()[-1])
    return said["status"], said["reason"]


@pytest.mark.parametrize(
    ("name", "case", "options"),
    [
        (CLUSTER, "first", {}),
        (CLUSTER, "control", {"role": "control", "controlPlaneReplicas": 3}),
        (CLUSTER, "ovn-kubernetes", {"networkPlugin": "ovn-kubernetes"}),
        (CLUSTER, "neutron", {"networkPlugin": "neutron"}),
        (POOL, "worker", {}),
    ],
)
def test_golden_configuration_of_kubeadm(folder: Path, name: str, case: str, options: dict) -> None:
    host = with_kubernetes(folder, name, **options)
    sealed(host)
    done = host.run()
    assert done.returncode == 0, done.stdout + done.stderr
    found = host.read("init.yaml") or host.read("join.yaml")
    found = re.sub(r"sha256:[0-9a-f]{64}", "sha256:OF-THE-AUTHORITY", found)
    assert_golden(found, f"user-data/kubeadm-{case}.yaml")
    assert told(host) == ("SUCCESS", "control-0: it has joined")


def sealed(host: Host) -> None:
    """Give it the sealed authorities, and their key as Nova's metadata."""
    key = pki.sealing_key()
    host.write("etc/isthmus/bundle", pki.sealed_bundle(AUTHORITIES, key))
    host.serve("openstack/latest/meta_data.json", json.dumps({"meta": {"isthmus-key": key}}))


AUTHORITIES = pki.make_authorities(datetime(2026, 1, 1, tzinfo=UTC))


def test_the_authorities_are_opened_and_nothing_of_them_is_left_beside(folder: Path) -> None:
    host = with_kubernetes(folder)
    sealed(host)
    assert host.run().returncode == 0
    assert host.read("etc/kubernetes/pki/ca.crt") == AUTHORITIES["ca.crt"]
    for name in ("bundle", "pki", "kubeadm.yaml"):
        assert not (folder / "etc" / "isthmus" / name).exists(), name


def test_a_key_that_does_not_come_is_told(folder: Path) -> None:
    host = with_kubernetes(folder)
    sealed(host)
    host.serve("openstack/latest/meta_data.json", "{}")
    host.with_less_patience()
    assert host.run().returncode == 1
    assert "the key of the cluster's authorities did not come" in told(host)[1]


def test_a_host_takes_what_it_lacks_from_the_mirror(folder: Path) -> None:
    host = bare(folder)
    host.setting(MIRROR="http://mirror.example", MIRROR_SHA256=host.mirror())
    done = host.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert told(host)[0] == "SUCCESS"
    for tool in ("kubeadm", "kubelet", "kubectl"):
        assert (folder / "usr/local/bin" / tool).stat().st_mode & 0o777 == 0o755
    assert (folder / "opt/cni/bin/bridge").exists()
    assert "ExecStart=/usr/local/bin/kubelet" in host.read("etc/systemd/system/kubelet.service")


def test_images_of_the_mirror_outlive_a_restart_and_are_taken_once(folder: Path) -> None:
    host = bare(folder)
    host.setting(MIRROR="http://mirror.example", MIRROR_SHA256=host.mirror())
    host.program("ctr", "exit 1")
    assert host.run().returncode == 1
    host.program("ctr", 'echo "ctr $*" >>ROOT/imported')
    for _ in range(2):
        assert host.run().returncode == 0
    assert host.read("imported") == "ctr -n k8s.io images import /var/lib/isthmus/images.tar\n"
    assert not (folder / "var/lib/isthmus/images.tar").exists()


def test_what_the_mirror_lacked_is_taken_by_a_later_run(folder: Path) -> None:
    host = bare(folder)
    host.setting(MIRROR="http://mirror.example", MIRROR_SHA256=host.mirror())
    plugins = folder / "served/v1.36.3/cni-plugins.tgz"
    content = plugins.read_bytes()
    plugins.unlink()
    assert host.run().returncode == 1
    plugins.write_bytes(content)
    assert host.run().returncode == 0
    assert (folder / "opt/cni/bin/bridge").exists()
    assert "ExecStart=/usr/local/bin/kubelet" in host.read("etc/systemd/system/kubelet.service")


def lacking(host: Host) -> None:
    (host.root / "served" / "v1.36.3" / "kubelet").unlink()


def exchanged(host: Host) -> None:
    host.serve("v1.36.3/kubelet", "another program")


def unpinned(host: Host) -> None:
    host.serve("v1.36.3/SHA256SUMS", "what somebody else wrote")


def unnamed(host: Host) -> None:
    (host.root / "bin" / "containerd").unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lacking, "the mirror does not give kubelet"),
        (exchanged, "kubelet of the mirror is not what SHA256SUMS says"),
        (unpinned, "SHA256SUMS of the mirror is not the one that mirrorSha256 pins"),
        (unnamed, "the mirror does not give containerd.tar.gz"),
    ],
)
def test_what_is_wrong_with_a_mirror_is_told(folder: Path, damage, said: str) -> None:
    host = bare(folder)
    host.setting(MIRROR="http://mirror.example", MIRROR_SHA256=host.mirror())
    damage(host)
    assert host.run().returncode == 1
    assert told(host) == ("FAILURE", f"control-0: {said}")


def test_without_a_mirror_the_image_must_have_it(folder: Path) -> None:
    host = bare(folder)
    host.kubernetes("1.35.4")
    assert host.run().returncode == 1
    assert told(host)[1].endswith("the image has no Kubernetes 1.36.3 and no mirror is set")


def test_whatever_breaks_is_told(folder: Path) -> None:
    host = with_kubernetes(folder)
    host.program("systemctl", "exit 5")
    assert host.run().returncode == 5
    assert told(host)[0] == "FAILURE"
    assert "broke off with status 5" in told(host)[1]


def test_a_second_run_goes_on(folder: Path) -> None:
    host = with_kubernetes(folder)
    host.program("kubeadm", '[ "$1" != version ] || echo v1.36.3; [ "$1" != init ]')
    assert host.run().returncode == 1
    assert "kubeadm init did not succeed" in told(host)[1]
    host.kubernetes()
    assert host.run().returncode == 0
    words = [json.loads(line) for line in host.read("told").splitlines()]
    assert [word["status"] for word in words] == ["FAILURE", "SUCCESS"]
    assert {word["id"] for word in words} == {"control-0"}, "the later one takes its place in Heat"


def test_after_a_failure_a_restart_of_the_server_tries_again(folder: Path) -> None:
    host = with_kubernetes(folder)
    host.program("kubeadm", '[ "$1" != version ] || echo v1.36.3; [ "$1" != init ]')
    assert host.run().returncode == 1
    again = folder / "var/lib/cloud/scripts/per-boot/isthmus-node"
    host.kubernetes()
    assert subprocess.run([again], env=host.environment, check=False).returncode == 0
    assert told(host) == ("SUCCESS", "control-0: it has joined")
    assert not again.exists()


@pytest.mark.parametrize("selinux", ["Enforcing", "Disabled"])
def test_three_control_planes_watch_their_address(folder: Path, selinux: str) -> None:
    host = with_kubernetes(folder, role="control", controlPlaneReplicas=3)
    sealed(host)
    host.metadata(role="control", index=1)
    host.program("getenforce", f"echo {selinux}")
    host.program("setsebool", 'echo "$@" >>ROOT/allowed')
    assert host.run().returncode == 0
    assert_golden(host.read("etc/keepalived/keepalived.conf"), "user-data/keepalived.conf")
    allowed = "-P keepalived_connect_any on\n" if selinux == "Enforcing" else ""
    assert host.read("allowed") == allowed


def test_a_firewall_of_the_host_is_switched_off(folder: Path) -> None:
    host = with_kubernetes(folder)
    host.program("systemctl", 'echo "$@" >>ROOT/ordered')
    assert host.run().returncode == 0
    assert "disable --now firewalld" in host.read("ordered")


def upgrading(folder: Path) -> Host:
    """The only control plane, of 1.35, that is asked for 1.36.3 from a mirror."""
    host = bare(folder)
    host.kubernetes("1.35.4")
    host.write("etc/kubernetes/admin.conf", "")
    host.write("etc/kubernetes/manifests/kube-apiserver.yaml", "image: kube-apiserver:v1.35.4\n")
    host.write("kubelet-runs", "1.35.4\n")
    pin = host.mirror()
    wish = {"version": "1.36.3", "mirror": "http://mirror.example", "mirrorSha256": pin}
    for name, value in wish.items():
        host.write(f"wish/{name}", value)
    return host


def test_a_control_plane_upgrades_itself(folder: Path) -> None:
    host = upgrading(folder)
    done = host.run("upgrade")
    assert done.returncode == 0, done.stdout + done.stderr
    assert host.read("upgraded") == "upgrade apply v1.36.3 --yes\n"
    assert host.read("noted").splitlines()[-1] == "isthmus.dev/upgrade-failed-"
    assert "KUBERNETES_VERSION='1.36.3'" in host.read("etc/isthmus/node.env")
    assert not (folder / "var/lib/isthmus-upgrade").exists()
    assert not host.read("told"), "the stack waited for its first start only"
    assert host.run("upgrade").returncode == 0
    assert host.read("upgraded").count("apply") == 1


def test_an_upgrade_that_cannot_be_is_noted_on_the_node(folder: Path) -> None:
    host = upgrading(folder)
    lacking(host)
    assert host.run("upgrade").returncode == 1
    noted = host.read("noted").splitlines()[-1]
    assert noted == "isthmus.dev/upgrade-failed=v1.36.3: the mirror does not give kubelet"
    assert not host.read("upgraded")
    assert host.run("upgrade").returncode == 0, "it is not tried again at once"


@pytest.mark.parametrize(("card", "mtu"), [("", 1450), ("9000", 1450), ("1442", 1442)])
def test_pods_packets_fit_through_the_card(folder: Path, card: str, mtu: int) -> None:
    host = with_kubernetes(folder)
    if card:
        host.write("sys/class/net/eth0/mtu", f"{card}\n")
    assert host.run().returncode == 0
    assert f'"MTU": {mtu}' in host.read("run/network-applied.yaml")
