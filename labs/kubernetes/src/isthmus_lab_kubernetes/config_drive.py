"""A config drive as OpenStack lays it out, for guests that no Nova makes.

Source: https://docs.openstack.org/nova/latest/user/metadata.html
"""

import json


def drive(
    instance: str, hostname: str, user_data: str, meta: dict[str, str] | None = None
) -> dict[str, bytes]:
    """The files of a config drive by path."""
    meta_data = {"uuid": instance, "hostname": hostname, "name": hostname, "meta": meta or {}}
    files = {"openstack/latest/meta_data.json": json.dumps(meta_data).encode()}
    if user_data:
        files["openstack/latest/user_data"] = user_data.encode()
    return files
