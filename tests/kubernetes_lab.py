"""What this machine lacks to run labs/kubernetes, for tests that need it."""

import os
import shutil

from isthmus_lab_kubernetes import building, cgroups
from isthmus_lab_kubernetes.settings import NEWEST


def why_no_plane(minor: str = NEWEST) -> str:
    """Why no control plane can run here; empty if one can, though it may have to be compiled."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not building.built(minor) and go is None:
        return "Kubernetes is compiled here, and there is no Go on PATH"
    return "" if shutil.which("openssl") else "there is no openssl on PATH"


def why_no_guests(minor: str = NEWEST) -> str:
    """Why no guest can boot here; empty if one can."""
    if reason := why_no_plane(minor):
        return reason
    if os.geteuid() != 0:
        return "guests need root"
    if not cgroups.supported():
        return "guests need the cgroup controllers mounted as version 1"
    if missing := building.missing_packages():
        return f"not installed: {' '.join(missing)} (labs/install-packages.sh)"
    return ""
