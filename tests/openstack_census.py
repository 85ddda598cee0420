"""What there is in all services and projects of the OpenStack lab; projects for single tests."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.openstack_lab import REGION, OpenStackLab

_ROLES = ("member", "reader", "heat_stack_owner", "load-balancer_member", "creator")
_LISTS = (
    ("compute", "/servers/detail?all_tenants=1", "servers"),
    ("compute", "/os-server-groups?all_projects=true", "server_groups"),
    ("network", "/v2.0/networks", "networks"),
    ("network", "/v2.0/subnets", "subnets"),
    ("network", "/v2.0/ports", "ports"),
    ("network", "/v2.0/routers", "routers"),
    ("network", "/v2.0/floatingips", "floatingips"),
    ("network", "/v2.0/security-groups", "security_groups"),
    ("block-storage", "/volumes/detail?all_tenants=1", "volumes"),
    ("block-storage", "/snapshots/detail?all_tenants=1", "snapshots"),
    ("block-storage", "/types?is_public=None", "volume_types"),
    ("image", "/v2/images", "images"),
    ("load-balancer", "/v2/lbaas/loadbalancers", "loadbalancers"),
    ("container-infra", "/clusters", "clusters"),
    ("container-infra", "/clustertemplates", "clustertemplates"),
    ("identity", "/users", "users"),
    ("identity", "/projects", "projects"),
    ("identity", "/OS-TRUST/trusts", "trusts"),
)
"""Service, path, key of the list: all that an administrator sees, of all projects."""
_STACK = re.compile(r"/v1/([0-9a-f]{32})/stacks/")
_OWNERS = (
    "project_id",
    "tenant_id",
    "os-vol-tenant-attr:tenant_id",
    "owner",
    "device_id",
    "os-extended-snapshot-attributes:project_id",
)


def census(lab: OpenStackLab, project: str = "", *, without: str = "") -> set[tuple[str, str]]:
    """Return kind and id of everything there is, but for what somebody else's project owns.

    Nor is anything of the kind `without` in it.

    Without a project nothing is left out: for those who have the whole cloud to themselves.
    What has no owner, or is of a project that Heat or Magnum have made for themselves, counts.
    A stack says only in its link whose it is.
    """
    admin = lab.connect("lab-admin")
    others = _others(admin, project)
    things = [
        (kind, t) for service, path, kind in _LISTS for t in _listed(admin, service, path, kind)
    ]
    nodes = _listed(admin, "baremetal", "/v1/nodes", "nodes")
    stacks = _listed(admin, "orchestration", "/stacks?show_nested=true", "stacks")
    others |= _others(admin, project)  # Those made meanwhile, too.
    admin.close()
    # A port of a router or an address is nobody's: it is of whoever has that.
    others |= {
        thing["id"] for kind, thing in things if "id" in thing and others & _owners(kind, thing)
    }
    found = {
        (kind, str(thing.get("id") or thing.get("uuid")))
        for kind, thing in things
        if not others & _owners(kind, thing) and not _is_neutrons(kind, thing)
    }
    found |= {("metal", f"{n['uuid']} {n['instance_uuid']}") for n in nodes}
    found |= {("stacks", s["id"]) for s in stacks if not others & set(_STACK.findall(_link(s)))}
    return {(kind, name) for kind, name in found if kind != without}


def _is_neutrons(kind: str, thing: dict[str, Any]) -> bool:
    """Whether it is the group that Neutron gives every project when it is first asked."""
    return kind == "security_groups" and thing["name"] == "default"


def _others(admin: Any, project: str) -> set[str]:
    projects = admin.identity.projects(domain_id="default") if project else ()
    return {one.id for one in projects if one.name != project}


def _owners(kind: str, thing: dict[str, Any]) -> set[str]:
    """Return the ids of what a thing may be of; Heat's own projects are named after theirs."""
    own = {thing["id"], thing["name"].partition("-")[0]} if kind == "projects" else set[str]()
    return own | {str(thing[key]) for key in _OWNERS if thing.get(key)}


def _link(stack: dict[str, Any]) -> str:
    return stack["links"][0]["href"]


def _listed(cloud: Any, service: str, path: str, key: str) -> list[dict[str, Any]]:
    where = {"service_type": service, "interface": "public", "region_name": REGION}
    version = "/v3" if service == "identity" else ""
    headers = {"OpenStack-API-Version": "compute 2.87"} if service == "compute" else {}
    base = cloud.session.get_endpoint(**where)
    assert base, f"the catalog has no {service}"
    if version and not base.rstrip("/").endswith(version):
        base = base.rstrip("/") + version
    for known in ("/v2.0", "/v2", "/v1"):
        if path.startswith(known) and base.rstrip("/").endswith(known):
            base = base.rstrip("/").removesuffix(known)
    answer = cloud.session.get(base.rstrip("/") + path, headers=headers)
    return answer.json()[key]


@contextmanager
def project(lab: OpenStackLab) -> Iterator[str]:
    """Make a project for the user of the lab, with nothing in it; its name."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    admin = lab.connect("lab-admin")
    made = admin.identity.create_project(name=name, domain_id="default")
    roles = {role.name: role.id for role in admin.identity.roles()}
    user = next(iter(admin.identity.users(name=lab.auth()["username"], domain_id="default")))
    for role in _ROLES:
        admin.identity.assign_project_role_to_user(made.id, user.id, roles[role])
    for role in ("admin", "member", "heat_stack_owner"):
        admin.identity.assign_project_role_to_user(made.id, admin.current_user_id, roles[role])
    try:
        yield name
    finally:
        for group in admin.network.security_groups(project_id=made.id):
            admin.network.delete_security_group(group)
        admin.identity.delete_project(made)
        admin.close()
