"""Octavia's API with the lab's provider; there is no worker, so it has no balancers to manage."""

from __future__ import annotations

from pathlib import Path

from isthmus_lab_openstack.configuration.common import (
    Files,
    basics,
    database,
    ini,
    locks,
    log_in,
    token_check,
)
from isthmus_lab_openstack.settings import HOST, REGION, Settings


def octavia(lab: Settings, _venv: Path) -> Files:
    """Load balancers whose address is a port of neutron's, and which forward nothing."""
    client = {"region_name": REGION, "endpoint_type": "publicURL"}
    sections = {
        "DEFAULT": basics(lab, "octavia"),
        "api_settings": {
            "bind_host": HOST,
            "bind_port": lab.port("octavia"),
            "auth_strategy": "keystone",
            "api_base_uri": lab.url("octavia"),
            "enabled_provider_drivers": "isthmus_lab:The lab's balancers",
            "default_provider_driver": "isthmus_lab",
        },
        "database": database(lab, "octavia"),
        "keystone_authtoken": token_check(lab, "octavia", "load-balancer"),
        "service_auth": log_in(lab, "octavia"),
        "controller_worker": {"network_driver": "allowed_address_pairs_driver"},
        "neutron": client,
        "nova": client,
        "glance": client,
        "oslo_concurrency": locks(lab, "octavia"),
    }
    return {"octavia/octavia.conf": ini(sections)}
