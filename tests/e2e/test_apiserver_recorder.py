"""client-go's recorder of events.k8s.io, which every newer controller of Kubernetes has."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from isthmus_lab_kubernetes import building
from tests.apiserver_listening import Listening

pytestmark = [
    pytest.mark.labs,
    pytest.mark.guests,  # It compiles client-go where that is not in the cache.
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH"),
    pytest.mark.skipif(
        not (shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")),
        reason="the recorder is compiled here, and there is no Go on PATH",
    ),
]


def test_recorder_of_client_go(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"

    def kubectl(*words: str) -> str:
        environment = {**os.environ, "KUBECONFIG": str(kubeconfig), "HOME": str(tmp_path)}
        command = ["kubectl", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    with Listening(tmp_path / "data") as server:
        kubeconfig.write_text(server.kubeconfig())
        command = [str(building.recorder()), str(kubeconfig), "default", "2"]
        recorded = subprocess.run(command, capture_output=True, text=True, check=True, timeout=150)
        modern: Any = json.loads(kubectl("get", "events.events.k8s.io", "-o", "json"))["items"]
        legacy: Any = json.loads(kubectl("get", "events", "-o", "json"))["items"]
        printed = kubectl("events")

    assert recorded.stderr == ""
    (event,) = modern
    assert (event["note"], event["action"], event["type"]) == ("it is blue", "Paint", "Normal")
    assert event["regarding"]["name"] == "a"
    assert event["series"]["count"] == 2, "the second one is a patch of the first"
    assert legacy[0]["message"] == "it is blue"
    assert legacy[0]["metadata"]["uid"] == event["metadata"]["uid"]
    assert "Painted" in printed
    assert "it is blue" in printed
