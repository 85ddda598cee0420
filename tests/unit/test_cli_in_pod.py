"""How the controllers find the cluster that they run in, and its token that is renewed."""

from pathlib import Path

import pytest

from isthmus.app.on_cluster import Settings, target
from isthmus.errors import Unavailable
from isthmus.faces.cli import kubeconfig
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.runtime.transport import TokenFile


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """The folder that a kubelet mounts."""
    for name, text in {"token": "first\n", "ca.crt": "PEM", "namespace": "isthmus-system"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_pod_finds_its_cluster(account: Path) -> None:
    here = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    found = kubeconfig.in_pod(account, here)
    assert found is not None
    assert (found.server, found.ca_pem) == ("https://10.96.0.1:6443", "PEM")
    assert isinstance(found.bearer, TokenFile)
    assert found.bearer() == "first"


def test_addresses_may_be_of_version_six(account: Path) -> None:
    found = kubeconfig.in_pod(account, {"KUBERNETES_SERVICE_HOST": "fd00::1"})
    assert found is not None
    assert found.server == "https://[fd00::1]:443"


def test_outside_of_pods_there_is_none(account: Path, tmp_path: Path) -> None:
    assert kubeconfig.in_pod(account, {}) is None
    here = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    assert kubeconfig.in_pod(tmp_path / "none", here) is None


def test_a_token_is_read_anew(account: Path) -> None:
    now = 0.0
    token = TokenFile(account / "token", seconds=lambda: now)
    assert token() == "first"
    (account / "token").write_text("second")
    assert token() == "first"
    now = 10.0
    assert token() == "second"
    (account / "token").unlink()
    now = 20.0
    with pytest.raises(Unavailable):
        token()


def test_without_a_cluster_it_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CommandFailed, match="--kubeconfig FILE") as failure:
        target(Settings())
    assert failure.value.code == Exit.USAGE
