"""What a new cloud holds: users and a catalog, then flavors, images, a public network, machines.

The work is done by programs that run in the lab's own environment, where openstacksdk is.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from isthmus_lab_openstack import packages
from isthmus_lab_openstack.processes import environment
from isthmus_lab_openstack.settings import INSIDE, PASSWORD, LabError, Settings

REGISTER = INSIDE / "register.py"
SEED = INSIDE / "seed.py"


def catalog(lab: Settings) -> list[tuple[str, str, str]]:
    """Return (service, type, address) of everything that clients find in keystone's catalog."""
    url = lab.url
    entries = [
        ("keystone", "identity", url("keystone") + "/v3"),
        ("placement", "placement", url("placement")),
        ("glance", "image", url("glance")),
        ("nova", "compute", url("nova") + "/v2.1"),
        ("neutron", "network", url("neutron")),
        ("cinder", "block-storage", url("cinder") + "/v3/%(project_id)s"),
        ("heat", "orchestration", url("heat") + "/v1/%(project_id)s"),
        ("heat", "cloudformation", url("heatcfn") + "/v1"),
        ("magnum", "container-infra", url("magnum") + "/v1"),
        ("ironic", "baremetal", url("ironic")),
        ("octavia", "load-balancer", url("octavia")),
    ]
    return [entry for entry in entries if lab.has(entry[0])]


def register(lab: Settings) -> None:
    """Make roles, domains, projects, users and the catalog; keystone must serve."""
    users = [name for name in lab.services if name != "keystone"]
    _run(lab, REGISTER, {"password": PASSWORD, "catalog": catalog(lab), "users": users})


def seed(lab: Settings) -> None:
    """Make what tests start from, and wait until every service says that it is up."""
    facts = {"computes": lab.computes, "metalDriver": lab.metal_driver}
    _run(lab, SEED, {"services": list(lab.services), **facts})


def _run(lab: Settings, program: Path, facts: dict[str, Any]) -> None:
    done = subprocess.run(
        [str(packages.binaries() / "python"), str(program)],
        input=json.dumps(facts),
        text=True,
        capture_output=True,
        env=environment(lab, packages.binaries()),
    )
    (lab.log / f"{program.stem}.log").write_text(done.stdout + done.stderr)
    if done.returncode:
        raise LabError(f"{program.stem} failed:\n{done.stderr[-3000:]}")
