"""Makes roles, domains, projects, users and the catalog in a new keystone. Does nothing twice.

Reads {"password", "users", "catalog": [[service, type, address]...]} from standard input.
"""

import json
import sys
from functools import cache

import openstack

ROLES = ("service", "heat_stack_owner", "heat_stack_user", "member", "reader",
         "load-balancer_member", "creator")  # fmt: skip
DEMO_ROLES = ("member", "reader", "heat_stack_owner", "load-balancer_member", "creator")


def main() -> None:
    facts = json.load(sys.stdin)
    identity = openstack.connect(cloud="lab-admin").identity
    roles = made(identity.roles(), ROLES, identity.create_role)
    domains = made(identity.domains(), ("heat", "magnum"), identity.create_domain)
    projects = made(
        identity.projects(domain_id="default"),
        ("service", "demo"),
        lambda name: identity.create_project(name=name, domain_id="default"),
    )

    @cache
    def user(name, domain="default"):
        found = next(iter(identity.users(name=name, domain_id=domain)), None)
        return found or identity.create_user(
            name=name, domain_id=domain, password=facts["password"]
        )

    def grant(name, project, *wanted):
        for role in wanted:
            identity.assign_project_role_to_user(
                projects[project].id, user(name).id, roles[role].id
            )

    for name in facts["users"]:
        grant(name, "service", "admin", "service")
    grant("demo", "demo", *DEMO_ROLES)
    for project in ("demo", "admin"):
        grant("admin", project, "admin", "member", "heat_stack_owner")
    identity.assign_system_role_to_user(user("admin").id, roles["admin"].id, "all")
    for name in ("heat", "magnum"):
        keeper = user(f"{name}_domain_admin", domains[name].id)
        identity.assign_domain_role_to_user(domains[name].id, keeper.id, roles["admin"].id)
    register_catalog(identity, facts["catalog"])


def made(existing, names, create):
    found = {thing.name: thing for thing in existing}
    return found | {name: create(name=name) for name in names if name not in found}


def register_catalog(identity, catalog) -> None:
    services = {(service.type, service.name): service for service in identity.services()}
    endpoints = {(point.service_id, point.interface) for point in identity.endpoints()}
    for name, kind, url in catalog:
        service = services.get((kind, name)) or identity.create_service(name=name, type=kind)
        for face in ("public", "internal", "admin"):
            if (service.id, face) not in endpoints:
                identity.create_endpoint(
                    service_id=service.id, interface=face, url=url, region_id="RegionOne"
                )


main()
