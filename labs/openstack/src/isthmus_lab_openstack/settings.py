"""What one lab is: its state folder, its ports, which services run and how many hosts are played.

The settings of a lab are kept in its state folder, so that every later call knows them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
REGION = "RegionOne"
PASSWORD = "lab-secret"  # Loopback only, and everybody's: a lab, never a deployment.
PACKAGE = Path(__file__).resolve().parent
PLUGINS = PACKAGE / "plugins"
INSIDE = PACKAGE / "inside"

ESSENTIAL = ("keystone",)
SERVICES = (
    "keystone", "placement", "glance", "neutron", "nova", "cinder", "heat", "magnum", "ironic",
    "octavia",
)  # fmt: skip

STANDARD_PORTS = {
    "keystone": 5000, "placement": 8778, "glance": 9292, "nova": 8774, "neutron": 9696,
    "heat": 8004, "heatcfn": 8000, "cinder": 8776, "magnum": 9511, "ironic": 6385,
    "octavia": 9876, "mysql": 3306, "rabbit": 5672, "rabbitdist": 5671,
    "epmd": 4369, "memcached": 11211,
}  # fmt: skip

PLAYED_METAL = "fake-hardware"
"""Ironic's own hardware type, behind which is nothing."""


class LabError(Exception):
    """The lab cannot do what it was asked; the message says why and what helps."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One lab. Paths are absolute; every port is its standard number plus `port_shift`."""

    state: Path
    port_shift: int = 20000
    computes: int = 2
    """Compute hosts that nova sees; more than one lets servers move."""
    services: tuple[str, ...] = SERVICES
    compute_driver: str = "played.PlayedDriver"
    """Module and class, looked up in `driver_path` and then among the lab's own drivers."""
    driver_path: tuple[Path, ...] = ()
    metal_driver: str = PLAYED_METAL
    """The hardware type of ironic's nodes. One that is not ironic's own has its entry points in a
    folder of `driver_path`, and there deploy and power interfaces of the same name."""
    compute_environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables that nova-compute and ironic see besides their own, for a driver's settings."""

    @property
    def etc(self) -> Path:
        """Configuration files, written anew at each start."""
        return self.state / "etc"

    @property
    def var(self) -> Path:
        """What the services keep: databases, images, keys."""
        return self.state / "var"

    @property
    def run(self) -> Path:
        """Process ids and sockets of the running lab."""
        return self.state / "run"

    @property
    def log(self) -> Path:
        """One log file a process."""
        return self.state / "log"

    @property
    def clouds(self) -> Path:
        """The clouds.yaml with `lab` (project demo) and `lab-admin`."""
        return self.etc / "clouds.yaml"

    @property
    def faults(self) -> Path:
        """The rules of what is to fail; read anew at each request."""
        return self.state / "faults.json"

    def port(self, name: str) -> int:
        """The port of a service, on loopback."""
        return STANDARD_PORTS[name] + self.port_shift

    def url(self, name: str) -> str:
        """The address of an API, without a path."""
        return f"http://{HOST}:{self.port(name)}"

    def has(self, service: str) -> bool:
        """Whether the service runs in this lab."""
        return service in self.services

    def save(self) -> None:
        """Keep the settings in the state folder."""
        text = json.dumps(asdict(self) | {"state": None}, indent=1, default=str)
        fresh = self.state / "settings.new"
        fresh.write_text(text + "\n")
        fresh.replace(self.state / "settings.json")


def cache() -> Path:
    """What is made once for all labs; it lies outside any clone and may be removed at any time."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "isthmus-lab-openstack"


def load(state: Path, **wishes: Any) -> Settings:
    """Return the kept settings of a state folder with `wishes` (None: as before) laid over them.

    Raises:
        LabError: An unknown service is wished for.
    """
    file = state / "settings.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    known = {f.name for f in fields(Settings)}
    values = {name: value for name, value in kept.items() if name in known}
    values |= {name: value for name, value in wishes.items() if value is not None}
    values["state"] = state.resolve()
    values["services"] = _services(values.get("services", SERVICES))
    values["driver_path"] = tuple(Path(p).resolve() for p in values.get("driver_path", ()))
    return Settings(**values)


def _services(wished: Any) -> tuple[str, ...]:
    names = set(wished) | set(ESSENTIAL)
    if unknown := names - set(SERVICES):
        raise LabError(f"unknown services {sorted(unknown)}; known are {', '.join(SERVICES)}")
    return tuple(name for name in SERVICES if name in names)
