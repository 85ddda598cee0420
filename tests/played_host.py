"""A host whose programs are played, for scripts that make a server a node.

Its folders (``/etc``, ``/run``, ...) are below one folder of the test, and a script is rewritten to
look there. What it asks of the played programs is written down there, too.
"""

import hashlib
import json
import re
import socket
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.36.3"
FOLDERS = re.compile(r"(?<![\w.@$/-])/(etc|run|opt|var|mirror|sys/class/net|usr/local)\b")
QUIET = ("swapoff", "modprobe", "sysctl", "sleep", "setsebool", "keepalived", "containerd", "ctr")
CURL = """
for word in "$@"; do
  case $before in -o) out=$word ;; --data-binary) echo "$word" >>ROOT/told; exit 0 ;; esac
  case $word in http*) file=${word#*://*/} ;; esac
  before=$word
done
[ -e "ROOT/served/$file" ] || exit 22
if [ -n "$out" ]; then cp "ROOT/served/$file" "$out"; else cat "ROOT/served/$file"; fi
"""
IP = """
case "$*" in
  *route*) echo "192.0.2.1 via 10.64.0.1 dev eth0 src 10.64.0.11 uid 0" ;;
  *addr*) echo "2: eth0    inet 10.64.0.11/22 brd 10.64.3.255 scope global eth0" ;;
esac
"""
KUBEADM = """
case $1 in
  version) echo v%s ;;
  init) cp kubeadm.yaml ROOT/init.yaml && touch ROOT/etc/kubernetes/admin.conf ;;
  join) cp kubeadm.yaml ROOT/join.yaml ;;
  upgrade) echo "$@" >>ROOT/upgraded; touch ROOT/etc/kubernetes/manifests/kube-apiserver.yaml
    echo "    image: kube-apiserver:v%s" >ROOT/etc/kubernetes/manifests/kube-apiserver.yaml
    echo %s >ROOT/kubelet-runs ;;
esac
"""
KUBECTL = r"""
case "$*" in
  *"configmap isthmus-control-plane"*)
    wanted=${@: -1}
    wanted=${wanted#*data.}
    cat "ROOT/wish/${wanted%\}}" ;;
  *"get nodes"*) echo "control-0 v$(cat ROOT/kubelet-runs) True" ;;
  *annotate*) echo "${@: -1}" >>ROOT/noted ;;
esac
"""


@dataclass
class Host:
    """A host with nothing on it but played programs; all of its folders are below one."""

    root: Path

    def furnish(self, files: Mapping[str, str]) -> None:
        """Write the files that its user data hold, by path."""
        for folder in ("bin", "etc/isthmus", "etc/kubernetes/manifests", "etc/keepalived"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        for folder in (
            "etc/systemd/system", "etc/sysctl.d", "etc/modules-load.d", "run/containerd",
            "usr/local/bin", "opt", "served",
        ):  # fmt: skip
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "etc" / "resolv.conf").write_text("nameserver 10.64.0.2\n")
        for name in QUIET:
            self.program(name, "exit 0")
        self.program("curl", CURL)
        self.program("ip", IP)
        self.program("systemctl", '[ "$1" != is-active ] || exit 3')
        self.program("hostname", "echo control-0")
        self.program("cloud-init", "cat ROOT/metadata.json")
        self.program("kubectl", KUBECTL)
        for path, text in files.items():
            (self.root / path[1:]).write_text(self.here(text))
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(self.root / "run" / "containerd" / "containerd.sock"))

    def here(self, text: str) -> str:
        return FOLDERS.sub(rf"{self.root}/\1", text.replace("ROOT", str(self.root)))

    def program(self, name: str, body: str, folder: str = "bin") -> Path:
        file = self.root / folder / name
        file.write_text(f"#!/bin/bash\n{body.replace('ROOT', str(self.root))}\n")
        file.chmod(0o755)
        return file

    def metadata(self, role: str, index: int = 0) -> None:
        said = {"uuid": "8f4c0001", "meta": {"isthmus-role": role, "isthmus-index": str(index)}}
        (self.root / "metadata.json").write_text(json.dumps(said))

    def kubernetes(self, version: str = VERSION, *, folder: str = "bin") -> None:
        self.program("kubeadm", KUBEADM % (version, version, version), folder)
        self.program("kubelet", "exit 0", folder)

    def mirror(self, version: str = VERSION) -> str:
        """Fill a mirror with all that a version needs, and return its pin."""
        served = self.root / "served" / f"v{version}"
        served.mkdir()
        where = str(served.relative_to(self.root))
        self.kubernetes(version, folder=where)
        self.program("kubectl", KUBECTL, where)
        with tarfile.open(served / "cni-plugins.tgz", "w:gz") as archive:
            archive.add(self.root / "bin" / "ip", "bridge")
        (served / "images.tar").write_text("images")
        sums = [
            f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}"
            for f in sorted(served.iterdir())
        ]
        (served / "SHA256SUMS").write_text("\n".join(sums) + "\n")
        return hashlib.sha256((served / "SHA256SUMS").read_bytes()).hexdigest()

    def setting(self, **values: str) -> None:
        file = self.root / "etc" / "isthmus" / "node.env"
        more = "".join(f"\n{name}='{value}'" for name, value in values.items())
        file.write_text(file.read_text() + more + "\n")

    def waited_for(self) -> None:
        """Have a stack wait for a signal."""
        (self.root / "etc/isthmus/signal.sh").write_text('curl --data-binary "$1" http://heat/s\n')

    def with_less_patience(self) -> None:
        """Let the script ask twice for the key, where it would for twenty minutes."""
        script = self.root / "etc" / "isthmus" / "node.sh"
        script.write_text(script.read_text().replace("again 3 400 ", "again 3 2 "))

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root}/bin:/usr/bin:/bin", "HOSTNAME": "control-0", "HOME": "/root",
        }  # fmt: skip

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        script = self.root / "etc" / "isthmus" / "node.sh"
        return subprocess.run(
            ["bash", script, *words],
            env=self.environment, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    def write(self, name: str, text: str) -> None:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def serve(self, name: str, text: str) -> None:
        """Have every web server answer that to the path of a URL."""
        self.write(f"served/{name}", text)

    def read(self, name: str) -> str:
        file = self.root / name
        return file.read_text().replace(str(self.root), "") if file.exists() else ""
