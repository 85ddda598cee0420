"""Amazon Web Services: stacks by CloudFormation, credentials per binding, actions as data.

What an offering may say to this driver is fixed in ``docs/reference/aws-offerings.md``. Every call
to AWS goes through ``session.Aws.call``, the one place where an SDK's error becomes ours. boto3,
cfn-lint and the database clients are imported when they are first needed: importing this package
costs nothing.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmus.api.meta import Json
from isthmus.drivers.aws import settings
from isthmus.ports import Connection, Driver, Endpoint, Finding


@asynccontextmanager
async def _connect(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    """Open an account. No call goes out: ``probe`` is the first that does."""
    from isthmus.drivers.aws import connection

    async with connection.connect(endpoint) as opened:
        yield opened


def _lint(template: Json) -> tuple[Finding, ...]:
    """Check a CloudFormation template offline; see ``lint.check``."""
    from isthmus.drivers.aws.lint import check

    return check(template)


def _generate(resource_type: str) -> Json:
    """Write an Offering for one CloudFormation type; see ``generate.offering``."""
    from isthmus.drivers.aws.generate import offering

    return offering(resource_type)


DRIVER = Driver(name="aws", settings=settings.KNOWN, open=_connect, lint=_lint, generate=_generate)
