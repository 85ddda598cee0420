"""What a guest is asked to be: values, as they come on the command line or from a cloud."""

import base64
import ipaddress
from dataclasses import asdict, dataclass, field
from typing import Any

from isthmus_lab_kubernetes.settings import NEWEST, LabError


@dataclass(frozen=True)
class Port:
    """A guest's network card: which network its cable leads to, and what DHCP would tell it."""

    id: str
    network: str
    mac: str
    addresses: tuple[str, ...]
    """With their prefix lengths: 10.0.0.5/24."""
    gateway: str = ""
    mtu: int = 1500
    routes: tuple[tuple[str, str], ...] = ()
    """Destination and next hop."""

    @property
    def tap(self) -> str:
        """The name of the cable's end at the network's bridge, as Neutron's agents name it."""
        return f"tap{self.id[:11]}"

    @classmethod
    def read(cls, data: dict[str, Any]) -> "Port":
        """Make a port of its JSON form."""
        return cls(
            id=data["id"],
            network=data["network"],
            mac=data["mac"],
            addresses=tuple(data["addresses"]),
            gateway=data.get("gateway") or "",
            mtu=data.get("mtu") or 1500,
            routes=tuple((item[0], item[1]) for item in data.get("routes", ())),
        )


@dataclass(frozen=True)
class Machine:
    """A guest's flavor, image and cards, and the files of its config drive."""

    id: str
    hostname: str
    ports: tuple[Port, ...] = ()
    memory_mib: int = 0
    cpus: float = 0
    release: str = NEWEST
    drive: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """The config drive's files by path, as OpenStack lays them out; its metadata service's, too."""
    config_drive: bool = True
    """Whether it has the drive, or must ask the metadata service, which needs a cloud's agent."""
    volume: str = ""
    """The folder that keeps its root, made if need be; empty: the root goes with the guest."""

    @classmethod
    def read(cls, data: dict[str, Any]) -> "Machine":
        """Make a machine of its JSON form, where the drive's files are base64.

        Raises:
            LabError: The name cannot be a guest's.
        """
        if not data["id"].replace("-", "").isalnum():
            raise LabError(f"{data['id']!r}: a guest's name has letters, digits and hyphens")
        return cls(
            id=data["id"],
            hostname=data.get("hostname") or data["id"],
            ports=tuple(Port.read(port) for port in data.get("ports", ())),
            memory_mib=int(data.get("memory_mib", 0)),
            cpus=float(data.get("cpus", 0)),
            release=data.get("release") or NEWEST,
            config_drive=bool(data.get("config_drive", True)),
            volume=data.get("volume") or "",
            drive={path: base64.b64decode(text) for path, text in data.get("drive", {}).items()},
        )

    def request(self) -> dict[str, Any]:
        """Return its JSON form, as `read` takes it."""
        drive = {path: base64.b64encode(data).decode() for path, data in self.drive.items()}
        return asdict(self) | {"drive": drive}


def host_of(address: str) -> str:
    """The address without its prefix length."""
    return str(ipaddress.ip_interface(address).ip)
