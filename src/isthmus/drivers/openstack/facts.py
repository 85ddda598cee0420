"""What a project says of itself: who we are there, how old its Heat is, what stacks can use.

https://docs.openstack.org/api-ref/orchestration/v1/#list-resource-types
"""

import re
from typing import Final

from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import Forbidden, InvalidSpec, NotFound
from isthmus.ports import Facts

_HOT: Final = re.compile(r"^heat_template_version\.(?=\d)")
_MADE_AS: Final = {"load-balancer": "OS::Octavia::LoadBalancer"}
"""Services on which offerings' choices depend, and the type of resource that a Heat knows which can
make something in them."""


async def facts(cloud: Cloud) -> Facts:
    """Ask Keystone and Heat.

    Raises:
        Forbidden: They do not let us in, or Heat could not act for us later.
        Unavailable: They do not answer.
    """
    await cloud.log_in()
    answer = await cloud.get("orchestration", "/template_versions")
    versions = [str(v.get("version", "")) for v in answer.get("template_versions", [])]
    # The newest version of templates is the one thing that Heat says of its own age.
    newest = max((v for v in versions if _HOT.match(v)), default="")
    named = f"Heat, templates to {_HOT.sub('', newest)}" if newest else "Heat"
    found = Facts(account=await cloud.project(), engine=named, services=await _services(cloud))
    await _check_delegation(cloud)
    return found


async def _check_delegation(cloud: Cloud) -> None:
    """Say now what would end each creation of a stack in an internal error of Heat."""
    if cloud.settings.identity.method == "application_credential" and not await cloud.delegates():
        raise Forbidden(
            "spec.credentialsSecret: this cloud's Keystone lets no application credential hand on "
            "its rights, which Heat needs for every stack. Put username and password of a user of "
            "the project into the Secret, or have the cloud's operator set "
            "allow_insecure_application_credential_trust_escalation in keystone.conf."
        )


async def _services(cloud: Cloud) -> frozenset[str]:
    """Return the services of the catalog, but for those that Heat can make nothing in."""
    listed = await cloud.services()
    useless = {name for name in listed & _MADE_AS.keys() if not await _knows(cloud, _MADE_AS[name])}
    return listed - useless


async def _knows(cloud: Cloud, kind: str) -> bool:
    try:
        answer = await cloud.get("orchestration", "/resource_types", name=kind)
    except (Forbidden, InvalidSpec, NotFound):
        return False  # It does not tell us; a choice without it is always good.
    return kind in answer.get("resource_types", [])
