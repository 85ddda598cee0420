"""Cinder, heat, magnum and ironic."""

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
    identity_url,
    ini,
    locks,
    log_in,
    paste,
    service_user,
    token_check,
)
from isthmus_lab_openstack.settings import HOST, PASSWORD, PLAYED_METAL, REGION, Settings

HEAT_KEY = "Yx6PLjmZ0T1aVb7cNd8eRf9gUh2iWj3k"
"""Heat encrypts its hidden parameters with it; it must have 32 characters."""


def cinder(lab: Settings, venv: Path) -> Files:
    """Volumes that are records only: the driver keeps no bytes."""
    default = basics(
        lab,
        "cinder",
        enabled_backends="fake",
        default_volume_type="fake",
        api_paste_config=paste(venv, "cinder"),
        auth_strategy="keystone",
        resource_query_filters_file=paste(venv, "cinder", "resource_filters.json"),
        rootwrap_config=paste(venv, "cinder", "rootwrap.conf"),
        glance_api_servers=lab.url("glance"),
        quota_volumes=-1,
        quota_gigabytes=-1,
        quota_snapshots=-1,
        osapi_volume_workers=1,
        service_down_time=PATIENCE_SECONDS,
    )
    sections = {
        "DEFAULT": default,
        "database": database(lab, "cinder"),
        "keystone_authtoken": token_check(lab, "cinder", "block-storage"),
        "service_user": service_user(lab, "cinder"),
        "nova": log_in(lab, "nova"),
        "fake": {
            "volume_driver": "isthmus_lab_plugins.cinder_driver.PlayedVolumes",
            "volume_backend_name": "fake",
        },
        "coordination": {"backend_url": f"file://{lab.var}/cinder/coordination"},
        "oslo_concurrency": locks(lab, "cinder"),
        "oslo_messaging_rabbit": RABBIT,
    }
    return {"cinder/cinder.conf": ini(sections | MIDDLEWARE)}


def heat(lab: Settings, venv: Path) -> Files:
    """Orchestration: two engine workers, stacks without limits."""
    default = basics(
        lab,
        "heat",
        region_name_for_services=REGION,
        num_engine_workers=2,
        heat_metadata_server_url=lab.url("heatcfn"),
        heat_waitcondition_server_url=lab.url("heatcfn") + "/v1/waitcondition",
        stack_domain_admin="heat_domain_admin",
        stack_domain_admin_password=PASSWORD,
        stack_user_domain_name="heat",
        auth_encryption_key=HEAT_KEY,
        deferred_auth_method="trusts",
        # A server that fails is made anew once, not five times: what is to fail, fails soon.
        action_retry_limit=1,
        max_resources_per_stack=-1,
        max_stacks_per_tenant=10000,
        enable_stack_abandon="true",
        enable_stack_adopt="true",
    )
    sections = {
        "DEFAULT": default,
        "database": database(lab, "heat"),
        "keystone_authtoken": token_check(lab, "heat", "orchestration"),
        "trustee": log_in(lab, "heat"),
        "clients_keystone": {"auth_uri": lab.url("keystone")},
        "ec2authtoken": {"auth_uri": identity_url(lab)},
        "paste_deploy": {"api_paste_config": paste(venv, "heat")},
        "oslo_concurrency": locks(lab, "heat"),
        "oslo_messaging_rabbit": RABBIT,
    }
    # Of one engine to another: a group of a hundred servers is one call, and each is looked into.
    patience: Section = {"rpc_response_timeout": 900}
    return {
        "heat/heat.conf": ini(sections | MIDDLEWARE),
        "heat/engine.conf": ini({"DEFAULT": patience}),
    }


