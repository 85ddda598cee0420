"""Fixtures of the contract of the OpenStack driver: a lab as the driver sees it."""

from collections.abc import AsyncIterator

import pytest

from isthmus.drivers.openstack import DRIVER
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.settings import parse
from isthmus.ports import Connection, Endpoint, StackEngine
from tests.openstack_lab import OpenStackLab, sweep


@pytest.fixture
def endpoint(openstack_lab: OpenStackLab) -> Endpoint:
    return openstack_lab.endpoint()


@pytest.fixture
async def connection(endpoint: Endpoint) -> AsyncIterator[Connection]:
    """Of which no stack is left in the end."""
    async with DRIVER.open(endpoint) as opened:
        yield opened
        await sweep(opened)


@pytest.fixture
def engine(connection: Connection) -> StackEngine:
    return connection.engine


@pytest.fixture
async def cloud(endpoint: Endpoint) -> AsyncIterator[Cloud]:
    """The cloud itself, past the engine."""
    opened = Cloud(parse(endpoint))
    yield opened
    opened.close()
