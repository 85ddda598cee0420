"""A real Kubernetes control plane without nodes: one a session, and nothing of it is left.

To use a cluster that runs already, set ISTHMUS_TEST_KUBECONFIG to its administrator's kubeconfig.
"""

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from isthmus_lab_kubernetes import plane
from tests.kubernetes_lab import kept, why_no_plane
from tests.on_cluster import Plane

RUNNING = "ISTHMUS_TEST_KUBECONFIG"
STRICT = ("OwnerReferencesPermissionEnforcement",)
"""Plugins that stricter distributions add, OpenShift among them."""
MARKS = (pytest.mark.labs, pytest.mark.guests, pytest.mark.timeout(1200))
"""Of tests that need it; the first of all compiles Kubernetes, which takes minutes once."""


@pytest.fixture(scope="session")
def kubernetes_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A kubeconfig, as text that holds everything itself."""
    if running := os.environ.get(RUNNING):
        yield flattened(Path(running))
        return
    if reason := why_no_plane():
        pytest.skip(reason)
    with kept(tmp_path_factory.mktemp("plane")) as lab:
        yield flattened(plane.up(lab))


def flattened(path: Path) -> str:
    """Return a kubeconfig with its files inside, as ``kubectl config view --flatten`` does."""
    config = yaml.safe_load(path.read_text())
    for entry in (*config["clusters"], *config["users"]):
        part = entry.get("cluster") or entry["user"]
        for key in ("certificate-authority", "client-certificate", "client-key"):
            if file := part.pop(key, ""):
                part[f"{key}-data"] = base64.b64encode(Path(file).read_bytes()).decode()
    return yaml.safe_dump(config)


@pytest.fixture(scope="session")
def plane_with_kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """A cluster that has all of ours but controllers; apart from the one that is compared with."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not on PATH")
    if reason := why_no_plane():
        pytest.skip(reason)
    with kept(tmp_path_factory.mktemp("home")) as lab:
        config = lab.state / "flat.conf"
        config.write_text(flattened(plane.up(lab, admission=STRICT)))
        ready = Plane(config)
        ready.install()
        yield ready
