"""The databases of each service, and the commands of the service that fill them."""

from __future__ import annotations

from pathlib import Path

from isthmus_lab_openstack.settings import PASSWORD, REGION, Settings

DATABASES = {
    "keystone": ("keystone",),
    "placement": ("placement",),
    "glance": ("glance",),
    "neutron": ("neutron",),
    "nova": ("nova", "nova_api", "nova_cell0"),
    "cinder": ("cinder",),
    "heat": ("heat",),
    "magnum": ("magnum",),
    "ironic": ("ironic",),
    "octavia": ("octavia",),
}
_CELL = "{scheme}://{username}:{password}@{hostname}:{port}/"
"""Nova fills this in from its own configuration, so that a copy knows no port."""
_CHARSET = "?charset=utf8mb4"

Words = list[str]


def commands(lab: Settings, binaries: Path, service: str) -> list[Words]:
    """Return the command lines that migrate a service's databases, in order."""
    name = "glance-api" if service == "glance" else service
    file = ["--config-file", str(lab.etc / service / f"{name}.conf")]
    if service == "nova":
        file += ["--config-file", str(lab.etc / "nova" / "db.conf")]
    tool, verbs = _verbs(lab, binaries, service)
    return [[str(binaries / tool), *file, *verb] for verb in verbs]


def _verbs(lab: Settings, binaries: Path, service: str) -> tuple[str, list[Words]]:
    if service == "keystone":
        return "keystone-manage", _keystone(lab)
    if service == "glance":
        metadata = binaries.parent / "etc" / "glance" / "metadefs"
        return "glance-manage", [["db_sync"], ["db_load_metadefs", str(metadata)]]
    return {
        "placement": ("placement-manage", [["db", "sync"]]),
        "nova": ("nova-manage", _nova()),
        "neutron": ("neutron-db-manage", [["upgrade", "heads"]]),
        "cinder": ("cinder-manage", [["db", "sync"]]),
        "heat": ("heat-manage", [["db_sync"]]),
        "magnum": ("magnum-db-manage", [["upgrade"]]),
        "ironic": ("ironic-dbsync", [["upgrade"]]),
        "octavia": ("octavia-db-manage", [["upgrade", "head"]]),
    }[service]


def _keystone(lab: Settings) -> list[Words]:
    owner = ["--keystone-user", "root", "--keystone-group", "root"]
    bootstrap = ["bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", REGION]
    for face in ("admin", "internal", "public"):
        bootstrap += [f"--bootstrap-{face}-url", lab.url("keystone") + "/v3"]
    return [["db_sync"], ["fernet_setup", *owner], ["credential_setup", *owner], bootstrap]


def _nova() -> list[Words]:
    cell = ["cell_v2", "create_cell", "--name", "cell1", "--transport-url", _CELL]
    return [
        ["api_db", "sync"],
        ["cell_v2", "map_cell0", "--database_connection", f"{_CELL}nova_cell0{_CHARSET}"],
        ["db", "sync"],
        [*cell, "--database_connection", f"{_CELL}nova{_CHARSET}"],
    ]
