"""Which server the command line speaks to."""

import base64
import stat

import pytest
import yaml

from isthmus.faces.cli import kubeconfig
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.kubeconfig import Target
from isthmus.runtime.transport import TokenFile


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("ISTHMUS_DATA_DIR", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    return tmp_path


def config(server: str = "https://one", user: dict | None = None, **context: str) -> dict:
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"} | context}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user if user is not None else {"token": "t"}}],
    }


def save(path, content: dict):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def test_what_is_written_is_read_back_and_private(tmp_path):
    target = Target(server="https://127.0.0.1:7443", ca_pem="PEM", token="secret")
    file = tmp_path / "kubeconfig"
    kubeconfig.write(file, target)
    kubeconfig.write(file, target)
    assert kubeconfig.load(str(file)) == target
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "secret" not in repr(target), "a token is never shown by accident"


def test_our_own_kubeconfig_comes_before_that_of_kubectl(home):
    save(home / ".kube" / "config", config("https://kube"))
    assert kubeconfig.load().server == "https://kube"
    save(home / ".local" / "share" / "isthmus" / "kubeconfig", config("https://isthmus"))
    assert kubeconfig.load().server == "https://isthmus"


def test_the_environment_comes_before_both(home, monkeypatch):
    save(home / ".kube" / "config", config("https://kube"))
    monkeypatch.setenv("KUBECONFIG", str(save(home / "mine", config("https://mine"))))
    assert kubeconfig.load().server == "https://mine"


def test_namespace_by_option_then_context_then_default(tmp_path):
    file = str(save(tmp_path / "k", config(namespace="shop")))
    assert kubeconfig.load(file, namespace="other").namespace == "other"
    assert kubeconfig.load(file).namespace == "shop"
    assert kubeconfig.load(str(save(tmp_path / "l", config()))).namespace == "default"


def test_files_beside_the_kubeconfig(tmp_path):
    (tmp_path / "token").write_text("from-file\n")
    content = config(user={"tokenFile": "token"})
    pem = base64.b64encode(b"PEM").decode()
    content["clusters"][0]["cluster"]["certificate-authority-data"] = pem
    target = kubeconfig.load(str(save(tmp_path / "k", content)))
    assert isinstance(target.bearer, TokenFile)
    assert (target.bearer(), target.ca_pem) == ("from-file", "PEM")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (config(user={"exec": {"command": "aws"}}), "users[u].exec is not supported"),
        (config() | {"current-context": "moon"}, "contexts: there is no 'moon'"),
        (config() | {"users": []}, "users: there is no 'u'"),
        (["a list"], "is no kubeconfig"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, content, words):
    with pytest.raises(CommandFailed) as failure:
        kubeconfig.load(str(save(tmp_path / "k", content)))
    assert words in failure.value.message
    assert failure.value.code == Exit.USAGE


def test_an_unknown_context_lists_those_there_are(tmp_path):
    file = str(save(tmp_path / "k", config()))
    with pytest.raises(CommandFailed) as failure:
        kubeconfig.load(file, context="moon")
    assert "there are: here" in failure.value.message


def test_without_any_the_remedy_is_named(home):
    with pytest.raises(CommandFailed) as failure:
        kubeconfig.load()
    assert "isthmus up" in failure.value.message
