"""Guests: systemd as PID 1, a root and a network namespace of its own, a flavor's cgroup."""

import json
import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isthmus_lab_kubernetes import building, cgroups, networks
from isthmus_lab_kubernetes.commands import detach, put, run, wait
from isthmus_lab_kubernetes.machines import Machine, Port, host_of
from isthmus_lab_kubernetes.processes import Process, first_of_a_namespace
from isthmus_lab_kubernetes.settings import Lab, LabError

_INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances"), 8192
"""Every guest's systemd and kubelet take of it; the kernel's 128 are used up by six guests."""
_OWN = ("containerd", "kubelet", "etcd")
"""Folders of /var/lib that lie beside the root: an overlay cannot carry containerd's overlays."""

_PATIENCE = "datasource: {OpenStack: {max_wait: 240, timeout: 30, retries: 8}}"
"""For cloud-init: else one slow answer of a busy host means a guest without user data."""

_SECONDS = 120
"""How long a busy host may take for what it does at once."""


class Guest:
    """One guest by its name; its folder knows all, so any process may command it."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.name = lab, name
        self.home = lab.guests / name
        self.root, self.drive = self.home / "root", self.home / "config-drive"
        self._record = self.home / "guest.json"
        self._cgroup = f"il{lab.tag}-{name}"

    @property
    def facts(self) -> dict[str, Any]:
        """What was written when it was made or started; empty if there is no such guest."""
        try:
            return json.loads(self._record.read_text())
        except FileNotFoundError:
            return {}

    @property
    def exists(self) -> bool:
        """True once it has been made, running or not."""
        return self._record.exists()

    @property
    def ports(self) -> tuple[Port, ...]:
        """Its network cards in order."""
        return tuple(Port.read(port) for port in self.facts.get("ports", ()))

    @property
    def address(self) -> str:
        """The first address of its first card."""
        return host_of(self.ports[0].addresses[0])

    @property
    def leader(self) -> int | None:
        """Its PID 1, seen from the host; None while it is off."""
        nspawn = self._process()
        # Before it there is a helper of nspawn's, which is in the host's root for a moment.
        return next(filter(first_of_a_namespace, nspawn.children), None) if nspawn else None

    def create(self, machine: Machine) -> None:
        """Make it, switched off, from the image of its Kubernetes version.

        Raises:
            LabError: It exists.
        """
        if self.exists:
            raise LabError(f"guest {self.name} exists")
        built = building.release(machine.release)
        self.root.mkdir(parents=True, exist_ok=True)
        for folder in ("upper", "work", *_OWN):
            kept = Path(machine.volume or self.home, folder)
            kept.mkdir(parents=True, exist_ok=True)
            if machine.volume:
                (self.home / folder).symlink_to(kept)
        self.write_drive(machine.drive)
        source = "ConfigDrive" if machine.config_drive else "OpenStack"
        text = f"datasource_list: [{source}]\n{_PATIENCE}\n"
        put(self.home / "upper/etc/cloud/cloud.cfg.d/99-lab.cfg", text)
        self._write(
            name=self.name,
            hostname=machine.hostname,
            ports=[asdict(port) for port in machine.ports],
            memory_mib=machine.memory_mib,
            cpus=machine.cpus,
            release=machine.release,
            layers=[str(layer) for layer in built.layers],
            images=str(built.images),
            config_drive=machine.config_drive,
        )

    def write_drive(self, files: dict[str, bytes]) -> None:
        """Write its config drive anew; its cloud-init reads it at the next start."""
        shutil.rmtree(self.drive, ignore_errors=True)
        self.drive.mkdir(parents=True)
        for inside, content in files.items():
            target = self.drive / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    def resize(self, memory_mib: int, cpus: float) -> None:
        """Give it another flavor, at once if it runs."""
        self._write(memory_mib=memory_mib, cpus=cpus)
        if self.leader:
            cgroups.make(self._cgroup, memory_mib, cpus)

    def plug(self, port: Port) -> None:
        """Add a network card, at once if it runs."""
        if any(known.id == port.id for known in self.ports):
            return
        if self.leader:
            card = f"eth{len(self.ports)}"
            networks.plug(self.lab, self.lab.namespace("vm", self.name), card, port)
        self._write(ports=[asdict(known) for known in (*self.ports, port)])

    def unplug(self, port: str) -> None:
        """Take a network card away, at once if it runs."""
        for known in self.ports:
            if known.id == port:
                networks.unplug(self.lab, known)
        self._write(ports=[asdict(known) for known in self.ports if known.id != port])

    def start(self) -> None:
        """Boot it; nothing if it runs.

        Raises:
            LabError: It did not start; the message names its console.
        """
        if self.leader:
            return
        facts, former = self.facts, self._process()
        if not facts:
            raise LabError(f"there is no guest {self.name}")
        if former:  # It holds the root a moment longer than its leader lives.
            wait(lambda: not former.alive, _SECONDS, f"guest {self.name} does not go off")
        setting, enough = _INOTIFY
        if int(setting.read_text()) < enough:
            setting.write_text(str(enough))
        self._mount(facts["layers"])
        namespace = networks.power_on(self.lab, self.name, self.ports)
        if not facts["config_drive"]:
            self._await_doors(namespace)
        groups = cgroups.make(self._cgroup, facts["memory_mib"], facts["cpus"])
        # In its cgroups before nspawn makes its cgroup namespace: that separates the guests.
        enter = "; ".join(f"echo $$ > {group}/cgroup.procs" for group in groups)
        command = ["bash", "-c", f'{enter}; exec "$@"', "guest", *self._nspawn(facts, namespace)]
        nspawn = Process.of(detach(self.home / "console.log", *command))
        self._write(nspawn=[nspawn.pid, nspawn.started])
        wait(
            lambda: self.leader is not None,
            _SECONDS,
            f"guest {self.name} did not start: see {self.home}/console.log",
        )

    def stop(self, grace_seconds: float = 25) -> None:
        """Shut it down; after `grace_seconds` its power is pulled."""
        nspawn = self._process()
        if not self.leader or nspawn is None:
            return
        with suppress(ProcessLookupError):  # It has just ended by itself.
            os.kill(nspawn.pid, signal.SIGTERM)
        try:
            wait(lambda: not nspawn.alive, grace_seconds, "")
        except LabError:
            self.kill()

    def kill(self) -> None:
        """Pull its power."""
        nspawn = self._process()
        if nspawn is None or not nspawn.alive:
            return
        with suppress(ProcessLookupError):  # It has just ended by itself.
            os.kill(self.leader or nspawn.pid, signal.SIGKILL)
        wait(lambda: not nspawn.alive, _SECONDS, f"guest {self.name} does not stop")

    def delete(self) -> None:
        """Remove it with its root, cables and cgroups; nothing if there is no such guest."""
        self.kill()
        for port in self.ports:
            networks.unplug(self.lab, port)
        networks.remove_namespace(self.lab.namespace("vm", self.name))
        if os.path.ismount(self.root):
            run("umount", "-l", self.root)
        wait(self._empty, _SECONDS, f"processes of guest {self.name} do not end")
        cgroups.remove(self._cgroup)
        wait(self._removed, _SECONDS, f"{self.home} cannot be removed")

    def command(self, words: Sequence[str]) -> list[str]:
        """The host's command that runs `words` inside it.

        Raises:
            LabError: It is off.
        """
        if self.leader is None:
            raise LabError(f"guest {self.name} is not running")
        return ["nsenter", "-t", str(self.leader), "-m", "-u", "-i", "-n", "-p", "-C", "--", *words]

    def console(self) -> str:
        """What it has written to its console since it was made, and what cloud-init said."""
        texts = [self.home / "console.log", self.home / "upper/var/log/cloud-init-output.log"]
        return "".join(path.read_text(errors="replace") for path in texts if path.exists())

    def doors_opened(self, namespace: int) -> None:
        """Note that the metadata service answers in the namespace with this inode."""
        with suppress(FileNotFoundError):  # It has been deleted meanwhile.
            (self.home / "doors").write_text(str(namespace))

    def _await_doors(self, namespace: str) -> None:
        """Its cloud-init asks the metadata service once: begin when that answers."""
        number, noted = str(os.stat(f"/run/netns/{namespace}").st_ino), self.home / "doors"
        wait(
            lambda: noted.exists() and noted.read_text() == number,
            _SECONDS,
            f"guest {self.name} has no config drive, and no agent gives it metadata",
        )

    def _process(self) -> Process | None:
        known = self.facts.get("nspawn")
        return Process(known[0], known[1]) if known else None

    def _empty(self) -> bool:
        return cgroups.empty(self._cgroup)

    def _removed(self) -> bool:
        # The agent may have noted its doors in there just now: then there is a next time.
        shutil.rmtree(self.home, ignore_errors=True)
        return not self.home.exists()

    def _write(self, **changes: object) -> None:
        written = self._record.with_suffix(".new")
        put(written, json.dumps({**self.facts, **changes}, indent=1))
        written.rename(self._record)

    def _mount(self, layers: list[str]) -> None:
        if not os.path.ismount(self.root):
            options = (
                f"lowerdir={':'.join(layers)},upperdir={self.home}/upper,workdir={self.home}/work"
            )
            run("mount", "-t", "overlay", "overlay", "-o", options, self.root)

    def _nspawn(self, facts: dict[str, Any], namespace: str) -> list[str]:
        binds = [f"--bind={self.home}/{name}:/var/lib/{name}" for name in _OWN]
        return [
            # Entered from outside: nspawn's own option would leave it the /sys of the host's cards.
            *("nsenter", f"--net=/run/netns/{namespace}", "--"),
            "systemd-nspawn",
            f"--directory={self.root}",
            f"--machine={self._cgroup[:60]}",
            f"--hostname={facts['hostname']}",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--capability=all",
            "--system-call-filter=add_key keyctl bpf perf_event_open @mount",
            *binds,
            f"--bind-ro={facts['images']}:/images",
            f"--bind-ro={building.mirror()}:/mirror",
            *([f"--bind-ro={self.drive}:/config-drive"] if facts["config_drive"] else []),
            # By this a guest's cloud-init sees that it is a server of OpenStack.
            "--setenv=product_name=OpenStack Nova",
            "--bind=/dev/kmsg",
            "--bind=/proc/sys:/proc/sys",
            "--resolv-conf=off",
            "--console=pipe",
            "--kill-signal=SIGRTMIN+3",
        ]


def guests(lab: Lab) -> list[Guest]:
    """Every guest of the lab, running or not, by name."""
    if not lab.guests.exists():
        return []
    return [Guest(lab, path.name) for path in sorted(lab.guests.iterdir()) if path.is_dir()]
