"""Compile Kubernetes, CoreDNS, flannel and Helm from their Go modules; make what guests boot from.

The first time takes minutes; everything is kept in the cache (see `settings.cache`), so that the
next call costs nothing. Whoever has no Go can use what somebody else has built.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from isthmus_lab_kubernetes import guest_root, images
from isthmus_lab_kubernetes.artefacts import artefact, digest, locked
from isthmus_lab_kubernetes.commands import put, run, say
from isthmus_lab_kubernetes.settings import (
    GO_SOURCES,
    HELM,
    NEWEST,
    PACKAGE,
    POD_CIDR,
    RELEASES,
    LabError,
    cache,
)

HOST_PACKAGES = (
    *("mmdebstrap", "systemd-container", "iproute2", "nftables", "iptables", "conntrack"),
    *("busybox-static", "openssl"),
)


@dataclass(frozen=True)
class Program:
    """A Go program: the module's folder below `go/`, the package in it, and how it is linked."""

    folder: str
    package: str = "."
    flags: str = ""
    cgo: bool = False


PROGRAMS = {
    "pause": Program("pause"),
    "coredns": Program("coredns", "github.com/coredns/coredns"),
    # Its network library needs cgo on amd64.
    "flanneld": Program(
        "flannel", "github.com/flannel-io/flannel", "-extldflags -static", cgo=True
    ),
    "flannel-cni": Program("cni", "github.com/containernetworking/plugins/plugins/meta/flannel"),
}


@dataclass(frozen=True)
class Release:
    """A built Kubernetes version: its binary, its images, and the layers of a guest's root."""

    version: str
    kube: Path
    images: Path
    layers: tuple[Path, ...]
    """Overlay layers, the upmost first."""


def release(minor: str) -> Release:
    """Return what a guest of this Kubernetes version boots from; builds what is missing.

    Raises:
        LabError: The version is unknown, or something that building needs is not installed.
    """
    if minor not in RELEASES:
        raise LabError(f"Kubernetes {minor} cannot be built here; there are {', '.join(RELEASES)}")
    version = RELEASES[minor]
    programs = {name: binary(name, program) for name, program in PROGRAMS.items()}
    programs["kube"] = kube(minor)
    names = [path.parent.name for path in programs.values()]
    archives = artefact(
        f"images-{minor}",
        digest(PACKAGE / "images.py", *names),
        lambda folder: _make_images(folder, programs, version),
    )
    root = debian()
    layer = artefact(
        f"layer-{minor}",
        digest(
            PACKAGE / "guest_root.py", guest_root.FILES, programs["kube"].parent.name, archives.name
        ),
        lambda folder: guest_root.make_layer(
            folder, programs["kube"], _tags(programs["kube"], version)
        ),
    )
    _mirror(version, programs["kube"], archives)
    return Release(version, programs["kube"], archives, (layer, root))


def debian() -> Path:
    """The root of a guest without Kubernetes: Debian with cloud-init."""
    return artefact("root", guest_root.RECIPE, guest_root.make)


def ignition_validate() -> Path:
    """The program that tells whether a text is a valid Ignition configuration."""
    program = Program("ignition", "github.com/coreos/ignition/v2/validate")
    return binary("ignition-validate", program)


def recorder() -> Path:
    """A program that records Events as controllers of Kubernetes do, by client-go."""
    return binary("recorder", Program("recorder"))


def helm(major: str) -> Path:
    """The program `helm` of this major version; compiled once, which takes minutes."""
    return binary(f"helm{major}", _helm_program(major), "helm")


def helm_built(major: str) -> bool:
    """True if `helm` would have nothing to compile."""
    return (cache() / f"helm{major}-{_fingerprint(_helm_program(major))}").exists()


def built(minor: str) -> bool:
    """True if `release` would have nothing to compile."""
    program = _kube_program(minor)
    return (cache() / f"kube-{minor}-{_fingerprint(program)}").exists()


def kube(minor: str) -> Path:
    """The binary that is every component of Kubernetes and etcd, by the name it is called by."""
    return binary(f"kube-{minor}", _kube_program(minor), "kube")


