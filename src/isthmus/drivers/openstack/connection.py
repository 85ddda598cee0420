"""Put the pieces of one project together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmus.drivers.openstack.actions import ApiActions
from isthmus.drivers.openstack.credentials import MagnumCertificate
from isthmus.drivers.openstack.engine import Heat
from isthmus.drivers.openstack.facts import facts
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.settings import parse
from isthmus.ports import Connection, Endpoint
from isthmus.runtime.static_credentials import Static


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    """Open a project.

    Raises:
        InvalidSpec: A setting or a credential is wrong.
    """
    cloud = Cloud(parse(endpoint))

    try:
        yield Connection(
            engine=Heat(cloud),
            credentials={"static": Static(), "magnum-certificate": MagnumCertificate(cloud)},
            actions=ApiActions(cloud),
            probe=lambda: facts(cloud),
        )
    finally:
        cloud.close()
