"""A control plane without nodes, on loopback: etcd, API server, controllers, scheduler."""

import json
import os
import random
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from isthmus_lab_kubernetes import building
from isthmus_lab_kubernetes.commands import detach, put, run, wait
from isthmus_lab_kubernetes.processes import Process
from isthmus_lab_kubernetes.settings import NEWEST, Lab, LabError

_ORDER = ("etcd", "apiserver", "controller-manager", "scheduler")
_SECONDS = 240
"""How long a busy machine may take to start or stop one of them."""
_PORTS = range(12_000, 19_000)
"""Below those that the kernel gives to clients: one of these might be taken before its server."""
_USERS = {
    "apiserver": "/CN=kube-apiserver",
    "admin": "/O=system:masters/CN=admin",
    "controller-manager": "/CN=system:kube-controller-manager",
    "scheduler": "/CN=system:kube-scheduler",
}


def up(lab: Lab, release: str = NEWEST, *, admission: Sequence[str] = ()) -> Path:
    """Start what does not run; returns the administrator's kubeconfig once the API answers.

    `admission` names plugins of the API server beyond the usual ones.
    """
    folder, kube = lab.plane, building.kube(release)
    pki = folder / "pki"
    _certificates(pki)
    ports = ports_of(folder)
    server = f"https://127.0.0.1:{ports['api']}"
    for user in ("admin", "controller-manager", "scheduler"):
        put(folder / f"{user}.conf", _kubeconfig(server, pki, user))
        (folder / f"{user}.conf").chmod(0o600)
    etcd = f"http://127.0.0.1:{ports['etcd']}"
    _daemon(folder, "etcd", kube, "etcd", *_etcd(folder, etcd, f"http://127.0.0.1:{ports['peer']}"))
    plugins = [f"--enable-admission-plugins={','.join(admission)}"] if admission else []
    options = [*_apiserver(pki, etcd, ports["api"]), *plugins]
    _daemon(folder, "apiserver", kube, "kube-apiserver", *options)
    config = folder / "admin.conf"
    kubectl = (kube, "kubectl", "--kubeconfig", config)
    complaint = f"no answer: see {folder}/apiserver.log"
    wait(lambda: _answers(folder, kubectl), _SECONDS, complaint)
    keys = (
        f"--service-account-private-key-file={pki}/sa.key",
        f"--root-ca-file={pki}/ca.crt",
        "--use-service-account-credentials=true",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
    )
    for name, extra in (("controller-manager", keys), ("scheduler", ())):
        own = folder / f"{name}.conf"
        configs = [
            f"--{kind}kubeconfig={own}" for kind in ("", "authentication-", "authorization-")
        ]
        port = f"--secure-port={ports[name]}"
        options = (*configs, "--bind-address=127.0.0.1", port, "--leader-elect=false", *extra)
        _daemon(folder, name, kube, f"kube-{name}", *options)
    return config


def down(lab: Lab) -> None:
    """Stop what runs, etcd last, since the others write into it; the data stay."""
    for name in reversed(_ORDER):
        process = _running(lab.plane, name)
        if process is not None:
            os.kill(process.pid, signal.SIGTERM)
            wait(lambda process=process: not process.alive, _SECONDS, f"{name} does not stop")
        (lab.plane / f"{name}.pid").unlink(missing_ok=True)


def _answers(folder: Path, kubectl: Sequence[str | Path]) -> bool:
    """Whether the API is ready and has the namespaces that it begins with, which it makes later.

    Raises LabError if it never will.
    """
    for name in ("etcd", "apiserver"):
        if _running(folder, name) is None:
            raise LabError(f"{name} has ended: see {folder}/{name}.log")
    asked = (("get", "--raw", "/readyz"), ("get", "namespaces", "default", "kube-system"))
    return all(
        subprocess.run([*kubectl, *words], capture_output=True, check=False).returncode == 0
        for words in asked
    )


def ports_of(folder: Path) -> dict[str, int]:
    """Free ports of loopback, the same ones at every start of this plane."""
    known = folder / "ports.json"
    if not known.exists():
        names = ("api", "etcd", "peer", "controller-manager", "scheduler")
        free = filter(_free, random.sample(_PORTS, len(_PORTS)))
        put(known, json.dumps(dict(zip(names, free, strict=False))))
    return json.loads(known.read_text())


def _free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _etcd(folder: Path, client: str, peer: str) -> list[str | Path]:
    return [
        *(
            "--data-dir",
            folder / "etcd",
            "--listen-client-urls",
            client,
            "--advertise-client-urls",
            client,
        ),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
        *("--initial-cluster", f"default={peer}", "--unsafe-no-fsync"),
    ]


def _apiserver(pki: Path, etcd: str, port: int) -> list[str]:
    return [
        f"--etcd-servers={etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--advertise-address=127.0.0.1",
        "--service-cluster-ip-range=10.96.0.0/16",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        "--authorization-mode=Node,RBAC",
        "--enable-bootstrap-token-auth=true",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        "--allow-privileged=true",
    ]


def _running(folder: Path, name: str) -> Process | None:
    pid = folder / f"{name}.pid"
    if not pid.exists():
        return None
    number, started = pid.read_text().split()
    process = Process(int(number), started)
    return process if process.alive else None


def _daemon(folder: Path, name: str, *command: str | Path) -> None:
    if _running(folder, name):
        return
    known = Process.of(detach(folder / f"{name}.log", *command))
    (folder / f"{name}.pid").write_text(f"{known.pid} {known.started}")


def _certificates(pki: Path) -> None:
    if (pki / "sa.pub").exists():
        return
    pki.mkdir(parents=True, exist_ok=True)
    pki.chmod(0o700)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc")
    authority = ("-keyout", "ca.key", "-out", "ca.crt", "-days", "3650", "-subj", "/CN=lab")
    run("openssl", "req", "-x509", *key, *authority, cwd=pki)
    names = "DNS:kubernetes,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:10.96.0.1"
    for name, subject in _USERS.items():
        run(
            *("openssl", "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.crt", "-x509"),
            *("-CA", "ca.crt", "-CAkey", "ca.key", "-days", "365", "-subj", subject),
            *(
                "-addext",
                f"subjectAltName={names}",
                "-addext",
                "extendedKeyUsage=serverAuth,clientAuth",
            ),
            *("-addext", "basicConstraints=critical,CA:false"),
            cwd=pki,
        )
    run("openssl", "genrsa", "-out", "sa.key", "2048", cwd=pki)
    run("openssl", "rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub", cwd=pki)


def _kubeconfig(server: str, pki: Path, user: str) -> str:
    cluster = {"server": server, "certificate-authority": f"{pki}/ca.crt"}
    keys = {"client-certificate": f"{pki}/{user}.crt", "client-key": f"{pki}/{user}.key"}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": user, "user": keys}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        },
        indent=1,
    )
