"""Put the pieces of one account together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmus.core.stacks import Owned
from isthmus.drivers.aws.actions import ApiActions
from isthmus.drivers.aws.credentials import identities, sources
from isthmus.drivers.aws.engine import CloudFormation
from isthmus.drivers.aws.session import Aws
from isthmus.drivers.aws.settings import parse
from isthmus.ports import Connection, Endpoint, Facts


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    """Open an account.

    Raises:
        InvalidSpec: A setting is wrong.
    """
    aws = Aws(parse(endpoint))

    async def probe() -> Facts:
        identity = await aws.call("sts", "get_caller_identity")
        return Facts(account=str(identity["Account"]), engine="CloudFormation")

    async def extra() -> tuple[Owned, ...]:
        return await identities.owned(aws)

    try:
        yield Connection(
            engine=CloudFormation(aws, extra),
            credentials=sources(aws),
            actions=ApiActions(aws),
            probe=probe,
        )
    finally:
        aws.close()
