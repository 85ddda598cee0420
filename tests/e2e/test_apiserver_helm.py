"""Real Helm, 3 and 4, against `isthmus up`: a release's whole life, and what it cannot have."""

import base64
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isthmus_lab_kubernetes import building
from isthmus_lab_kubernetes.settings import HELM
from tests.installation import Installation, a_namespace, a_provider, an_offering, up

CHART = Path(__file__).parents[1] / "clients" / "chart"
WAIT = ("--wait", "--timeout", "120s")
pytestmark = [
    pytest.mark.labs,
    pytest.mark.guests,  # It compiles Helm where that is not in the cache.
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH"),
]


def program(major: str) -> str:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not building.helm_built(major) and go is None:
        pytest.skip("Helm is compiled here, and there is no Go on PATH")
    return str(building.helm(major))


@dataclass(frozen=True)
class Shell:
    """Helm and kubectl in one namespace of one installation."""

    home: Installation
    namespace: str
    major: str

    def ask(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        own = self.home.data_dir.parent
        kept = {"HOME": str(own), "KUBECONFIG": str(self.home.kubeconfig)}
        command = [*words, "--namespace", self.namespace]
        return subprocess.run(
            command, input=given, text=True, capture_output=True, check=False, timeout=300,
            env={**os.environ, **kept},
        )  # fmt: skip

    def run(self, *words: str, given: str = "") -> str:
        done = self.ask(*words, given=given)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def helm(self, *words: str) -> str:
        return self.run(program(self.major), *words)

    def refused(self, *words: str) -> str:
        done = self.ask(program(self.major), *words)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def get(self, *words: str) -> Any:
        return json.loads(self.run("kubectl", "get", *words, "-o", "json"))

    def merge(self, what: str, change: dict[str, Any]) -> None:
        self.run("kubectl", "patch", *what.split("/"), "--type", "merge", "-p", json.dumps(change))

    def names(self, kinds: str) -> set[str]:
        listed = self.run("kubectl", "get", kinds, "-o", "name").split()
        return {name for name in listed if not name.endswith("kube-root-ca.crt")}

    def revisions(self, release: str) -> list[tuple[int, str]]:
        history = json.loads(self.helm("history", release, "-o", "json"))
        return [(entry["revision"], entry["status"]) for entry in history]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with up(tmp_path_factory.mktemp("up")) as installation:
        installation.apply(a_provider(), an_offering())
        yield installation


@pytest.fixture(params=sorted(HELM))
def shell(request: pytest.FixtureRequest, home: Installation) -> Shell:
    """A namespace of the test's own; what a test leaves there disturbs nobody."""
    program(request.param)
    name = f"helm{request.param}-{request.function.__name__.replace('_', '-')}"[:60]
    home.apply(a_namespace(name), wait=False)
    return Shell(home, name, request.param)


def test_life_of_a_release(shell: Shell) -> None:
    said = shell.helm("install", "a", str(CHART), *WAIT)
    assert "a is served by Kubernetes v1." in said
    if shell.major == "4":  # Helm 3 waits for built-in kinds only.
        (ready,) = (
            condition["status"]
            for condition in shell.get("serviceinstance", "a-db")["status"]["conditions"]
            if condition["type"] == "Ready"
        )
        assert ready == "True"
    assert shell.get("crate", "a")["spec"]["label"] == "fragile"
    assert {"configmap/a-pre-install"} <= shell.names("configmap")
    assert "configmap/a-gone" not in shell.names("configmap"), "its policy deletes it"
    key = shell.get("secret", "a-key")["data"]

    shell.merge("configmap/a-colors", {"data": {"mine": "kept"}})
    shell.merge("crate/a", {"spec": {"owner": "somebody"}})
    changes = ("--set", "weight=2,size=3,tags={b,c},colors.back=null")
    shell.helm("upgrade", "a", str(CHART), *changes, *WAIT)

    assert shell.get("configmap", "a-colors")["data"] == {
        "front": "red", "mine": "kept", "revision": "2",
    }  # fmt: skip
    spec = {"label": "fragile", "owner": "somebody", "tags": ["b", "c"], "weight": 2}
    assert shell.get("crate", "a")["spec"] == spec
    assert shell.get("serviceinstance", "a-db")["spec"]["parameters"] == {"size": 3}
    assert shell.get("secret", "a-key")["data"] == key, "lookup finds what is there"
    assert "Succeeded" in shell.helm("test", "a")

    shell.helm("rollback", "a", "1", *WAIT)

    assert shell.get("configmap", "a-colors")["data"] == {
        "front": "red", "back": "green", "mine": "kept", "revision": "1",
    }  # fmt: skip
    assert shell.get("crate", "a")["spec"] == spec | {"tags": ["a", "b"], "weight": 1}
    assert shell.revisions("a") == [(1, "superseded"), (2, "superseded"), (3, "deployed")]
    assert [r["name"] for r in json.loads(shell.helm("list", "-o", "json"))] == ["a"]
    assert "a-db" in shell.helm("get", "manifest", "a")
    assert "STATUS: deployed" in shell.helm("status", "a")

    shell.helm("uninstall", "a", *WAIT)

    assert shell.names("secret,crate,serviceinstance,servicebinding,role,rolebinding") == set()
    assert shell.names("configmap") == {
        f"configmap/a-{hook}" for hook in ("pre-install", "post-upgrade", "pre-rollback", "test")
    }, "Helm leaves its hooks"
    assert shell.names("crd") >= {
        "customresourcedefinition.apiextensions.k8s.io/crates.example.com"
    }


def test_release_is_kept_in_secrets(shell: Shell) -> None:
    shell.helm("install", "a", str(CHART))

    (kept,) = shell.get("secret", "--field-selector", "type=helm.sh/release.v1")["items"]

    assert kept["metadata"]["name"] == "sh.helm.release.v1.a.v1"
    assert kept["metadata"]["labels"]["owner"] == "helm"
    inner = base64.b64decode(base64.b64decode(kept["data"]["release"]))
    assert json.loads(gzip.decompress(inner))["info"]["status"] == "deployed"


def test_kinds_that_are_not_served_fail_clearly(shell: Shell) -> None:
    shell.helm("install", "a", str(CHART))
    wanted = 'no matches for kind "Deployment" in version "apps/v1"'

    assert wanted in shell.refused("install", "b", str(CHART), "--set", "deployment=true")
    assert wanted in shell.refused("upgrade", "a", str(CHART), "--set", "deployment=true")

    assert shell.revisions("a") == [(1, "deployed")]
    assert "crate.example.com/b" not in shell.names("crate")


def test_refused_value_fails_the_upgrade_and_a_rollback_heals_it(shell: Shell) -> None:
    shell.helm("install", "a", str(CHART))

    said = shell.refused("upgrade", "a", str(CHART), "--set", "weight=0")

    assert "spec.weight: Invalid value: 0" in said
    assert shell.revisions("a") == [(1, "deployed"), (2, "failed")]
    shell.helm("rollback", "a", "1")
    assert shell.revisions("a")[-1] == (3, "deployed")
    assert shell.get("crate", "a")["spec"]["weight"] == 1


def test_hand_made_change_of_a_value_of_the_chart(shell: Shell) -> None:
    """Helm 3 merges three ways and wins; Helm 4 applies on the server, and asks first."""
    shell.helm("install", "a", str(CHART))
    shell.merge("configmap/a-colors", {"data": {"front": "blue"}})
    upgrade = ("upgrade", "a", str(CHART), "--set", "colors.front=white")

    if shell.major == "4":
        said = shell.refused(*upgrade)
        assert 'conflict with "kubectl-patch"' in said
        assert ".data.front" in said
        upgrade = (*upgrade, "--force-conflicts")
    shell.helm(*upgrade)

    assert shell.get("configmap", "a-colors")["data"]["front"] == "white"


def test_release_of_helm_3_goes_on_with_helm_4(home: Installation) -> None:
    home.apply(a_namespace("helm3-to-4"), wait=False)
    three, four = (Shell(home, "helm3-to-4", major) for major in ("3", "4"))
    three.helm("install", "a", str(CHART))

    four.helm("upgrade", "a", str(CHART), "--set", "weight=2", "--server-side=true", *WAIT)

    assert four.revisions("a") == [(1, "superseded"), (2, "deployed")]
    assert four.get("crate", "a")["spec"]["weight"] == 2
    four.helm("uninstall", "a", *WAIT)
    assert four.names("crate,secret,serviceinstance") == set()


@pytest.mark.parametrize("options", [(), ("--server-side",)])
def test_template_piped_to_kubectl(shell: Shell, options: tuple[str, ...]) -> None:
    versions = ("--api-versions", "isthmus.dev/v1alpha1/ServiceInstance")
    text = shell.helm("template", "a", str(CHART), "--no-hooks", "--include-crds", *versions)
    definition, objects = text.split("---\n# Source: shop/templates", 1)
    shell.run("kubectl", "apply", *options, "-f", "-", given=definition)
    objects = "# Source: shop/templates" + objects
    said = shell.run("kubectl", "apply", *options, "-f", "-", given=objects)

    assert said.count("serverside-applied" if options else "created") == 8
    shell.run("kubectl", "wait", "serviceinstance/a-db", "--for=condition=Ready", "--timeout=60s")
    more = objects.replace("weight: 1", "weight: 5")
    shell.run("kubectl", "apply", *options, "-f", "-", given=more)
    assert shell.get("crate", "a")["spec"]["weight"] == 5
    shell.run("kubectl", "delete", "--timeout=60s", "-f", "-", given=objects)
    assert shell.names("crate,secret,serviceinstance,servicebinding") == set()
