"""Isthmus with its sandbox as a process of its own, driven over its API, for end-to-end tests."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import Any

import httpx2
import yaml

from isthmus.app.children import dying_with_us

Json = dict[str, Any]
_ROOT = Path(__file__).parents[1]
_SOURCES = os.pathsep.join(str(_ROOT / part) for part in ("src", "labs/aws/src"))
_START_SECONDS = 240
_STOP_SECONDS = 60
PATIENCE = 300.0
"""Seconds that a step of a life may take on a busy machine."""
_HOPELESS = {"ApprovalRequired", "Forbidden", "AlreadyExists"}
GROUP = "/apis/isthmus.dev/v1alpha1"
_SHOWN = ("providers", "serviceinstances", "servicebindings", "stacks", "operations")


@dataclass(kw_only=True)
class Sandboxed:
    """One installation; it can be killed and started again on the same state."""

    folder: Path
    scale: str = "0"
    process: subprocess.Popen[bytes] | None = None
    _client: httpx2.Client | None = field(default=None, repr=False)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def lab_ready(self) -> Path:
        """The file that the lab writes once it is ready."""
        return self.data_dir / "lab-aws" / "ready.json"

    @property
    def log(self) -> Path:
        return self.folder / "up.log"

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "kubeconfig"

    # --- life ---

    def start(self) -> None:
        """Start it and wait until its lab and its Provider are ready."""
        self.kubeconfig.unlink(missing_ok=True)
        former = self._lab_says()
        command = [sys.executable, "-m", "isthmus", "up", "--sandbox", "--port", "0"]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--data-dir", self.data_dir, "--lab-scale", self.scale],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": _SOURCES},
                preexec_fn=dying_with_us(signal.SIGTERM),
            )
        self._client = None
        # What was ready before a kill still says so, while the lab starts its databases again.
        self.until(lambda: self._lab_says() not in ("", former), _START_SECONDS, "the lab is ready")
        self.until(self._serves, _START_SECONDS, "the Provider is ready")

    def _lab_says(self) -> str:
        """What the lab wrote when it was ready: with its process id, so never twice the same."""
        try:
            return self.lab_ready.read_text()
        except FileNotFoundError:
            return ""

    @property
    def _lab_url(self) -> str:
        return json.loads(self.lab_ready.read_text())["url"]

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """End it; SIGKILL is the power cut."""
        assert self.process is not None
        if self._client is not None:
            self._client.close()
        if self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _serves(self) -> bool:
        if not self.kubeconfig.exists():
            return False
        if self._client is None:
            self._client = self._connect()
        try:
            provider = self.get("providers", "aws-sandbox", namespace="")
        except httpx2.TransportError:
            return False
        # Until it is told the new lab's address it leads to the one that was killed, where anybody
        # may listen now.
        settings = provider["spec"]["settings"] if provider is not None else {}
        return ready(provider) and settings["endpointUrl"] == self._lab_url

    def _connect(self) -> httpx2.Client:
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context: SSLContext = create_default_context(cadata=authority)
        headers = {"Authorization": f"Bearer {user['token']}"}
        return httpx2.Client(
            base_url=cluster["server"], headers=headers, verify=context, trust_env=False, timeout=30
        )

    # --- objects ---

    def call(self, method: str, path: str, body: Json | None = None, **headers: str) -> Json:
        """Call the API; a refusal is an error."""
        assert self._client is not None
        answer = self._client.request(method, path, json=body, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def apply(self, kind: str, name: str, spec: Json, namespace: str = "shop") -> None:
        """Create it, or replace its spec."""
        obj = {
            "apiVersion": "isthmus.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        }
        self.call(
            "PATCH",
            f"{path_of(kind.lower() + 's', namespace)}/{name}?fieldManager=test&force=true",
            obj,
            **{"content-type": "application/apply-patch+yaml"},
        )

    def namespace(self, name: str) -> None:
        """Create a namespace, unless it is there."""
        assert self._client is not None
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        answer = self._client.post("/api/v1/namespaces", json=body)
        assert answer.status_code in (201, 409), answer.text

    def get(self, plural: str, name: str, namespace: str = "shop") -> Json | None:
        """Return an object of ours, or None."""
        return self._read(f"{path_of(plural, namespace)}/{name}")

    def all(self, plural: str, namespace: str = "") -> list[Json]:
        """Return objects of ours, of all namespaces by default."""
        return self.call("GET", path_of(plural, namespace))["items"]

    def secret(self, name: str, namespace: str = "shop") -> dict[str, str] | None:
        """Return a Secret's values, decoded, or None."""
        found = self._read(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        if found is None:
            return None
        return {k: base64.b64decode(v).decode() for k, v in found.get("data", {}).items()}

    def annotate(self, plural: str, name: str, namespace: str = "shop", **values: Any) -> None:
        """Set annotations; the keys are given without our group."""
        annotations = {f"isthmus.dev/{k.replace('_', '-')}": v for k, v in values.items()}
        self.call(
            "PATCH",
            f"{path_of(plural, namespace)}/{name}",
            {"metadata": {"annotations": annotations}},
            **{"content-type": "application/merge-patch+json"},
        )

    def delete(self, plural: str, name: str, namespace: str = "shop") -> None:
        """Ask for a deletion; absent is fine."""
        assert self._client is not None
        answer = self._client.delete(f"{path_of(plural, namespace)}/{name}")
        assert answer.status_code in (200, 202, 404), answer.text

    def shown(self) -> str:
        """Return everything that users, operators and logs are shown, but no Secret."""
        paths = [path_of(p, "") for p in _SHOWN] + ["/api/v1/events", "/metrics"]
        assert self._client is not None
        pages = [self._client.get(path) for path in paths]
        assert all(page.is_success for page in pages), [page.status_code for page in pages]
        lab = (self.data_dir / "lab-aws" / "lab.log").read_text()
        return "\n".join([*(page.text for page in pages), self.log.read_text(), lab])

    def _read(self, path: str) -> Json | None:
        assert self._client is not None
        answer = self._client.get(path)
        if answer.status_code == 404:
            return None
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    # --- waiting ---

    def until(self, holds: Callable[[], object], seconds: float, what: str) -> None:
        """Ask again until it holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert self.process is None or self.process.poll() is None, self.tail()
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.tail()}"
            time.sleep(0.1)

    def until_ready(self, plural: str, name: str, seconds: float = PATIENCE) -> Json:
        """Wait until an object is ready, and return it."""

        def is_ready() -> bool:
            found = self.get(plural, name)
            assert condition(found).get("reason") not in _HOPELESS, "somebody must act first"
            return ready(found)

        try:
            self.until(is_ready, seconds, f"{plural}/{name} is ready")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.state_of(plural, name)}") from None
        found = self.get(plural, name)
        assert found is not None
        return found

    def until_gone(self, plural: str, name: str, seconds: float = PATIENCE) -> None:
        """Wait until an object is gone."""
        try:
            self.until(lambda: self.get(plural, name) is None, seconds, f"{plural}/{name} is gone")
        except AssertionError as exc:
            raise AssertionError(f"{exc}\n{self.state_of(plural, name)}") from None

    def state_of(self, plural: str, name: str) -> str:
        """Return conditions of an object and of the Stack of its name, for messages."""
        found = [self.get(p, name) for p in (plural, "stacks")]
        conditions = [(o or {}).get("status", {}).get("conditions") for o in found]
        return json.dumps(conditions, indent=1)

    def tail(self) -> str:
        return self.log.read_text()[-3000:]

    # --- the command line and the lab ---

    def isthmus(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the command line against it."""
        done = subprocess.run(
            [sys.executable, "-m", "isthmus", *words],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": _SOURCES,
                "KUBECONFIG": str(self.kubeconfig),
                "ISTHMUS_DATA_DIR": str(self.data_dir),
                "COLUMNS": "200",
                "NO_COLOR": "1",
            },
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def lab(self, page: str, document: Any = None) -> Any:
        """Read or set one of the lab's pages."""
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self._lab_url}/_lab/{page}", data=data)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def faults(self, *rules: Json) -> None:
        """Put fault rules in force instead of the present ones."""
        self.lab("faults", {"rules": list(rules)})

    def orphans(self) -> list[Json]:
        """Return what ``isthmus orphans`` finds."""
        found = json.loads(self.isthmus("orphans", "-o", "json").stdout)
        return found if isinstance(found, list) else found.get("items", found.get("orphans"))

    def left_in_lab(self, before: Any) -> Any:
        """Return what the lab holds now and did not hold before."""
        return difference(before, self.lab("state"))


