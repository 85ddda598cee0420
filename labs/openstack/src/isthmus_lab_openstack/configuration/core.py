"""Keystone, placement and glance, which the others need."""

from __future__ import annotations

from pathlib import Path

from isthmus_lab_openstack.configuration.common import (
    MIDDLEWARE,
    Files,
    basics,
    database,
    ini,
    locks,
    memcached,
    paste,
    token_check,
)
from isthmus_lab_openstack.settings import HOST, Settings


def keystone(lab: Settings, _venv: Path) -> Files:
    """Identity, with tokens that live for a day."""
    keys = lab.var / "keystone"
    sections = {
        "DEFAULT": {"use_stderr": "true"},
        "database": database(lab, "keystone"),
        "cache": {
            "enabled": "true",
            "backend": "dogpile.cache.pymemcache",
            "memcache_servers": memcached(lab),
            "memcache_dead_retry": 5,
        },
        "token": {"provider": "fernet", "expiration": 86400},
        "fernet_tokens": {"key_repository": keys / "fernet"},
        "credential": {"key_repository": keys / "credential"},
    }
    return {"keystone/keystone.conf": ini(sections | MIDDLEWARE)}


def placement(lab: Settings, _venv: Path) -> Files:
    """Placement."""
    sections = {
        "placement_database": database(lab, "placement"),
        "api": {"auth_strategy": "keystone"},
        "keystone_authtoken": token_check(lab, "placement", "placement"),
    }
    return {"placement/placement.conf": ini(sections)}


def glance(lab: Settings, venv: Path) -> Files:
    """Images, kept as files."""
    store = lab.var / "glance"
    default = basics(
        lab,
        "glance",
        enabled_backends="local:file",
        host=HOST,
        worker_self_reference_url=lab.url("glance"),
    )
    sections = {
        "DEFAULT": default,
        "database": database(lab, "glance"),
        "keystone_authtoken": token_check(lab, "glance", "image"),
        "paste_deploy": {
            "flavor": "keystone",
            "config_file": paste(venv, "glance", "glance-api-paste.ini"),
        },
        "glance_store": {"default_backend": "local"},
        "local": {"filesystem_store_datadir": store / "images"},
        "os_glance_staging_store": {"filesystem_store_datadir": store / "staging"},
        "os_glance_tasks_store": {"filesystem_store_datadir": store / "tasks"},
        "oslo_concurrency": locks(lab, "glance"),
    }
    return {"glance/glance-api.conf": ini(sections | MIDDLEWARE)}
