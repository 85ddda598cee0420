"""Runs one lab in the foreground: brings it up in order, takes orders, ends it in order."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import IO, Any

from isthmus_lab_openstack import databases, keeper, packages, ports, seeding
from isthmus_lab_openstack.configuration import files
from isthmus_lab_openstack.processes import Processes, reap
from isthmus_lab_openstack.programs import apis, daemons, infrastructure
from isthmus_lab_openstack.settings import LabError, Settings

PATIENCE_SECONDS = 300
"""How long all services together may take to serve; the machine may be shared."""
_ORDER_BYTES = 65536


class _Stopped(BaseException):
    """Somebody asked the lab to end."""


class Supervisor:
    """One running lab."""

    def __init__(self, lab: Settings) -> None:
        self.lab = lab
        self.processes = Processes(lab, packages.binaries())
        self._began = time.monotonic()
        self._stages: dict[str, float] = {}

    def bring_up(self) -> None:
        """Start everything, in order; idempotent. Raises LabError."""
        lab, processes, binaries = self.lab, self.processes, packages.binaries()
        with self._stage("install"):
            packages.install(lab)
        files.write(lab, binaries.parent)
        with self._stage("databases"):
            self._databases()
        services = apis(lab, binaries)
        with self._stage("services"):
            processes.start(*services, *daemons(lab, binaries))
            processes.wait(processes.programs.values(), PATIENCE_SECONDS)
        with self._stage("seed"):
            seeding.seed(lab)
        ready = {"seconds": time.monotonic() - self._began, "stages": self._stages}
        (lab.run / "ready.json").write_text(json.dumps(self.facts() | ready) + "\n")

    def _databases(self) -> None:
        lab, processes = self.lab, self.processes
        fresh = databases.prepare(lab)
        basis = infrastructure(lab)
        processes.start(*basis)
        processes.wait(basis, PATIENCE_SECONDS)
        if fresh:
            databases.make(lab)
            keystone = apis(lab, packages.binaries())[:1]
            processes.start(*keystone)
            processes.wait(keystone, PATIENCE_SECONDS)
            seeding.register(lab)
            processes.stop(["keystone-api", "mysql"])
            databases.keep_copy(lab)
            processes.start(*basis)
            processes.wait(basis, PATIENCE_SECONDS)
        databases.settle(lab)

    def facts(self) -> dict[str, Any]:
        """What a caller needs in order to use the lab; the ready line."""
        lab = self.lab
        return {
            "url": lab.url("keystone") + "/v3",
            "pid": os.getpid(),
            "clouds": str(lab.clouds),
            "state": str(lab.state),
            "portShift": lab.port_shift,
            "services": list(lab.services),
            "openstack": str(packages.binaries() / "openstack"),
        }

    def take_orders(self, listener: socket.socket) -> None:
        """Serve orders until a signal ends the lab."""
        while True:
            select.select([listener], [], [])
            with listener.accept()[0] as caller:
                caller.settimeout(10)
                try:
                    order = json.loads(caller.recv(_ORDER_BYTES))
                    answer = {"done": self.obey(order["verb"], order["names"])}
                except (LabError, ValueError, KeyError, OSError) as error:
                    answer = {"error": str(error)}
                with contextlib.suppress(OSError):
                    caller.sendall(json.dumps(answer).encode())

    def obey(self, verb: str, names: list[str]) -> list[str]:
        """Stop, kill, start or restart processes by name. Raises LabError for an unknown one."""
        known = self.processes.programs
        if unknown := set(names) - set(known):
            raise LabError(f"unknown processes {sorted(unknown)}; known are {', '.join(known)}")
        if verb in ("stop", "kill", "restart"):
            self.processes.stop(names, kill=verb == "kill")
        if verb in ("start", "restart"):
            programs = [known[name] for name in names]
            self.processes.start(*programs)
            self.processes.wait(programs, PATIENCE_SECONDS)
        return names

    def take_down(self) -> None:
        """End everything, the basis last."""
        basis = ["rabbit", "memcached", "mysql", "epmd"]
        running = self.processes.running()
        self.processes.stop([name for name in running if name not in basis])
        self.processes.stop(basis)
        reap(self.lab.state)
        (self.lab.run / "ready.json").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Generator[None]:
        began = time.monotonic()
        yield
        self._stages[name] = round(time.monotonic() - began, 1)


def serve(lab: Settings, announce: IO[str]) -> None:
    """Run the lab until SIGTERM or SIGINT; writes one JSON line once it is ready.

    Raises:
        LabError: It runs already, or does not come up.
    """
    for folder in (lab.state, lab.etc, lab.var, lab.run, lab.log):
        folder.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    with _only_one(lab.state):
        reap(lab.state)
        _forget_processes(lab)
        shift, lock = ports.reserve(lab.port_shift)
        lab = replace(lab, port_shift=shift)
        lab.save()
        with lock:
            _run(lab, announce)


def _run(lab: Settings, announce: IO[str]) -> None:
    watch = keeper.start(lab.state)
    supervisor = Supervisor(lab)
    try:
        # Orders may come as soon as the lab says that it is ready; those before that wait.
        with _listen(lab) as listener:
            supervisor.bring_up()
            announce.write(json.dumps(supervisor.facts()) + "\n")
            announce.flush()
            supervisor.take_orders(listener)
    except _Stopped:
        pass
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        supervisor.take_down()
        assert watch.stdin is not None
        watch.stdin.close()
        watch.wait()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stopped


def _listen(lab: Settings) -> socket.socket:
    address = lab.run / "orders.sock"
    address.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(address))
    listener.listen(8)
    return listener


@contextlib.contextmanager
def _only_one(state: Path) -> Generator[None]:
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"a lab runs in {state} already") from None
        yield


def _forget_processes(lab: Settings) -> None:
    for file in lab.run.iterdir():
        file.unlink()
