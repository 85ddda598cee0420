"""Kubeconfigs from Secrets: what is read, and what is refused."""

import base64
from typing import Any

import pytest
import yaml

from isthmus.drivers.kubernetes import DRIVER, settings
from isthmus.drivers.kubernetes.kubeconfig import parse, tls
from isthmus.errors import InvalidSpec
from isthmus.ports import Endpoint
from tests.kubernetes_home import endpoint, kubeconfig

SERVER = "https://10.0.0.1:6443"


def changed(**parts: Any) -> str:
    config = yaml.safe_load(kubeconfig(SERVER, token="s3cret"))
    config["clusters"][0]["cluster"] |= parts.get("cluster", {})
    config["users"][0]["user"] |= parts.get("user", {})
    return yaml.safe_dump(config | parts.get("top", {}))


def test_a_token_and_an_authority_are_read_and_never_shown() -> None:
    target = parse(kubeconfig(SERVER, ca_pem="-----BEGIN CERTIFICATE-----", token="s3cret"))
    assert (target.server, target.token, target.namespace) == (SERVER, "s3cret", "default")
    assert target.ca_pem == "-----BEGIN CERTIFICATE-----"
    assert "s3cret" not in repr(target)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "not valid YAML"),
        ("[]", "must be a mapping"),
        (changed(top={"current-context": "away"}), "no context 'away'; there are: here"),
        (changed(cluster={"server": "http://10.0.0.1"}), "https URL"),
        (changed(cluster={"certificate-authority": "/etc/ca"}), "names a file"),
        (changed(cluster={"certificate-authority-data": "?"}), "not base64"),
        (changed(cluster={"certificate-authority-data": "YQ=="}), "no PEM"),
        (changed(user={"exec": {"command": "rm"}}), "exec runs a program"),
        (changed(user={"token": ""}), "neither a token nor a client certificate"),
        (changed(user={"client-key-data": base64.b64encode(b"-----BEGIN K").decode()}), "together"),
    ],
)
def test_what_we_do_not_do_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        parse(text)


def test_a_damaged_certificate_is_named_and_not_repeated() -> None:
    with pytest.raises(InvalidSpec, match="damaged"):
        tls(parse(kubeconfig(SERVER, ca_pem="-----BEGIN CERTIFICATE-----\nx", token="t")))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"nameSpace": "a"}, "spec.settings.nameSpace"),
        ({"readySeconds": "soon"}, "spec.settings.readySeconds"),
        ({"context": "away"}, "no context 'away'"),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words):
        settings.read(endpoint(kubeconfig(SERVER, token="t"), **given))


def test_a_provider_needs_a_kubeconfig() -> None:
    nothing = Endpoint(provider="p", region="", settings={})
    with pytest.raises(InvalidSpec, match="kubeconfig"):
        settings.read(nothing)
    assert DRIVER.settings == settings.KNOWN
