"""Backup, restore and a new key, by the commands, of an Isthmus that runs and one that does not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from isthmus.app.children import dying_with_us

ROOT = Path(__file__).parents[2]
NAMESPACE = "\n".join(
    ["apiVersion: v1", "kind: Namespace", "metadata: {name: kept}", "---", "apiVersion: v1",
     "kind: Secret", "metadata: {name: s, namespace: kept}", "stringData: {password: hunter2}"]
)  # fmt: skip


def isthmus(*words: str | Path, folder: Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "isthmus", *words],
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src", "ISTHMUS_DATA_DIR": str(folder),
             "HOME": str(folder), "KUBECONFIG": str(folder / "kubeconfig")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def up(folder: Path) -> Generator[None]:
    log = folder.with_name(f"{folder.name}.log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "isthmus", "up", "--port", "0", "--data-dir", folder],
            env={**os.environ, "PYTHONPATH": f"{ROOT}/src"},
            stdout=output, stderr=subprocess.STDOUT,
            preexec_fn=dying_with_us(signal.SIGTERM),
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 100
        while "isthmus is ready" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_backup_restore_and_a_new_key(tmp_path: Path) -> None:
    home, again = tmp_path / "home", tmp_path / "again"
    manifest = tmp_path / "kept.yaml"
    manifest.write_text(NAMESPACE)
    with up(home):
        isthmus("apply", "-f", manifest, folder=home)
        isthmus("backup", tmp_path / "one", "--keys", tmp_path / "keys", folder=home)
        said = isthmus("backup", tmp_path / "one", folder=home, code=2)
        assert "exists; name a new file" in said
        assert "are encrypted with a new key" in isthmus("rotate-key", folder=home)
        assert "is in use by process" in isthmus("restore", tmp_path / "one", folder=home, code=6)
    isthmus("backup", tmp_path / "two", "--keys", tmp_path / "keys2", folder=home)
    assert "are encrypted with a new key" in isthmus("rotate-key", folder=home)

    said = isthmus("restore", tmp_path / "one", "--keys", tmp_path / "keys2", folder=again, code=3)
    assert "the key file is not the one of" in said
    said = isthmus("restore", tmp_path / "two", "--keys", tmp_path / "keys2", folder=home, code=3)
    assert "exists; name an empty folder" in said
    isthmus("restore", tmp_path / "one", "--keys", tmp_path / "keys", folder=again)
    with up(again):
        answer = isthmus("get", "secret", "s", "-n", "kept", "-o", "json", folder=again)
        assert "aHVudGVyMg==" in answer
