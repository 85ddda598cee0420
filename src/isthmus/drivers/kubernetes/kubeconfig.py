"""A kubeconfig as a value: which server, as whom, trusted by what.

Only what can be held in memory is accepted. A kubeconfig comes from a Secret, so whoever may write
that Secret must not be able to have us run a program, read a file or leave out TLS' checks unsaid.
https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import yaml

from isthmus.api.meta import Json
from isthmus.errors import InvalidSpec

_REFUSED = {
    "exec": "runs a program",
    "auth-provider": "runs a program",
    "username": "is not supported by Kubernetes any more",
    "tokenFile": "names a file",
    "client-certificate": "names a file; write client-certificate-data",
    "client-key": "names a file; write client-key-data",
    "certificate-authority": "names a file; write certificate-authority-data",
    "proxy-url": "is not supported",
    "tls-server-name": "is not supported",
    "as": "is not supported",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server and how to be known to it. Never printed."""

    server: str
    namespace: str = "default"
    ca_pem: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    certificate_pem: str = field(default="", repr=False)
    key_pem: str = field(default="", repr=False)
    insecure: bool = False


def parse(text: str, context: str = "") -> Target:
    """Read what a kubeconfig's context leads to.

    Args:
        text: The kubeconfig, YAML or JSON.
        context: Name of the context; empty: the kubeconfig's current one.

    Raises:
        InvalidSpec: It is none, lacks something, or asks for what we do not do.
    """
    config = _mapping(_load(text), "")
    chosen = context or str(config.get("current-context") or "")
    about = _entry(config, "contexts", "context", chosen)
    cluster = _entry(config, "clusters", "cluster", str(about.get("cluster") or ""))
    user = _entry(config, "users", "user", str(about.get("user") or ""))
    for key in (*cluster, *user):
        if key in _REFUSED:
            raise InvalidSpec(f"kubeconfig: {key} {_REFUSED[key]}.")
    target = Target(
        server=_server(str(cluster.get("server") or "")),
        namespace=str(about.get("namespace") or "default"),
        ca_pem=_pem(cluster, "certificate-authority-data"),
        token=str(user.get("token") or "").strip(),
        certificate_pem=_pem(user, "client-certificate-data"),
        key_pem=_pem(user, "client-key-data"),
        insecure=cluster.get("insecure-skip-tls-verify") is True,
    )
    if bool(target.certificate_pem) != bool(target.key_pem):
        raise InvalidSpec(
            "kubeconfig: client-certificate-data and client-key-data belong together."
        )
    if not target.token and not target.certificate_pem:
        raise InvalidSpec("kubeconfig: the user has neither a token nor a client certificate.")
    return target


def tls(target: Target) -> ssl.SSLContext:
    """Return what is trusted, with our certificate where we have one.

    Raises:
        InvalidSpec: Something in it is no certificate or key.
    """
    try:
        context = ssl.create_default_context(cadata=target.ca_pem or None)
        if target.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if target.certificate_pem:
            with _as_file(f"{target.certificate_pem}\n{target.key_pem}") as path:
                context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as exc:
        raise InvalidSpec("kubeconfig: a certificate or key in it is damaged.") from exc
    return context


@contextmanager
def _as_file(text: str) -> Generator[str]:
    """Lend a secret as a file to a library that takes nothing else; it lies in memory if it can."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("isthmus"), "wb") as memory:
            memory.write(text.encode())
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "pem")
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        yield path


def _load(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as exc:
        # The parser's words repeat lines of the file, and these may be secret.
        raise InvalidSpec("kubeconfig: it is not valid YAML.") from exc


def _mapping(value: object, where: str) -> Json:
    if not isinstance(value, dict):
        raise InvalidSpec(f"kubeconfig: {where or 'it'} must be a mapping.")
    return cast("Json", value)


def _entry(config: Json, section: str, key: str, name: str) -> Json:
    listed = config.get(section)
    entries = cast("list[Any]", listed) if isinstance(listed, list) else []
    for entry in entries:
        found = _mapping(entry, f"{section}[]")
        if name and found.get("name") == name:
            return _mapping(found.get(key), f"{section}[{name}].{key}")
    known = ", ".join(sorted(str(cast("Json", e).get("name")) for e in entries)) or "none"
    raise InvalidSpec(f"kubeconfig: no {key} {name!r}; there are: {known}.")


def _server(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise InvalidSpec("kubeconfig: server must be an https URL, as https://10.0.0.1:6443.")
    return url.rstrip("/")


def _pem(entry: Json, key: str) -> str:
    data = str(entry.get(key) or "")
    try:
        text = base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise InvalidSpec(f"kubeconfig: {key} is not base64.") from exc
    if text and "-----BEGIN " not in text:
        raise InvalidSpec(f"kubeconfig: {key} holds no PEM text.")
    return text
