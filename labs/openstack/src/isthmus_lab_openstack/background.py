"""A lab in the background, seen from outside: start and end it, look at it, give it orders."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

from isthmus_lab_openstack import databases, packages
from isthmus_lab_openstack.configuration.common import identity_url
from isthmus_lab_openstack.processes import marked, serves
from isthmus_lab_openstack.programs import apis
from isthmus_lab_openstack.settings import HOST, PASSWORD, REGION, LabError, Settings

_UP_SECONDS = 1800
"""The first start of all migrates ten databases, on whatever machine this is."""
_ORDER_SECONDS = 600
_LOG_LINES = 100


def up(lab: Settings, arguments: list[str]) -> str:
    """Start a lab unless one runs, and return its ready line. Raises LabError."""
    if ready := _ready(lab):
        return ready
    lab.state.mkdir(parents=True, exist_ok=True)
    log = lab.state / "serve.log"
    with log.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "isthmus_lab_openstack", "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + _UP_SECONDS
    while time.monotonic() < deadline:
        if ready := _ready(lab):
            return ready
        if child.poll() is not None:
            raise LabError(f"it ended at once:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.5)
    raise LabError(f"not up after {_UP_SECONDS} s; see {log}")


def prepare(lab: Settings, arguments: list[str]) -> str:
    """Bring programs and databases into the cache: labs to come are up soon. Raises LabError."""
    packages.home().mkdir(parents=True, exist_ok=True)
    with (packages.home() / "prepare.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if packages.installed() and databases.copy_folder(lab).exists():
            return "the cache has everything"
        up(lab, arguments)
        return reset(lab)


def down(lab: Settings) -> str:
    """End the lab; fine where none runs."""
    pid = _supervisor(lab)
    if pid is None:
        return "no lab runs there"
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    while _supervisor(lab) == pid:
        time.sleep(0.2)
    return f"down in {time.monotonic() - began:.1f} s"


def reset(lab: Settings) -> str:
    """End the lab and remove everything that it keeps."""
    text = down(lab)
    for child in lab.state.iterdir():
        if child.is_dir():
            shutil.rmtree(child)
        else:
            child.unlink()
    return f"{text}; state removed"


def order(lab: Settings, verb: str, names: list[str]) -> str:
    """Let the lab's supervisor stop, kill, start or restart processes. Raises LabError."""
    if _supervisor(lab) is None:
        raise LabError("no lab runs there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(_ORDER_SECONDS)
        caller.connect(str(lab.run / "orders.sock"))
        caller.sendall(json.dumps({"verb": verb, "names": names}).encode())
        answer = json.loads(caller.recv(65536))
    if "error" in answer:
        raise LabError(answer["error"])
    return f"{verb}: {' '.join(answer['done'])}"


def status(lab: Settings) -> tuple[str, bool]:
    """Return a table of the processes, and whether all is well."""
    programs = {program.name: program for program in apis(lab, packages.binaries())}
    lines: list[str] = []
    healthy, total = _supervisor(lab) is not None, 0.0
    files = sorted(lab.run.glob("*.pid"), key=lambda file: file.stat().st_mtime)
    for file in files:
        pid, name = int(file.read_text()), file.stem
        alive = Path(f"/proc/{pid}").exists()
        health = ""
        if name in programs:
            health = "serves" if serves(programs[name]) else "does not answer"
        healthy = healthy and alive and health != "does not answer"
        lines.append(f"{name:20} {'up' if alive else 'DEAD':5} pid {pid:>8}  {health}")
    for pid in marked(lab.state):
        total += _memory_megabytes(pid)
    return "\n".join([*lines, f"memory (PSS) {total:.0f} MB"]), healthy and bool(files)


def env(lab: Settings) -> str:
    """Shell exports for the project demo."""
    values = {
        "OS_CLIENT_CONFIG_FILE": str(lab.clouds),
        "OS_CLOUD": "lab",
        "OS_AUTH_URL": identity_url(lab),
        "OS_USERNAME": "demo",
        "OS_PASSWORD": PASSWORD,
        "OS_PROJECT_NAME": "demo",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": REGION,
        "OS_IDENTITY_API_VERSION": "3",
        "no_proxy": f"{HOST},localhost",
    }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join([*lines, f'export PATH={packages.binaries()}:"$PATH"'])


def logs(lab: Settings, name: str) -> str:
    """The end of a process's log. Raises LabError where there is none."""
    file = lab.log / f"{name}.log"
    if not file.exists():
        raise LabError(f"no log of {name}; there are {sorted(f.stem for f in lab.log.iterdir())}")
    with file.open(errors="replace") as lines:
        return "".join(deque(lines, _LOG_LINES)).rstrip()


def _ready(lab: Settings) -> str:
    file = lab.run / "ready.json"
    return file.read_text().strip() if file.exists() and _supervisor(lab) else ""


def _supervisor(lab: Settings) -> int | None:
    """The process that holds the state folder's lock."""
    lock = lab.state / "lock"
    if not lock.exists():
        return None
    found = re.search(rf"FLOCK .* (\d+) \S+:{lock.stat().st_ino} ", Path("/proc/locks").read_text())
    return int(found[1]) if found else None


def _memory_megabytes(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0
