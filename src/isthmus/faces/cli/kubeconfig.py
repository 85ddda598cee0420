"""Which server, as whom, in which namespace: kubeconfig files, read and written as kubectl does.

Source: https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
"""

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from isthmus.api.meta import Json
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.runtime.transport import TokenFile

CONTEXT = "isthmus"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds what its ServiceAccount needs to reach the API."""
_START = "start one with `isthmus up`, or name one with --kubeconfig"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A server and how to be known to it."""

    server: str
    namespace: str = "default"
    ca_pem: str = ""
    token: str = field(default="", repr=False)
    client_certificate: tuple[str, str] | None = field(default=None, repr=False)
    """PEM of certificate and key."""
    insecure: bool = False
    token_file: Path | None = None
    """Where the token is read anew from time to time; ``token`` is then empty."""

    @property
    def bearer(self) -> str | TokenFile:
        """The token, or what reads the one of now."""
        return TokenFile(self.token_file) if self.token_file is not None else self.token


def state_dir() -> Path:
    """Return where ``isthmus up`` keeps its state unless told otherwise."""
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(os.environ.get("ISTHMUS_DATA_DIR") or Path(home) / "isthmus")


def files(explicit: str = "") -> tuple[Path, ...]:
    """Return the kubeconfig files to look in, the first one first.

    Without ``--kubeconfig`` and ``KUBECONFIG`` the one that ``isthmus up`` wrote comes before the
    user's own, so that the command line works right after ``isthmus up``.
    """
    if explicit:
        return (Path(explicit),)
    if listed := os.environ.get("KUBECONFIG"):
        return tuple(Path(part) for part in listed.split(os.pathsep) if part)
    return (state_dir() / "kubeconfig", Path.home() / ".kube" / "config")


def load(explicit: str = "", context: str = "", namespace: str = "") -> Target:
    """Read the target that a command line means.

    Raises:
        CommandFailed: No file, no such context, or a way to log in that we do not speak.
    """
    found = [(path, _read(path)) for path in files(explicit) if path.exists()]
    if not found:
        looked = ", ".join(str(path) for path in files(explicit))
        raise CommandFailed(f"no server is configured (looked for {looked}); {_START}", Exit.USAGE)
    path, config = found[0]
    if context:
        path, config = _with_context(found, context)
    return _target(path, config, context or str(config.get("current-context", "")), namespace)


def _with_context(found: list[tuple[Path, Json]], context: str) -> tuple[Path, Json]:
    for path, config in found:
        if any(entry.get("name") == context for entry in _entries(config, "contexts")):
            return path, config
    known = sorted(
        {str(e.get("name")) for _, config in found for e in _entries(config, "contexts")}
    )
    raise CommandFailed(
        f"--context: no context {context!r}; there are: {', '.join(known) or 'none'}", Exit.USAGE
    )


def _target(path: Path, config: Json, context: str, namespace: str) -> Target:
    about = _named(path, config, "contexts", context)
    cluster = _named(path, config, "clusters", str(about.get("cluster", "")))
    user = _named(path, config, "users", str(about.get("user", "")))
    if unknown := {"exec", "auth-provider", "username"} & set(user):
        raise CommandFailed(
            f"{path}: users[{about.get('user')}].{min(unknown)} is not supported; use a token or a "
            "client certificate",
            Exit.USAGE,
        )
    return Target(
        server=str(cluster.get("server", "")).rstrip("/"),
        namespace=namespace or str(about.get("namespace") or "default"),
        ca_pem=_data(path, cluster, "certificate-authority"),
        token=str(user.get("token") or "").strip(),
        token_file=_token_file(path, user),
        client_certificate=_client_certificate(path, user),
        insecure=cluster.get("insecure-skip-tls-verify") is True,
    )


def in_pod(
    folder: Path = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ
) -> Target | None:
    """Return what the ServiceAccount of a pod leads to, or None outside of pods.

    Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    """
    host = environment.get("KUBERNETES_SERVICE_HOST")
    if not host or not (folder / "token").exists():
        return None
    where = f"[{host}]" if ":" in host else host
    return Target(
        server=f"https://{where}:{environment.get('KUBERNETES_SERVICE_PORT', '443')}",
        namespace=(folder / "namespace").read_text().strip(),
        ca_pem=(folder / "ca.crt").read_text(),
        token_file=folder / "token",
    )


def _token_file(path: Path, user: Json) -> Path | None:
    """The file wins over a token beside it, as kubectl has it."""
    return path.parent / str(user["tokenFile"]) if user.get("tokenFile") else None


def _client_certificate(path: Path, user: Json) -> tuple[str, str] | None:
    certificate = _data(path, user, "client-certificate")
    key = _data(path, user, "client-key")
    if bool(certificate) != bool(key):
        raise CommandFailed(
            f"{path}: client-certificate and client-key belong together: one of them is missing",
            Exit.USAGE,
        )
    return (certificate, key) if certificate else None


def _data(path: Path, entry: Json, key: str) -> str:
    if inline := entry.get(f"{key}-data"):
        return base64.b64decode(str(inline)).decode()
    return _file(path, entry.get(key))


def _file(path: Path, name: object) -> str:
    return (path.parent / str(name)).read_text() if name else ""


def _named(path: Path, config: Json, part: str, name: str) -> Json:
    for entry in _entries(config, part):
        if entry.get("name") == name:
            return cast("Json", entry.get(part[:-1]) or {})
    raise CommandFailed(f"{path}: {part}: there is no {name!r}; {_START}", Exit.USAGE)


def _entries(config: Json, part: str) -> Iterable[Json]:
    return cast("list[Json]", config.get(part) or [])


def _read(path: Path) -> Json:
    try:
        content: Any = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as exc:
        raise CommandFailed(f"{path}: cannot be read as a kubeconfig: {exc}", Exit.USAGE) from exc
    if not isinstance(content, dict):
        raise CommandFailed(f"{path}: is no kubeconfig", Exit.USAGE)
    return cast("Json", content)


def write(path: Path, target: Target) -> None:
    """Write a kubeconfig that only its owner can read; it is complete at every moment."""
    ca = base64.b64encode(target.ca_pem.encode()).decode()
    context = {"cluster": CONTEXT, "user": "admin", "namespace": target.namespace}
    config: Json = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": CONTEXT,
                "cluster": {"server": target.server, "certificate-authority-data": ca},
            }
        ],
        "users": [{"name": "admin", "user": {"token": target.token}}],
        "contexts": [{"name": CONTEXT, "context": context}],
        "current-context": CONTEXT,
    }
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    fresh.replace(path)
