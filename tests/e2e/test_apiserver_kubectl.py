"""Real kubectl against a listening server: what people do all day, good and bad."""

import asyncio
import json
import os
import re
import shutil
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.apiserver import ApiServer, ServerConfig
from tests.apiserver_client import widget, widget_definition

KUBECTL = shutil.which("kubectl")
pytestmark = [
    pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on PATH"),
    pytest.mark.slow,
]


class Running:
    """A server that listens from a thread of its own, as other programs find it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self.server: ApiServer
        self._loop: asyncio.AbstractEventLoop

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.server = await ApiServer.open(ServerConfig(self._folder, admin_token="admin"))
        self.url, self.ca = self.server.url, self.server.ca_pem
        self.tenant_token = self.server.issue_token("dev", ["devs"])
        self._ready.set()
        await self.server.serve()
        await self.server.close()

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(60)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self.server.stop)
        self._thread.join(60)
        assert not self._thread.is_alive()


class Kubectl:
    """kubectl as one user."""

    def __init__(self, folder: Path, running: Running, token: str) -> None:
        self.folder = folder
        self.more: dict[str, str] = {}
        authority = folder / "ca.crt"
        authority.write_text(running.ca)
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "users": [{"name": "x", "user": {"token": token}}],
            "clusters": [
                {
                    "name": "x",
                    "cluster": {
                        "server": running.url,
                        "certificate-authority": str(authority),
                    },
                }
            ],
        }
        self._kubeconfig = folder / f"{token[:5]}.kubeconfig"
        self._kubeconfig.write_text(yaml.safe_dump(config))

    def environment(self) -> dict[str, str]:
        home = {"HOME": str(self.folder), "KUBECONFIG": str(self._kubeconfig)}
        return {**os.environ, **home, **self.more}

    async def run(self, command: str, stdin: Any = None) -> tuple[int, str]:
        """Exit code and everything that was printed."""
        arguments = [part.strip("'") for part in re.findall(r"'[^']*'|\S+", command)]
        process = await asyncio.create_subprocess_exec(
            KUBECTL or "", *arguments, env=self.environment(), stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        text = b"" if stdin is None else json.dumps(stdin).encode()
        async with asyncio.timeout(60):
            out, _ = await process.communicate(text)
        return process.returncode or 0, out.decode()

    async def __call__(self, command: str, stdin: Any = None) -> str:
        """What was printed by a command that must succeed."""
        code, out = await self.run(command, stdin)
        assert code == 0, f"kubectl {command}\n{out}"
        return out

    async def refused(self, command: str, stdin: Any = None) -> str:
        """What was printed by a command that must fail."""
        code, out = await self.run(command, stdin)
        assert code != 0, f"kubectl {command}\n{out}"
        return out


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Generator[Running]:
    running = Running(tmp_path_factory.mktemp("apiserver"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
async def kubectl(running: Running, tmp_path: Path) -> Kubectl:
    kubectl = Kubectl(tmp_path, running, "admin")
    await kubectl("apply -f -", widget_definition())
    await kubectl("delete widgets --all -n default")
    return kubectl


async def test_apply_and_look(kubectl: Kubectl) -> None:
    assert "created" in await kubectl("apply -f -", widget("a", size=3))
    assert "unchanged" in await kubectl("apply -f -", widget("a", size=3))
    assert "configured" in await kubectl("apply -f -", widget("a", size=4))

    assert (await kubectl("get wd")).split() == ["NAME", "SIZE", "a", "4"]
    assert (await kubectl("get widgets.example.com -o wide")).split()[2] == "COLOR"
    assert yaml.safe_load(await kubectl("get wd a -o yaml"))["spec"]["size"] == 4
    assert await kubectl("get wd a -o jsonpath={.spec.color}") == "red"
    assert "a      4" in await kubectl("get all")
    described = await kubectl("describe wd a")
    assert "Size:   4" in described
    assert "Events:  " in described
    refused = await kubectl.refused("get wd none")
    assert 'Error from server (NotFound): widgets.example.com "none" not found' in refused


async def test_definition_and_object_in_one_file(kubectl: Kubectl) -> None:
    definition = widget_definition()
    definition["spec"]["group"] = "other.example.com"
    definition["metadata"]["name"] = "widgets.other.example.com"
    both = {"apiVersion": "v1", "kind": "List", "items": [definition, widget("x")]}

    out = await kubectl("apply -f -", both)

    assert out.count("created") >= 1
    await kubectl("delete crd widgets.other.example.com")


async def test_server_side_apply_conflicts_and_migration(kubectl: Kubectl) -> None:
    await kubectl("apply -f -", widget("a", size=1))
    out = await kubectl("apply --server-side -f -", widget("a", size=2))
    assert "serverside-applied" in out
    managed = await kubectl("get wd a --show-managed-fields -o jsonpath={.metadata.managedFields}")
    managers = {manager["manager"] for manager in json.loads(managed)}
    assert managers == {"kubectl", "kubectl-last-applied"}
    other = "apply --server-side --field-manager other"
    refused = await kubectl.refused(f"{other} -f -", widget("a", size=3))
    assert "conflict" in refused
    assert ".spec.size" in refused
    await kubectl(f"{other} --force-conflicts -f -", widget("a", size=3))
    assert await kubectl("get wd a -o jsonpath={.spec.size}") == "3"


async def test_change_in_every_way(kubectl: Kubectl) -> None:
    await kubectl("create -f -", widget("a"))
    await kubectl("label wd a team=blue")
    await kubectl("annotate wd a note=hello")
    await kubectl("""patch wd a --type merge -p '{"spec":{"size":5}}'""")
    await kubectl(
        """patch wd a --type json -p '[{"op":"add","path":"/spec/tags","value":["x"]}]'"""
    )
    status = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    await kubectl(f"patch wd a --type merge --subresource status -p '{status}'")
    await kubectl("wait wd/a --for=condition=Ready --timeout=50s")
    await kubectl("scale wd a --replicas=7")
    found = yaml.safe_load(await kubectl("get wd -l team=blue -o yaml"))["items"][0]
    assert found["metadata"]["annotations"]["note"] == "hello"
    assert found["spec"] == {"size": 5, "color": "red", "tags": ["x"], "replicas": 7}
    await kubectl("label wd a team-")
    assert await kubectl("get wd -l team -o name") == ""
    assert await kubectl("get wd --field-selector spec.color=red -o name") != ""

    code, out = await kubectl.run("diff -f -", widget("a", size=9))
    assert code == 1
    assert "+  size: 9" in out
    await kubectl("replace -f -", widget("a", size=9))
    assert await kubectl("get wd a -o jsonpath={.spec.size}") == "9"
    refused = await kubectl.refused("""patch wd a --type merge -p '{"spec":{"size":"x"}}'""")
    assert "spec.size: Invalid value" in refused


async def test_edit(kubectl: Kubectl, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/size: 1$/size: 6/' \"$1\"\n")
    editor.chmod(0o755)
    await kubectl("create -f -", widget("a"))

    os.environ["KUBE_EDITOR"] = str(editor)
    try:
        assert "edited" in await kubectl("edit wd a")
    finally:
        del os.environ["KUBE_EDITOR"]
    assert await kubectl("get wd a -o jsonpath={.spec.size}") == "6"


async def test_explain_and_resources(kubectl: Kubectl) -> None:
    explained = await kubectl("explain wd.spec --recursive")
    assert "size\t<integer> -required-" in explained
    assert "ENUM:\n    red\n    green" in await kubectl("explain wd.spec.color")
    assert "finalizers" in await kubectl("explain wd.metadata")
    assert "roleRef" in await kubectl("explain rolebinding --recursive")
    resources = await kubectl("api-resources --verbs=list -o name")
    assert {"widgets.example.com", "secrets", "leases.coordination.k8s.io"} <= {*resources.split()}
    assert "example.com/v1" in await kubectl("api-versions")
    assert "Server Version: v1.32" in await kubectl("version")
    assert json.loads(await kubectl("get --raw /apis/example.com/v1"))["kind"] == "APIResourceList"


async def test_what_is_not_served(kubectl: Kubectl) -> None:
    group = "admissionregistration.k8s.io/v1"
    hook = {
        "apiVersion": group,
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "a"},
    }
    unknown = f'no matches for kind "ValidatingWebhookConfiguration" in version "{group}"'
    assert unknown in await kubectl.refused("apply -f -", hook)
    assert unknown in await kubectl.refused("apply --server-side -f -", hook)
    assert "workloads" in await kubectl.refused("create deployment a --image=b")
    pod = 'no matches for kind "Pod" in version "v1"'
    assert pod in await kubectl.refused("run a --image=b")
    for command in ("rollout status deploy/a", "get apiservices", "get flowschemas"):
        assert "the server doesn't have a resource type" in await kubectl.refused(command)


async def test_clients_that_know_openapi_v2_only(kubectl: Kubectl) -> None:
    """They ask for the whole API in protobuf, and read every definition of it."""
    old = "--output plaintext-openapiv2"
    explained = await kubectl(f"explain wd.spec --recursive {old}")
    assert "size\t<integer>" in explained
    assert "ports\t<[]Object>" in explained
    assert "finalizers" in await kubectl(f"explain wd.metadata {old}")
    assert "roleRef" in await kubectl(f"explain rolebinding --recursive {old}")
    modern = "explain events --api-version=events.k8s.io/v1"
    assert "deprecatedCount" in await kubectl(f"{modern} {old}")
    assert 'field "none" does not exist' in await kubectl.refused(f"explain wd.spec.none {old}")


async def test_merging_by_openapi_v2(kubectl: Kubectl) -> None:
    """kubectl finds the keys of lists in it, as it did before 1.30."""
    kubectl.more = {"KUBECTL_OPENAPIV3_PATCH": "false"}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "v2"}}
    await kubectl("apply -f -", {**account, "imagePullSecrets": [{"name": "a"}, {"name": "b"}]})
    await kubectl("label sa v2 by=hand")
    await kubectl("apply -f -", {**account, "imagePullSecrets": [{"name": "b"}]})

    found = json.loads(await kubectl("get sa v2 -o json"))
    assert found["imagePullSecrets"] == [{"name": "b"}]
    assert found["metadata"]["labels"] == {"by": "hand"}
    await kubectl("delete sa v2")


async def test_built_in_kinds(kubectl: Kubectl) -> None:
    await kubectl("create ns team")
    await kubectl("create secret generic s --from-literal=password=hunter2 -n team")
    await kubectl("create cm c --from-literal=a=b -n team")
    await kubectl("create sa robot -n team")
    token = (await kubectl("create token robot -n team")).strip()
    assert "serviceaccount:team:robot" in await kubectl(f"auth whoami --token={token}")
    assert await kubectl("get secret s -n team -o jsonpath={.data.password}") == "aHVudGVyMg=="
    assert "hunter2" not in await kubectl("describe secret s -n team")
    assert "password:  7 bytes" in await kubectl("describe secret s -n team")
    await kubectl('patch cm c -n team -p \'{"data":{"a":"c"}}\'')
    assert await kubectl("get cm c -n team -o jsonpath={.data.a}") == "c"
    await kubectl("create role r -n team --verb=get,list --resource=widgets.example.com")
    await kubectl("create rolebinding b -n team --role=r --user=dev")
    await kubectl("create clusterrole cr --verb=get --resource=namespaces")
    await kubectl("create clusterrolebinding cb --clusterrole=cr --group=devs")
    assert "Role/r" in await kubectl("get rolebinding -n team")
    assert "widgets.example.com" in await kubectl("describe role r -n team")
    await kubectl("delete ns team --timeout=50s")
    await kubectl("delete clusterrole/cr clusterrolebinding/cb")
    assert "NotFound" in await kubectl.refused("get ns team")


async def test_events_are_described(kubectl: Kubectl) -> None:
    await kubectl("create -f -", widget("a"))
    uid = await kubectl("get wd a -o jsonpath={.metadata.uid}")
    reference = {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "namespace": "default",
        "name": "a",
        "uid": uid,
    }
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "a."},
        "involvedObject": reference,
        "reason": "Painted",
        "message": "red it is",
        "type": "Normal",
        "source": {"component": "painter"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 1,
    }
    await kubectl("create -f -", event)

    assert "red it is" in await kubectl("describe wd a")
    assert "Painted" in await kubectl("get events")
    assert "Painted" in await kubectl("events --for widget.example.com/a")


async def test_watch_shows_changes_as_they_come(kubectl: Kubectl) -> None:
    await kubectl("create -f -", widget("a", size=1))
    process = await asyncio.create_subprocess_exec(
        KUBECTL or "", "get", "wd", "-w", env=kubectl.environment(),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            # Only what it has listed says that it watches what comes after that.
            lines = [(await process.stdout.readline()).split() for _ in range(2)]
            await kubectl("""patch wd a --type merge -p '{"spec":{"size":2}}'""")
            await kubectl("create -f -", widget("b", size=3))
            lines += [(await process.stdout.readline()).split() for _ in range(2)]
    finally:
        process.kill()
        await process.wait()

    assert lines == [[b"NAME", b"SIZE"], [b"a", b"1"], [b"a", b"2"], [b"b", b"3"]]


async def test_deletion_waits_for_finalizers(kubectl: Kubectl) -> None:
    held = widget("a")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await kubectl("create -f -", held)
    await kubectl("delete wd a --wait=false")
    waiting = asyncio.create_task(kubectl("wait --for=delete wd/a --timeout=50s"))
    await kubectl("""patch wd a --type merge -p '{"metadata":{"finalizers":null}}'""")
    await waiting
    await kubectl.refused("get wd a")


async def test_unknown_fields_are_refused_as_on_a_cluster(kubectl: Kubectl) -> None:
    refused = await kubectl.refused("create -f -", widget("a", odd=1))
    assert 'unknown field "spec.odd"' in refused
    warned = await kubectl("create --validate=warn -f -", widget("a", odd=1))
    assert 'Warning: unknown field "spec.odd"' in warned


async def test_tenant(kubectl: Kubectl, running: Running, tmp_path: Path) -> None:
    tenant = Kubectl(tmp_path, running, running.tenant_token)
    await kubectl("apply -f -", {"apiVersion": "v1", "kind": "Namespace",
                                 "metadata": {"name": "mine"}})  # fmt: skip
    await kubectl("create role r -n mine --verb=get,list,watch,create,patch --resource=widgets")
    await kubectl("create rolebinding b -n mine --role=r --user=dev")

    await tenant("apply -n mine -f -", widget("a"))
    assert "Forbidden" in await tenant.refused("apply -n default -f -", widget("a"))
    assert "Forbidden" in await tenant.refused("get wd -A")
    assert "Forbidden" in await tenant.refused("delete wd a -n mine")
    assert "yes" in await tenant("auth can-i create widgets -n mine")
    assert "no" in await tenant.refused("auth can-i create widgets -n default")
    assert "widgets.example.com" in await tenant("auth can-i --list -n mine")
    assert "dev" in await tenant("auth whoami")
    assert "yes" in await kubectl("auth can-i get widgets -n mine --as dev")
    assert "Forbidden" in await tenant.refused("get ns --as admin")
    await kubectl("delete ns mine --timeout=50s")


async def test_wrong_token_and_wrong_authority(running: Running, tmp_path: Path) -> None:
    stranger = Kubectl(tmp_path, running, "stranger")
    out = await stranger.refused("get ns")
    assert "Unauthorized" in out or "must be logged in" in out
    running_config = (tmp_path / "ca.crt").read_text()
    (tmp_path / "ca.crt").write_text(running_config.replace("M", "N", 3))
    assert "certificate" in await stranger.refused("get ns")