def path_of(plural: str, namespace: str) -> str:
    return f"{GROUP}/namespaces/{namespace}/{plural}" if namespace else f"{GROUP}/{plural}"


def ready(obj: Json | None) -> bool:
    """Whether Ready is true for the spec as it is now."""
    if obj is None:
        return False
    found = condition(obj)
    generation = obj["metadata"].get("generation")
    return found.get("status") == "True" and found.get("observedGeneration") == generation


def condition(obj: Json | None, kind: str = "Ready") -> Json:
    """Return a condition, or an empty one."""
    conditions = (obj or {}).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


def difference(before: Any, after: Any) -> Any:
    """Return what is in ``after`` and not in ``before``, for nested objects and lists."""
    if isinstance(after, dict) and isinstance(before, dict):
        more = {k: difference(before.get(k), v) for k, v in after.items()}
        return {k: v for k, v in more.items() if v}
    if isinstance(after, list) and isinstance(before, list):
        return [item for item in after if item not in before]
    return after if after != before else None


@contextmanager
def sandboxed(folder: Path, scale: str = "0") -> Iterator[Sandboxed]:
    """Run Isthmus with its sandbox; leaving the block ends both."""
    home = Sandboxed(folder=folder, scale=scale)
    try:
        home.start()
        home.namespace("shop")
        yield home
    finally:
        home.stop()
