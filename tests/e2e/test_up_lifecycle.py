"""``isthmus up`` as a process: start, refuse, keep what people edited, stop, die."""

import json
import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest

from tests.installation import Installation, isthmus, up, wait_for

READY_SECONDS = 2
"""What a machine with nothing else to do needs; a busy one may take several times as long."""
GENEROUS = 4
MEMORY_MIB = 150


def resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_ready_soon_and_small(tmp_path):
    with up(tmp_path) as home:
        # The kubeconfig, which is waited for, comes a moment before the words.
        wait_for(lambda: "is ready at https://127.0.0.1:" in home.said(), home)
        spent, resident = cpu_seconds(home.process.pid), resident_mib(home.process.pid)
        assert spent < READY_SECONDS * GENEROUS, f"{spent:.1f} s of processor time until ready"
        assert resident < MEMORY_MIB, f"{resident:.0f} MiB"
        assert home.stop(signal.SIGINT) == 0


def test_secrets_of_the_installation_are_private(tmp_path):
    with up(tmp_path) as home:
        assert stat.S_IMODE(home.kubeconfig.stat().st_mode) == 0o600
        assert stat.S_IMODE(home.data_dir.stat().st_mode) & 0o077 in (0, 0o055)
        token = isthmus_token(home)
        assert token not in home.log.read_text()


def isthmus_token(home: Installation) -> str:
    import yaml

    return yaml.safe_load(home.kubeconfig.read_text())["users"][0]["user"]["token"]


def test_a_taken_port_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = isthmus("up", "--port", str(port), "--data-dir", str(tmp_path), code=6)
    assert f"--port: 127.0.0.1:{port} cannot be used" in done.stderr


def test_a_taken_folder_is_named(tmp_path):
    with up(tmp_path) as home:
        done = isthmus("up", "--port", "0", "--data-dir", str(home.data_dir), code=6)
        assert f"is in use by process {home.process.pid}" in done.stderr


def test_a_missing_lab_is_named(tmp_path):
    start = tmp_path / "start"
    start.mkdir()
    (start / "sitecustomize.py").write_text(FORGET_THE_LAB)
    path = os.pathsep.join([str(start), str(Path(__file__).parents[2] / "src")])
    words = ("up", "--sandbox", "--data-dir", str(tmp_path / "data"), "--port", "0")
    done = isthmus(*words, code=2, PYTHONPATH=path)
    assert "the AWS lab is not installed here" in done.stderr


FORGET_THE_LAB = """
import sys
sys.path = [path for path in sys.path if not path.rstrip("/").endswith("labs/aws/src")]
"""
"""Python runs this at its start: it takes out what an editable installation put in."""


def test_an_edited_offering_is_kept_and_a_removed_one_comes_back(tmp_path):
    with up(tmp_path) as home:
        assert "sqs" in home.run("catalog", "list").stdout
        edited = home.json("get", "offering/sqs")
        edited["spec"]["title"] = "Queue of our own"
        home.run("apply", "--force-conflicts", "-f", "-", stdin=json.dumps(_bare(edited)))
        home.run("delete", "offering/sns", "--timeout", "30")
    with up(tmp_path) as home:
        assert "Queue of our own" in home.run("catalog", "list").stdout
        assert home.run("get", "offering/sns")


def _bare(obj: dict) -> dict:
    """As a person would have it in a file."""
    head = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
    return head | {"metadata": {"name": obj["metadata"]["name"]}, "spec": obj["spec"]}


def test_a_second_start_writes_nothing(tmp_path):
    with up(tmp_path) as home:
        wait_for(lambda: all_ready(home), home)
        before = versions(home)
    with up(tmp_path) as home:
        assert versions(home) == before


def all_ready(home: Installation) -> bool:
    rows = home.json("get", "offerings")["items"]
    return all(row.get("status", {}).get("conditions") for row in rows)


def versions(home: Installation) -> dict[str, str]:
    return {
        item["metadata"]["name"]: item["metadata"]["resourceVersion"]
        for kind in ("crd", "clusterroles", "offerings")
        for item in home.json("get", kind)["items"]
        if "isthmus" in item["metadata"]["name"] or kind == "offerings"
    }


def children_of(pid: int) -> list[int]:
    file = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in file.read_text().split()] if file.exists() else []


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pids: list[int], within: float = 60) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_the_lab_ends_with_us(tmp_path, signum):
    pytest.importorskip("ministack", reason="the AWS lab is not installed")
    with up(tmp_path, "--sandbox") as home:
        wait_for(lambda: "sandbox: Provider" in home.said(), home)
        lab = children_of(home.process.pid)
        assert lab, "the lab is our child"
        labs_own = [child for pid in lab for child in children_of(pid)]
        home.stop(signum)
        assert gone(lab), "the lab outlived us"
        assert gone(labs_own), "a child of the lab outlived it"


def test_what_was_acknowledged_outlives_a_kill(tmp_path):
    with up(tmp_path) as home:
        home.run("apply", "-f", "-", stdin='{"apiVersion": "v1", "kind": "Namespace", '
                 '"metadata": {"name": "kept"}}')  # fmt: skip
        home.stop(signal.SIGKILL)
    with up(tmp_path) as home:
        assert home.run("get", "namespace/kept")
