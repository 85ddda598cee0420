"""Doors into a guest's network namespace."""

import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus_lab_kubernetes.cloud.doors import listen_inside
from isthmus_lab_kubernetes.networks import METADATA

pytestmark = [
    pytest.mark.labs,
    pytest.mark.guests,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
]


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"door-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "del", name], check=True)


def test_a_door_may_be_opened_before_its_address_is_there(namespace: str) -> None:
    (door,) = listen_inside(Path("/run/netns", namespace), [(METADATA, 80)])
    inside = ["nsenter", f"--net=/run/netns/{namespace}"]
    subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
    subprocess.run([*inside, "ip", "addr", "add", f"{METADATA}/32", "dev", "lo"], check=True)
    subprocess.run([*inside, "bash", "-c", f"exec 3<>/dev/tcp/{METADATA}/80"], check=True)
    door.close()
