"""Where the lab keeps what it builds and what it runs, and the versions it is made of."""

import hashlib
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
GO_SOURCES = Path(os.environ.get("ISTHMUS_LAB_GO", PACKAGE.parents[1] / "go"))
RELEASES = {"1.35": "v1.35.4", "1.36": "v1.36.3"}
"""The Kubernetes versions that can be built, by minor; each has a Go module `go/kube-<minor>`."""
NEWEST = max(RELEASES)
HELM = {"3": "v3.21.4", "4": "v4.2.4"}
"""The Helm releases, by major; each has a Go module `go/helm<major>`, made of Kubernetes' modules
of `NEWEST`, so that what is compiled for the one is compiled for the other."""
FLANNEL = "v0.28.4"
FLANNEL_CNI = "v1.9.1-flannel1"
POD_CIDR, SERVICE_CIDR = "10.245.0.0/16", "10.97.0.0/16"


class LabError(Exception):
    """The lab cannot do what it was asked; the message says why and what helps."""


def cache() -> Path:
    """The folder of everything built; it lies outside any clone and may be removed at any time."""
    # Not $HOME: a service's may be a folder of its own.
    home = os.environ.get("XDG_CACHE_HOME") or Path(pwd.getpwuid(os.getuid()).pw_dir) / ".cache"
    return Path(home) / "isthmus-lab-kubernetes"


@dataclass(frozen=True)
class Lab:
    """One lab: its state folder, and the names by which the host knows its things.

    Namespaces, cgroups and interfaces are the whole host's, so their names carry the folder's
    digest: two labs never meet.
    """

    state: Path

    @property
    def tag(self) -> str:
        """Six hexadecimal digits of the state folder's path."""
        return hashlib.sha256(str(self.state.resolve()).encode()).hexdigest()[:6]

    @property
    def guests(self) -> Path:
        """One folder a guest."""
        return self.state / "guests"

    @property
    def plane(self) -> Path:
        """Keys, logs and data of the control plane without nodes."""
        return self.state / "plane"

    def namespace(self, kind: str, name: str) -> str:
        """A network namespace's name; `kind` is net, rtr or vm."""
        return f"il{self.tag}-{kind}-{name[:13]}"
