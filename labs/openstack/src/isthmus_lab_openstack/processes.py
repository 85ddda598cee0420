"""Starts, watches and ends the lab's processes, so that none outlives the lab.

Every process bears the state folder in its environment: whatever was started by the lab, or by
what the lab started, is found by that mark, however often it forked.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

from isthmus_lab_openstack.programs import Program
from isthmus_lab_openstack.settings import HOST, PLUGINS, LabError, Settings

MARK = "ISTHMUS_OPENSTACK_LAB"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_HEALTHY = (200, 300, 401)
_POLL_SECONDS = 0.3


class Processes:
    """The processes of one lab, as their parent sees them."""

    def __init__(self, lab: Settings, binaries: Path) -> None:
        self.lab = lab
        self.binaries = binaries
        self.programs: dict[str, Program] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *programs: Program) -> None:
        """Start what does not run yet. It may not serve before `wait`."""
        for program in programs:
            self.programs[program.name] = program
            if not self.alive(program.name):
                self._start(program)

    def _start(self, program: Program) -> None:
        # The kernel kills a child whose parent died; uWSGI and the services look after their own.
        command = ["setpriv", "--pdeathsig", "KILL", "--", *map(str, program.command)]
        with (self.lab.log / f"{program.name}.log").open("ab") as log:
            child = subprocess.Popen(
                command,
                env={**environment(self.lab, self.binaries), **program.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.lab.var,
                start_new_session=True,
            )
        self._children[program.name] = child
        (self.lab.run / f"{program.name}.pid").write_text(str(child.pid))

    def alive(self, name: str) -> bool:
        """Whether the process runs."""
        child = self._children.get(name)
        return child is not None and child.poll() is None

    def wait(self, programs: Iterable[Program], seconds: float) -> None:
        """Wait until each one serves.

        Raises:
            LabError: One ended, or does not serve in time.
        """
        deadline = time.monotonic() + seconds
        for program in programs:
            until(lambda p=program: self._serves(p), deadline, program.name)

    def _serves(self, program: Program) -> bool:
        if not self.alive(program.name):
            raise LabError(f"{program.name} ended:\n{tail(self.lab, program.name)}")
        return serves(program)

    def stop(self, names: Iterable[str], *, kill: bool = False) -> None:
        """End processes together, politely at first unless `kill`."""
        chosen = [name for name in names if self.alive(name)]
        for name in chosen:
            self._children[name].send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        for name in chosen:
            child = self._children[name]
            try:
                child.wait(self.programs[name].grace_seconds)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            _kill(_session(child.pid))
            (self.lab.run / f"{name}.pid").unlink(missing_ok=True)

    def running(self) -> list[str]:
        """The names of what runs, in the order of starting."""
        return [name for name in self._children if self.alive(name)]


def environment(lab: Settings, binaries: Path) -> dict[str, str]:
    """What every process of the lab sees: no proxy, no other cloud's log-in, our plug-ins."""
    ours = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("OS_")
        and key.lower() not in _PROXIES
        and key != "PYTHONDONTWRITEBYTECODE"
    }
    return ours | {
        MARK: str(lab.state),
        "PATH": f"{binaries}:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(lab.var),
        "PYTHONPATH": str(PLUGINS),
        "PYTHONUNBUFFERED": "1",
        "ISTHMUS_LAB_FAULTS": str(lab.faults),
        "ISTHMUS_LAB_DRIVER_PATH": ":".join(map(str, (*lab.driver_path, PLUGINS / "compute"))),
        "OS_CLIENT_CONFIG_FILE": str(lab.clouds),
        "no_proxy": f"{HOST},localhost",
        "NO_PROXY": f"{HOST},localhost",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
    }


def until(ready: Callable[[], bool], deadline: float, what: str) -> None:
    """Poll until `ready`, at most to `deadline` of the monotonic clock. Raises LabError."""
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"{what} does not serve in time; see its log")
        time.sleep(_POLL_SECONDS)


def serves(program: Program) -> bool:
    """Whether the program takes calls; one without port and health does as soon as it runs."""
    if program.health:
        return _answers(program.health)
    if not program.port:
        return True
    try:
        socket.create_connection((HOST, program.port), 2).close()
    except OSError:
        return False
    return True


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=20) as answer:
            return answer.status in _HEALTHY
    except urllib.error.HTTPError as error:
        return error.code in _HEALTHY
    except OSError:
        return False


def tail(lab: Settings, name: str, characters: int = 2500) -> str:
    """The end of a process's log."""
    file = lab.log / f"{name}.log"
    return file.read_text(errors="replace")[-characters:] if file.exists() else ""


def marked(state: Path) -> list[int]:
    """Every live process that bears the mark of this state folder, but this one."""
    mark = f"{MARK}={state}\0".encode()
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if mark in (folder / "environ").read_bytes() + b"\0":
                    found.append(int(folder.name))
            except OSError:
                continue  # It has ended, or is not ours to look at.
    return found


def reap(state: Path, *, spare: frozenset[int] = frozenset()) -> None:
    """Kill whatever bears the mark, and look again until nothing does, twice in a row."""
    clean = 0
    for _ in range(20):
        left = [pid for pid in marked(state) if pid not in spare]
        # A process that is just becoming another program has no environment for a moment.
        clean = 0 if left else clean + 1
        if clean == 2:
            return
        _kill(left)
        time.sleep(0.1)


def _session(leader: int) -> list[int]:
    found: list[int] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(folder.name))
    return found


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
