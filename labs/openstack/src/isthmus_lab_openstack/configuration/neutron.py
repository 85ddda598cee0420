"""Neutron with the lab's ML2 driver, which binds every port and moves no packet."""

from __future__ import annotations

from pathlib import Path

from isthmus_lab_openstack.configuration.common import (
    MIDDLEWARE,
    RABBIT,
    Files,
    basics,
    database,
    ini,
    locks,
    log_in,
    paste,
    token_check,
)
from isthmus_lab_openstack.settings import Settings

_UNLIMITED = (
    "network", "subnet", "port", "router", "security_group", "security_group_rule", "floatingip",
)  # fmt: skip


def neutron(lab: Settings, venv: Path) -> Files:
    """Networks: vxlan for tenants, flat and vlan for providers; quotas are a test's to set."""
    default = basics(
        lab,
        "neutron",
        core_plugin="ml2",
        service_plugins="router,qos",
        auth_strategy="keystone",
        api_paste_config=paste(venv, "neutron"),
        notify_nova_on_port_status_changes="true",
        notify_nova_on_port_data_changes="true",
        global_physnet_mtu=1500,
        max_allowed_address_pair=200,
    )
    sections = {
        "DEFAULT": default,
        "database": database(lab, "neutron"),
        "keystone_authtoken": token_check(lab, "neutron", "network"),
        "nova": log_in(lab, "nova"),
        "placement": log_in(lab, "placement"),
        "oslo_concurrency": locks(lab, "neutron"),
        "oslo_messaging_rabbit": RABBIT,
        "ml2": {
            "type_drivers": "flat,vlan,vxlan",
            "tenant_network_types": "vxlan",
            "mechanism_drivers": "isthmus_lab",
            "extension_drivers": "port_security,qos",
        },
        "ml2_type_flat": {"flat_networks": "*"},
        "ml2_type_vlan": {"network_vlan_ranges": "physnet1:100:999"},
        "ml2_type_vxlan": {"vni_ranges": "1:65535"},
        "quotas": {f"quota_{name}": -1 for name in _UNLIMITED},
    }
    return {"neutron/neutron.conf": ini(sections | MIDDLEWARE)}
