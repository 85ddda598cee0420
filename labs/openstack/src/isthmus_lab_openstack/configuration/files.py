"""Puts every service's files into the state folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from isthmus_lab_openstack.configuration import (
    core,
    infrastructure,
    neutron,
    nova,
    octavia,
    others,
)
from isthmus_lab_openstack.configuration.common import Files
from isthmus_lab_openstack.settings import Settings

_FILES: dict[str, Callable[[Settings, Path], Files]] = {
    "keystone": core.keystone,
    "placement": core.placement,
    "glance": core.glance,
    "neutron": neutron.neutron,
    "nova": nova.nova,
    "cinder": others.cinder,
    "heat": others.heat,
    "magnum": others.magnum,
    "ironic": others.ironic,
    "octavia": octavia.octavia,
}
_FOLDERS = ("keystone", "glance/images", "glance/staging", "glance/tasks", "rabbit/mnesia")


def all_files(lab: Settings, venv: Path) -> Files:
    """Return the text of every file, by its path below `etc`."""
    files = infrastructure.infrastructure(lab)
    for service in lab.services:
        files |= _FILES[service](lab, venv)
    return files


def write(lab: Settings, venv: Path) -> None:
    """Write the files, and make the folders that services expect to find."""
    for path, text in all_files(lab, venv).items():
        file = lab.etc / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        (lab.var / file.parent.name).mkdir(parents=True, exist_ok=True)
    for folder in (*_FOLDERS, "rabbit/config"):
        (lab.var / folder).mkdir(parents=True, exist_ok=True)
    (lab.log / "rabbit").mkdir(parents=True, exist_ok=True)
