"""The root file system of guests: Debian with what a golden image for Kubernetes nodes would carry.

Two overlay layers: Debian, which takes minutes to make, and above it one Kubernetes version with
the lab's own files.
"""

import shutil
from pathlib import Path

from isthmus_lab_kubernetes.artefacts import digest
from isthmus_lab_kubernetes.commands import put, run, say
from isthmus_lab_kubernetes.settings import PACKAGE

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "cloud-init", "containerd", "runc", "ca-certificates"),
    *("containernetworking-plugins", "iproute2", "iptables", "nftables", "conntrack", "ethtool"),
    *("socat", "iputils-ping", "curl", "openssl", "procps", "kmod", "keepalived", "haproxy", "jq"),
)
RECIPE = digest(*PACKAGES, "1")
"""What Debian's layer is known by."""
FILES = PACKAGE / "guest_files"
"""What a guest's root has besides Debian's packages, by its place there."""


def make(root: Path) -> None:
    """Install Debian with the guest's packages into a folder; changes need a new RECIPE."""
    say("making the guest's root")
    run("mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", "bookworm", root)
    root.chmod(0o755)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    # There for whoever configures them, not started by themselves.
    for name in ("keepalived", "haproxy"):
        (wants / f"{name}.service").unlink(missing_ok=True)
    # No DHCP server answers, for which cloud-init would wait a minute.
    (root / "usr/sbin/dhclient").unlink(missing_ok=True)
    for folder in ("opt/cni/bin", "images", "mirror", "config-drive"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder in ("containerd", "kubelet", "etcd"):
        (root / "var/lib" / folder).mkdir(parents=True, exist_ok=True)
    for plugin in (root / "usr/lib/cni").iterdir():
        (root / "opt/cni/bin" / plugin.name).symlink_to(f"/usr/lib/cni/{plugin.name}")


def make_layer(layer: Path, kube: Path, tags: list[str]) -> None:
    """Write what one Kubernetes version adds; `tags` name its images, the sandbox's among them."""
    layer.chmod(0o755)
    shutil.copytree(FILES, layer, dirs_exist_ok=True)
    wants = layer / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir()
    for unit in (FILES / "etc/systemd/system").glob("*.service"):
        (wants / unit.name).symlink_to(f"../{unit.name}")
    (layer / "usr/bin").mkdir(parents=True)
    shutil.copy2(kube, layer / "usr/bin/kube")
    for name in ("kubeadm", "kubelet", "kubectl", "etcdctl"):
        (layer / "usr/bin" / name).symlink_to("kube")
    pause = next(tag for tag in tags if "/pause" in tag)
    put(layer / "etc/containerd/config.toml", _containerd(pause))


def _containerd(pause: str) -> str:
    return f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
"""
