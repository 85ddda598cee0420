"""OpenStack: stacks by Heat, actions as data.

What an offering may say to this driver is fixed in ``docs/reference/openstack-offerings.md``. Every
call to OpenStack goes through ``session.Cloud``, the one place where an SDK's error becomes ours.
openstacksdk is imported when it is first needed: importing this package costs nothing.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmus.api.meta import Json
from isthmus.drivers.openstack import settings
from isthmus.ports import Connection, Driver, Endpoint, Finding


@asynccontextmanager
async def _connect(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    """Open a project in a region. No call goes out: ``probe`` is the first that does."""
    from isthmus.drivers.openstack import connection

    async with connection.connect(endpoint) as opened:
        yield opened


def _lint(template: Json) -> tuple[Finding, ...]:
    """Check a HOT template offline; see ``lint.check``."""
    from isthmus.drivers.openstack.lint import check

    return check(template)


DRIVER = Driver(name="openstack", settings=settings.KNOWN, open=_connect, lint=_lint)
