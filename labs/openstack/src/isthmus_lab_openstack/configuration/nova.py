"""Nova: one file for the control services and the first host, one for each further host."""

from __future__ import annotations

from pathlib import Path

from isthmus_lab_openstack.configuration.common import (
    MIDDLEWARE,
    PATIENCE_SECONDS,
    RABBIT,
    Files,
    Section,
    basics,
    database,
    ini,
    locks,
    log_in,
    paste,
    service_user,
    token_check,
)
from isthmus_lab_openstack.settings import HOST, REGION, Settings

_UNLIMITED = ("instances", "cores", "ram", "key_pairs", "server_groups", "server_group_members")


def host_name(index: int) -> str:
    """The name of a compute host."""
    return f"lab-compute-{index}"


METAL_HOST = "lab-metal"
"""The compute host that hands servers of bare-metal flavors to ironic."""
METAL_FOLDER = "nova-metal"


def hosts(lab: Settings) -> list[str]:
    """The names of all compute hosts."""
    played = [host_name(index) for index in range(lab.computes)]
    return [*played, METAL_HOST] if lab.has("ironic") else played


def folder(index: int) -> str:
    """The configuration folder of a compute host; the first one's serves the control as well."""
    return f"nova-{index}" if index else "nova"


def nova(lab: Settings, venv: Path) -> Files:
    """All of nova. The databases stand apart: nova-compute refuses to start where it sees them."""
    files: Files = {
        "nova/db.conf": ini(
            {"api_database": database(lab, "nova_api"), "database": database(lab, "nova")}
        )
    }
    api_paste = paste(venv, "nova")
    for index in range(max(1, lab.computes)):
        name = folder(index)
        sections = _sections(lab, name, api_paste)
        files[f"{name}/nova.conf"] = ini({"DEFAULT": _default(lab, index), **sections})
        files[f"{name}/api-paste.ini"] = api_paste.read_text()
    if lab.has("ironic"):
        sections = _sections(lab, METAL_FOLDER, api_paste) | {"ironic": log_in(lab, "ironic")}
        files[f"{METAL_FOLDER}/nova.conf"] = ini({"DEFAULT": _metal(lab), **sections})
    return files


def _sections(lab: Settings, name: str, api_paste: Path) -> dict[str, Section]:
    return {
        "keystone_authtoken": token_check(lab, "nova", "compute"),
        "service_user": service_user(lab, "nova"),
        "placement": log_in(lab, "placement"),
        "neutron": log_in(lab, "neutron") | {"service_metadata_proxy": "false"},
        "glance": log_in(lab, "glance"),
        "cinder": log_in(lab, "cinder") | {"os_region_name": REGION},
        # Nothing listens there: a console's link is made, and leads nowhere.
        "vnc": {"enabled": "true", "novncproxy_base_url": f"http://{HOST}:6080/vnc_lite.html"},
        "wsgi": {"api_paste_config": api_paste},
        "oslo_concurrency": locks(lab, name),
        "oslo_messaging_rabbit": RABBIT,
        "scheduler": {"workers": 1, "discover_hosts_in_cells_interval": 30},
        "conductor": {"workers": 1},
        "filter_scheduler": {"track_instance_changes": "false"},
        "quota": {quota: -1 for quota in _UNLIMITED} | {"injected_files": 50},
        **MIDDLEWARE,
    }


def _metal(lab: Settings) -> Section:
    """Upstream's own driver; it looks often for nodes that have become free."""
    return basics(
        lab,
        METAL_FOLDER,
        host=METAL_HOST,
        compute_driver="ironic.IronicDriver",
        my_ip=HOST,
        instances_path=lab.var / METAL_FOLDER / "instances",
        log_options="false",
        ssl_only="false",
        force_config_drive="true",
        # The one that comes with ironic's own packages; Debian's is not needed.
        mkisofs_cmd="pycdlib-genisoimage",
        vif_plugging_timeout=60,
        reserved_host_memory_mb=0,
        update_resources_interval=20,
        sync_power_state_interval=-1,
        service_down_time=PATIENCE_SECONDS,
        report_interval=20,
    )


def _default(lab: Settings, index: int) -> Section:
    name = folder(index)
    return basics(
        lab,
        name,
        host=host_name(index),
        compute_driver=f"lab.{lab.compute_driver}",
        my_ip=HOST,
        instances_path=lab.var / name / "instances",
        log_options="false",
        ssl_only="false",
        vif_plugging_timeout=60,
        # With one host a resize has nowhere else to go.
        allow_resize_to_same_host="true",
        sync_power_state_interval=-1,
        reserved_host_memory_mb=0,
        cpu_allocation_ratio="16.0",
        ram_allocation_ratio="1.5",
        disk_allocation_ratio="1.0",
        max_concurrent_builds=20,
        heal_instance_info_cache_interval=60,
        service_down_time=PATIENCE_SECONDS,
        report_interval=20,
    )