def binary(name: str, program: Program, target: str = "") -> Path:
    """Return the path of a compiled program."""
    target = target or name

    def make(folder: Path) -> None:
        say(f"compiling {name}")
        _compile(program, folder / target)

    return artefact(name, _fingerprint(program), make) / target


def missing_packages() -> list[str]:
    """The Debian packages that the host lacks."""
    listed = run("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package}\n").splitlines()
    installed = {line.split()[1] for line in listed if line.startswith("ii")}
    return [name for name in HOST_PACKAGES if name not in installed]


def _kube_program(minor: str) -> Program:
    major, second = minor.split(".")
    stamps = {"gitVersion": RELEASES[minor], "gitMajor": major, "gitMinor": second}
    flags = " ".join(f"-X k8s.io/component-base/version.{k}={v}" for k, v in stamps.items())
    return Program(f"kube-{minor}", flags=flags)


def _helm_program(major: str) -> Program:
    package = f"helm.sh/helm/v{major}"
    stamps = {"internal/version.version": HELM[major]}
    if major == "3":  # Version 4 reads them from what it was linked with.
        release = dict(zip(("Major", "Minor"), NEWEST.split("."), strict=True))
        for place in ("pkg/chartutil", "pkg/lint/rules"):
            stamps |= {f"{place}.k8sVersion{part}": value for part, value in release.items()}
    flags = " ".join(f"-X {package}/{name}={value}" for name, value in stamps.items())
    return Program(f"helm{major}", f"{package}/cmd/helm", flags)


def _fingerprint(program: Program) -> str:
    return digest(GO_SOURCES / program.folder, program.package, program.flags)


def _go() -> str:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        raise LabError(
            "Kubernetes is compiled here, and there is no Go on PATH: install Go 1.26 or newer"
        )
    return found


def _compile(program: Program, target: Path) -> None:
    environment = {
        **os.environ,
        "CGO_ENABLED": "1" if program.cgo else "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
    }
    run(
        *(
            "nice",
            _go(),
            "build",
            "-trimpath",
            "-tags",
            "netgo,osusergo",
            "-ldflags",
            f"-s -w {program.flags}",
        ),
        *("-o", target, program.package),
        cwd=GO_SOURCES / program.folder,
        env=environment,
    )


def _tags(binary: Path, version: str) -> list[str]:
    """The images that this kubeadm asks for, without asking anybody else."""
    listed = run(binary, "kubeadm", "config", "images", "list", "--kubernetes-version", version)
    return listed.split()


def _make_images(folder: Path, programs: dict[str, Path], version: str) -> None:
    say(f"making the images of {version}")
    images.write_all(folder, programs, _tags(programs["kube"], version))
    module = run(
        *(_go(), "list", "-m", "-f", "{{.Dir}}", "github.com/flannel-io/flannel"),
        cwd=GO_SOURCES / "flannel",
        env={**os.environ, "GOFLAGS": "-mod=readonly"},
    ).strip()
    manifest = (Path(module) / "Documentation/kube-flannel.yml").read_text()
    put(folder / "kube-flannel.yml", manifest.replace("10.244.0.0/16", POD_CIDR))


def _mirror(version: str, binary: Path, archives: Path) -> None:
    """Show every built version in the shape of a download site, which guests see at /mirror.

    `/mirror/release/<version>/bin/linux/amd64/kubeadm` (and kubelet, kubectl, each with `.sha256`),
    `/mirror/images/<version>/*.tar`.
    """
    folder = mirror() / "release" / version / "bin/linux/amd64"
    stamp = folder / ".made-from"
    made_from = f"{binary}\n{archives}\n"
    with locked("mirror"):
        if stamp.exists() and stamp.read_text() == made_from:
            return
        for old in (folder, mirror() / "images" / version):
            shutil.rmtree(old, ignore_errors=True)
            old.mkdir(parents=True)
        checksum = hashlib.sha256(binary.read_bytes()).hexdigest()
        for name in ("kubeadm", "kubelet", "kubectl"):
            os.link(binary, folder / name)
            put(folder / f"{name}.sha256", checksum)
        for archive in archives.iterdir():
            os.link(archive, mirror() / "images" / version / archive.name)
        stamp.write_text(made_from)


def mirror() -> Path:
    """The folder that guests see at /mirror."""
    return cache() / "mirror"
