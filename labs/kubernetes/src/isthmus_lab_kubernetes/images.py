"""Container images made without a registry: archives of one layer for `ctr images import`.

One binary is all components, so a cluster's images are one image with several names.
"""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isthmus_lab_kubernetes.commands import run
from isthmus_lab_kubernetes.settings import FLANNEL, FLANNEL_CNI

COMPONENTS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
_FOLDERS = (
    *("etc", "proc", "sys", "dev", "run", "var", "var/lib", "opt", "opt/bin"),
    *("usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/local", "usr/local/bin"),
)
_TOOLS = ("/bin/busybox", "/usr/sbin/nft", "/usr/sbin/xtables-nft-multi", "/usr/sbin/conntrack")


@dataclass(frozen=True)
class Image:
    """What an image holds: files by their place inside, links, and the names it goes by."""

    tags: Sequence[str]
    files: Mapping[str, Path]
    links: Mapping[str, str] = field(default_factory=dict[str, str])
    entry: Sequence[str] | None = None
    tools: bool = True


def write_all(folder: Path, binaries: Mapping[str, Path], tags: Sequence[str]) -> None:
    """Write every image of a release; `tags` are the names that its kubeadm asks for."""
    links = {
        f"usr/local/bin/{name}": "kube" for name in (*COMPONENTS, "etcd", "etcdctl", "kubectl")
    }
    kube = [tag for tag in tags if "/coredns" not in tag and "/pause" not in tag]
    applets = [name for name in run("busybox", "--list").split() if name != "busybox"]
    images = {
        "kube": Image(kube, {"usr/local/bin/kube": binaries["kube"]}, links),
        "pause": Image(
            [tag for tag in tags if "/pause" in tag],
            {"pause": binaries["pause"]},
            {},
            ["/pause"],
            tools=False,
        ),
        "coredns": Image(
            [tag for tag in tags if "/coredns" in tag],
            {"coredns": binaries["coredns"]},
            {},
            ["/coredns"],
        ),
        "flannel": Image(
            [f"ghcr.io/flannel-io/flannel:{FLANNEL}"], {"opt/bin/flanneld": binaries["flanneld"]}
        ),
        "flannel-cni": Image(
            [f"ghcr.io/flannel-io/flannel-cni-plugin:{FLANNEL_CNI}"],
            {"flannel": binaries["flannel-cni"]},
        ),
        "busybox": Image(
            ["docker.io/library/busybox:1.35"],
            {"usr/bin/busybox": Path("/bin/busybox")},
            {f"usr/bin/{name}": "busybox" for name in applets},
            tools=False,
        ),
    }
    for name, image in images.items():
        write(folder / f"{name}.tar", image)


def write(target: Path, image: Image) -> None:
    """Write one docker archive; all tags share its one layer."""
    layer = _layer(image)
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Env": ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Entrypoint": image.entry,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": list(image.tags), "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(target, "w") as tar:
        for inside, content in (
            (name, config),
            (f"{digest}/layer.tar", layer),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(inside)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _layer(image: Image) -> bytes:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder in _FOLDERS:
            _add(tar, folder, tarfile.DIRTYPE)
        _add(tar, "tmp", tarfile.DIRTYPE, mode=0o1777)
        for folder in ("bin", "sbin", "lib", "lib64"):
            _add(tar, folder, tarfile.SYMTYPE, link=f"usr/{folder}")
        files = {**image.files, **(_tools() if image.tools else {})}
        for inside, outside in files.items():
            real = outside.resolve()
            info = tar.gettarinfo(real, inside)
            with real.open("rb") as content:
                tar.addfile(info, content)
        for inside, to in {**image.links, **(_tool_links() if image.tools else {})}.items():
            _add(tar, inside, tarfile.SYMTYPE, link=to)
    return layer.getvalue()


def _add(tar: tarfile.TarFile, name: str, kind: bytes, link: str = "", mode: int = 0o755) -> None:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    tar.addfile(info)


def _tools() -> dict[str, Path]:
    """What kube-proxy and flannel call: a shell, nft and iptables of this machine."""
    wanted = {"usr/" + tool.removeprefix("/usr").lstrip("/"): Path(tool) for tool in _TOOLS}
    for tool in _TOOLS:
        # A static program makes ldd fail, and has no libraries.
        listed = subprocess.run(["ldd", tool], capture_output=True, text=True, check=False).stdout
        for word in listed.split():
            if word.startswith("/"):
                wanted["usr/" + word.removeprefix("/usr").lstrip("/")] = Path(word)
    for plugin in Path("/usr/lib/x86_64-linux-gnu/xtables").glob("*.so"):
        wanted[str(plugin)[1:]] = plugin
    return wanted


def _tool_links() -> dict[str, str]:
    links = {f"usr/bin/{applet}": "busybox" for applet in ("sh", "cp", "cat", "ls")}
    for name in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            links[f"usr/sbin/{name}{suffix}"] = "xtables-nft-multi"
    return links
