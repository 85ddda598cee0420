"""Put the pieces of one project together."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmus.drivers.openstack.actions import ApiActions
from isthmus.drivers.openstack.credentials import MagnumCertificate
from isthmus.drivers.openstack.engine import Heat
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.settings import parse
from isthmus.ports import Connection, Endpoint, Facts
from isthmus.runtime.static_credentials import Static

_HOT = re.compile(r"^heat_template_version\.(?=\d)")


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    """Open a project.

    Raises:
        InvalidSpec: A setting or a credential is wrong.
    """
    cloud = Cloud(parse(endpoint))

    async def probe() -> Facts:
        answer = await cloud.get("orchestration", "/template_versions")
        versions = [str(v.get("version", "")) for v in answer.get("template_versions", [])]
        # The newest version of templates is the one thing that Heat says of its own age.
        newest = max((v for v in versions if _HOT.match(v)), default="")
        named = f"Heat, templates to {_HOT.sub('', newest)}" if newest else "Heat"
        return Facts(account=await cloud.project(), engine=named)

    try:
        yield Connection(
            engine=Heat(cloud),
            credentials={"static": Static(), "magnum-certificate": MagnumCertificate(cloud)},
            actions=ApiActions(cloud),
            probe=probe,
        )
    finally:
        cloud.close()
