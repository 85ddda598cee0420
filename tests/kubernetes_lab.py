"""Guests of labs/kubernetes for the product's tests: what this machine lacks, and their image.

A test that asks for `guest_cloud` has an OpenStack lab whose servers boot guests if their image
says so. It bears the marks `ON_OPENSTACK`.
"""

import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.children import dying_with_us
from isthmus_lab_kubernetes import building, cgroups
from isthmus_lab_kubernetes.guests import Guest, guests
from isthmus_lab_kubernetes.settings import NEWEST, RELEASES, Lab
from tests.openstack_lab import OpenStackLab, until
from tests.time_limit import UNTIL

FLAVOR = "m1.guest"
_LAB = Path(__file__).parents[1] / "labs" / "kubernetes"
_OPENSTACK = _LAB / "openstack"
_DOWN_SECONDS = 300
ON_OPENSTACK = (
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.guests,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:openstack"),  # openstacksdk's own.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # As above.
)
"""Marks of tests that need an OpenStack lab and real Kubernetes, guests or a plane."""
DRIVERS = (_OPENSTACK / "nova", _OPENSTACK / "ironic")


def image_name(minor: str = NEWEST) -> str:
    """The name of the image whose guests have this Kubernetes version inside."""
    return f"lab-guest-{minor}"


@contextmanager
def kept(folder: Path) -> Iterator[Lab]:
    """A lab of which nothing is left after the block, not even when this process is killed."""
    command = [sys.executable, "-m", "isthmus_lab_kubernetes", "--state", str(folder), "keep"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_LAB / "src")},
        preexec_fn=dying_with_us(signal.SIGTERM),
        start_new_session=True,  # Ctrl-C is for the tests, which are to end first.
    ) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline(), "it has ended, and says why on standard error"
        try:
            yield Lab(folder)
        finally:
            keeper.terminate()
            assert keeper.wait(_DOWN_SECONDS) == 0


@dataclass(frozen=True)
class GuestCloud:
    """An OpenStack lab whose servers may be guests."""

    openstack: OpenStackLab

    @property
    def lab(self) -> Lab:
        """The guests' lab: folders, names on the host."""
        return Lab(self.openstack.state / "guests")

    def guest(self, server: str) -> Guest:
        """The guest that is a server, by the server's id."""
        return Guest(self.lab, server)

    def guests(self) -> list[Guest]:
        """All of them."""
        return guests(self.lab)

    def left_on_the_host(self) -> list[str]:
        """Guests' things that this host has: none, seconds after the last guest has gone."""
        tag = f"il{self.lab.tag}"
        spaces = [str(path) for path in Path("/run/netns").glob(f"{tag}-*")]
        groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{tag}*")]
        mounts = Path("/proc/mounts").read_text().splitlines()
        ours = [line for line in mounts if str(self.lab.state) in line]
        return spaces + groups + ours + [guest.name for guest in self.guests()]

    def prepare(self, minor: str = NEWEST, name: str = "") -> str:
        """Build a Kubernetes version if need be, and make its image and the flavor.

        Returns the image's name, which is `image_name`'s unless another is given.
        """
        if reason := why_no_plane(minor):
            pytest.skip(reason)
        building.release(minor)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openstacksdk's own, about itself.
            return self._seed(minor, name or image_name(minor))

    def await_metal(self) -> Any:
        """Wait until Nova has taken up Ironic's nodes; the administrator's connection."""
        admin: Any = self.openstack.connect("lab-admin")
        nodes = {node.id for node in admin.baremetal.nodes()}
        until(lambda: {host.name for host in admin.compute.hypervisors()}, nodes.issubset, 180)
        return admin

    def _seed(self, minor: str, name: str) -> str:
        admin: Any = self.openstack.connect("lab-admin")
        if FLAVOR not in {flavor.name for flavor in admin.compute.flavors()}:
            admin.compute.create_flavor(name=FLAVOR, ram=2560, vcpus=2, disk=10, is_public=True)
        if not list(admin.image.images(name=name)):
            admin.image.create_image(
                name=name,
                data=b"A guest's root comes from the lab's cache.",
                disk_format="raw",
                container_format="bare",
                visibility="public",
                os_distro="lab-guest",
                kubernetes_version=RELEASES[minor],
            )
        return name


def why_no_plane(minor: str = NEWEST) -> str:
    """Why no control plane can run here; empty if one can, though it may have to be compiled."""
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if not building.built(minor) and os.environ.get(UNTIL):
        return f"Kubernetes {minor} is not compiled yet, and time is limited ({UNTIL})"
    if not building.built(minor) and go is None:
        return "Kubernetes is compiled here, and there is no Go on PATH"
    return "" if shutil.which("openssl") else "there is no openssl on PATH"


def why_no_guests(minor: str = NEWEST) -> str:
    """Why no guest can boot here; empty if one can."""
    if reason := why_no_plane(minor):
        return reason
    if os.geteuid() != 0:
        return "guests need root"
    if not cgroups.supported():
        return "guests need the cgroup controllers mounted as version 1"
    if missing := building.missing_packages():
        return f"not installed: {' '.join(missing)} (labs/install-packages.sh)"
    return ""


def lab_options() -> list[str]:
    """What makes an OpenStack lab boot guests, on metal too, where this machine can boot any."""
    if why_no_guests():
        return []
    paths = [word for folder in DRIVERS for word in ("--driver-path", str(folder))]
    return ["--compute-driver", "guests.GuestDriver", "--metal-driver", "lab-guest", *paths]


@pytest.fixture
def guest_cloud(openstack_lab: OpenStackLab) -> GuestCloud:
    """The session's OpenStack lab, with the image and flavor of guests."""
    if reason := why_no_guests():
        pytest.skip(reason)
    cloud = GuestCloud(openstack_lab)
    cloud.prepare()
    return cloud
