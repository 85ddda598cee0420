"""Isthmus' controllers on a real kube-apiserver, with the AWS lab beside: the second home of tests.

``OnCluster`` is driven as ``Sandboxed`` is. Kinds, rights and offerings are applied by kubectl as
they are in the repository, and the controllers have no more than the token of their ServiceAccount.
"""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import yaml

from isthmus import drivers
from isthmus.app.children import dying_with_us
from isthmus.faces.cli import client, kubeconfig
from isthmus.ports import Endpoint
from tests.apiserver_process import reserved_port
from tests.sandboxed import _SOURCES, Json, Sandboxed, ready

ROOT = Path(__file__).parents[1]
SYSTEM = "isthmus-system"
ACCOUNT = "isthmus-controllers"
KINDS = ("servicebindings", "serviceinstances", "operations", "stacks", "providers")
_START_SECONDS = 240


@dataclass(frozen=True)
class Plane:
    """A cluster with our kinds, rights and offerings, and its administrator's kubeconfig."""

    kubeconfig: Path

    def kubectl(self, *words: str, text: str | None = None) -> str:
        done = subprocess.run(
            ["kubectl", *words],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"kubectl {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def install(self) -> None:
        """Do what the documentation says."""
        self.kubectl("apply", "--server-side", "-f", str(ROOT / "deploy/crds"))
        self.kubectl(
            "wait", "--for=condition=Established", "--timeout=60s", "-f", str(ROOT / "deploy/crds")
        )
        for folder in ("deploy/rbac", "deploy/cluster", "catalog/offerings"):
            self.kubectl("apply", "--server-side", "-f", str(ROOT / folder))

    def account(self, file: Path) -> Path:
        """Write a kubeconfig that knows nothing but the token of the controllers' account."""
        token = self.kubectl("create", "token", "-n", SYSTEM, ACCOUNT, "--duration=2h").strip()
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": token}
        file.write_text(yaml.safe_dump(config))
        return file

    def lease(self) -> Json:
        """The Lease's spec; empty where there is none yet."""
        found = self.kubectl("get", "leases", "-n", SYSTEM, "-o", "json")
        leases = [i["spec"] for i in json.loads(found)["items"] if i["metadata"]["name"] == ACCOUNT]
        return leases[0] if leases else {}


@dataclass(kw_only=True)
class OnCluster(Sandboxed):
    """Controllers on a plane; ``start`` and ``stop`` are theirs, the lab goes on meanwhile."""

    plane: Plane
    lease_seconds: int = 15
    simulation: subprocess.Popen[bytes] | None = None
    others: list[subprocess.Popen[bytes]] = field(default_factory=list[Any])

    port: int = 0
    """Of the metrics of the process that ``start`` started."""

    @property
    def kubeconfig(self) -> Path:
        return self.plane.kubeconfig

    @property
    def leader(self) -> int:
        """The process id in the Lease; 0: nobody holds it."""
        holder = self.plane.lease().get("holderIdentity") or ""
        return int(holder.split("_")[-2]) if holder else 0

    def start(self) -> None:
        """Start the lab, unless it runs, and one process of the controllers."""
        if self.simulation is None:
            self._client = self._connect()
            self._simulate()
            self._register()
        with reserved_port() as place:  # Until they listen: nobody else gets it before.
            self.port = place.getsockname()[1]
            self.process = started = self.controllers("--listen", f"127.0.0.1:{self.port}")
            self.until(lambda: self.leader == started.pid, _START_SECONDS, "it leads")
        self.until(self._serves, _START_SECONDS, "the Provider is ready")

    def orphans(self) -> list[Json]:
        """Return what the account holds of ours; the command for it needs the embedded API."""
        return asyncio.run(self._owned())

    async def _owned(self) -> list[Any]:
        provider = self.get("providers", "aws-sandbox", namespace="") or {}
        secret = self.secret("aws-sandbox", SYSTEM) or {}
        system = self._read("/api/v1/namespaces/kube-system") or {}
        endpoint = Endpoint(
            provider="aws-sandbox",
            region=provider["spec"]["region"],
            settings=provider["spec"]["settings"],
            credentials=secret,
            installation=system["metadata"]["uid"],
        )
        async with drivers.load("aws").open(endpoint) as connection:
            return list(await connection.engine.owned())

    def controllers(self, *words: str) -> subprocess.Popen[bytes]:
        """Start one more process of the controllers."""
        config = self.plane.account(self.folder / "account.conf")
        with self.log.open("ab") as output:
            started = subprocess.Popen(
                [
                    *(sys.executable, "-m", "isthmus", "controllers", "--kubeconfig", config),
                    *("--lease-seconds", str(self.lease_seconds), *words),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": _SOURCES},
                preexec_fn=dying_with_us(signal.SIGTERM),
            )
        self.others.append(started)
        return started

    def try_controllers(self, folder: Path, config: str = "") -> subprocess.CompletedProcess[str]:
        """Run controllers that are to end by themselves."""
        config = config or str(self.plane.account(folder / "account.conf"))
        return subprocess.run(
            [sys.executable, "-m", "isthmus", "controllers", "--kubeconfig", config],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "PYTHONPATH": _SOURCES},
        )

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """End all controllers."""
        for process in self.others:
            if process.poll() is None:
                process.send_signal(signum)
                process.send_signal(signal.SIGCONT)
        for process in self.others:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.others.clear()

    def close(self) -> None:
        """End everything, and leave nothing of this test on the plane."""
        self.stop()
        for plural in KINDS:
            for obj in self.all(plural):
                name, where = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
                place = ("-n", where) if where else ()
                free = '{"metadata":{"finalizers":null}}'
                kind = f"{plural}.isthmus.dev"
                self.plane.kubectl(
                    "delete", kind, name, *place, "--wait=false", "--ignore-not-found"
                )
                if self._read(obj_path(plural, where, name)) is not None:
                    self.plane.kubectl("patch", kind, name, *place, "--type=merge", "-p", free)
        if self._client is not None:
            self._client.close()
        if self.simulation is not None:
            self.simulation.terminate()
            self.simulation.wait(30)

    def shown(self) -> str:
        """Everything that users, operators and logs are shown, but no Secret."""
        shown = [json.dumps(self.all(plural)) for plural in KINDS]
        events = self.call("GET", "/api/v1/events")
        metrics = httpx2.get(f"http://127.0.0.1:{self.port}/metrics").text
        assert "isthmus_driver_call_seconds" in metrics
        lab = (self.data_dir / "lab-aws" / "lab.log").read_text()
        return "\n".join([*shown, json.dumps(events), metrics, self.log.read_text(), lab])

    def _serves(self) -> bool:
        return ready(self.get("providers", "aws-sandbox", namespace=""))

    def _connect(self) -> httpx2.Client:
        target = kubeconfig.load(str(self.kubeconfig))
        return httpx2.Client(
            base_url=target.server, verify=client.tls(target), trust_env=False, timeout=30
        )

    def _simulate(self) -> None:
        state = self.lab_ready.parent
        state.mkdir(parents=True)
        with (state / "lab.log").open("wb") as output:
            self.simulation = subprocess.Popen(
                [
                    *(sys.executable, "-m", "isthmus_lab_aws", "--state", state, "--no-lint"),
                    *("--port-file", self.lab_ready, "--scale", self.scale),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": _SOURCES},
                preexec_fn=dying_with_us(signal.SIGTERM),
            )
        self.until(self.lab_ready.exists, _START_SECONDS, "the lab is ready")

    def _register(self) -> None:
        """Make the Provider and its Secret, as an administrator would."""
        told = json.loads(self.lab_ready.read_text())
        keys = json.loads(Path(told["credentials"]).read_text())["accounts"][told["accounts"][0]]
        authority = Path(self.lab("health")["certificateAuthority"]).read_text()
        values = {
            "access-key-id": keys["access_key_id"],
            "secret-access-key": keys["secret_access_key"],
        }
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "aws-sandbox", "namespace": SYSTEM},
            "data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()},
        }
        provider = {
            "apiVersion": "isthmus.dev/v1alpha1",
            "kind": "Provider",
            "metadata": {"name": "aws-sandbox", "labels": {"isthmus.dev/simulated": "true"}},
            "spec": {
                "driver": "aws",
                "region": "us-east-1",
                "adoptionSelector": {},
                "credentialsSecret": {"namespace": SYSTEM, "name": "aws-sandbox"},
                "settings": {"endpointUrl": told["url"], "databaseCaBundle": authority},
            },
        }
        for obj in (secret, provider):
            self.plane.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(obj))


def obj_path(plural: str, namespace: str, name: str) -> str:
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/isthmus.dev/v1alpha1{place}/{plural}/{name}"


@contextmanager
def on_cluster(folder: Path, plane: Plane, **options: Any) -> Iterator[OnCluster]:
    """Run the controllers on a plane, with a lab of their own."""
    home = OnCluster(folder=folder, plane=plane, **options)
    try:
        home.start()
        home.namespace("shop")
        yield home
    finally:
        home.close()
