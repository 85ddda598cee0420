"""A cloud's servers as guests: what the drivers of its services, for VMs and for metal, share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isthmus_lab_kubernetes.cloud import orders
from isthmus_lab_kubernetes.guests import Guest
from isthmus_lab_kubernetes.machines import Machine
from isthmus_lab_kubernetes.settings import NEWEST, Lab

DISTRIBUTION = "lab-guest"
"""What the property `os_distro` of an image says whose servers are guests."""


def release(image: Mapping[str, Any]) -> str:
    """The Kubernetes version, 1.36, inside of what boots this image; empty: it stays played.

    Args:
        image: The image's properties.
    """
    if image.get("os_distro") != DISTRIBUTION:
        return ""
    wished = str(image.get("kubernetes_version") or NEWEST)
    return ".".join(wished.removeprefix("v").split(".")[:2])


@dataclass(frozen=True)
class Server:
    """One server of the cloud by its id; unless it has been booted here it is a played one."""

    id: str

    @property
    def guest(self) -> Guest:
        """Its guest, which exists or not."""
        return Guest(Lab(orders.STATE), self.id)

    def boot(self, machine: Machine, *, power_on: bool = True) -> None:
        """Make its guest, in place of a former one, and boot it unless it shall be off.

        Raises:
            LabError: It does not boot.
        """
        self.order("delete")
        orders.order(["boot" if power_on else "make", "--request"], machine.request())

    def order(self, verb: str, *options: object, request: object = None) -> None:
        """Command its guest; nothing if the server is none.

        Raises:
            LabError: The command failed.
        """
        if self.guest.exists:
            orders.order([verb, self.id, *map(str, options)], request)