def magnum(lab: Settings, venv: Path) -> Files:
    """Clusters through heat; the discovery address only has to answer, and short."""
    domain_admin = {
        "trustee_domain_name": "magnum",
        "trustee_domain_admin_name": "magnum_domain_admin",
        "trustee_domain_admin_password": PASSWORD,
        "trustee_keystone_interface": "public",
        "cluster_user_trust": "true",
    }
    sections = {
        "DEFAULT": basics(lab, "magnum", pybasedir=venv / "lib"),
        "api": {
            "host": HOST,
            "port": lab.port("magnum"),
            "workers": 1,
            "api_paste_config": paste(venv, "magnum"),
            "enabled_ssl": "false",
        },
        "database": database(lab, "magnum"),
        "certificates": {"cert_manager_type": "x509keypair"},
        "cluster": {
            "etcd_discovery_service_endpoint_format": lab.url("neutron")
            + "/healthcheck?size=%(size)d"
        },
        "conductor": {"workers": 1},
        "kubernetes": {"keystone_auth_default_policy": lab.etc / "magnum" / "policy.json"},
        "drivers": {"send_cluster_metrics": "false"},
        "keystone_authtoken": token_check(lab, "magnum", "container-infra"),
        "keystone_auth": log_in(lab, "magnum"),
        "trust": domain_admin,
        "cinder_client": {"region_name": REGION},
        "cinder": {"default_docker_volume_type": "fake"},
        "oslo_concurrency": locks(lab, "magnum"),
        "oslo_messaging_rabbit": RABBIT,
        "oslo_messaging_notifications": {"driver": "noop"},
        "oslo_policy": {"enforce_scope": "true", "enforce_new_defaults": "true"},
    }
    return {"magnum/magnum.conf": ini(sections | MIDDLEWARE), "magnum/policy.json": "[]"}


_IRONIC_INTERFACES = {
    "bios": "fake,no-bios", "boot": "fake", "console": "fake,no-console", "deploy": "fake",
    "firmware": "fake,no-firmware", "inspect": "fake,no-inspect", "management": "fake",
    "network": "noop", "power": "fake", "raid": "fake,no-raid", "rescue": "fake,no-rescue",
    "storage": "noop,fake", "vendor": "fake,no-vendor",
}  # fmt: skip


def ironic(lab: Settings, _venv: Path) -> Files:
    """Bare metal without machines: API and conductor are one process, without a broker."""
    known = dict(_IRONIC_INTERFACES)
    if lab.metal_driver != PLAYED_METAL:
        known |= {kind: f"{lab.metal_driver},{known[kind]}" for kind in ("deploy", "power")}
    interfaces = {f"enabled_{kind}_interfaces": names for kind, names in known.items()}
    default = basics(
        lab,
        "ironic",
        enabled_hardware_types=lab.metal_driver,
        rpc_transport="none",
        auth_strategy="keystone",
        default_network_interface="noop",
        my_ip=HOST,
        tempdir=lab.var / "ironic",
        # Else nova's user, an administrator of one project only, sees no node of anybody's.
        rbac_service_role_elevated_access="true",
        **interfaces,
    )
    sections = {
        "DEFAULT": default,
        "database": database(lab, "ironic"),
        "keystone_authtoken": token_check(lab, "ironic", "baremetal"),
        "api": {
            "host_ip": HOST,
            "port": lab.port("ironic"),
            "public_endpoint": lab.url("ironic"),
            "api_workers": 1,
        },
        "conductor": {
            "automated_clean": "false",
            "sync_power_state_interval": 60,
            "deploy_callback_timeout": 0,
            "api_url": lab.url("ironic"),
        },
        **{name: log_in(lab, "ironic") for name in ("service_catalog", "neutron", "glance")},
        **{name: log_in(lab, "ironic") for name in ("cinder", "inspector", "swift")},
        "nova": {"send_power_notifications": "false"},
        "pxe": {"tftp_root": lab.var / "ironic" / "tftp"},
        "deploy": {"http_root": lab.var / "ironic" / "http"},
        "oslo_concurrency": locks(lab, "ironic"),
    }
    return {"ironic/ironic.conf": ini(sections)}
