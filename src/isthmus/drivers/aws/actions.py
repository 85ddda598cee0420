"""Day-2 actions on AWS: the calls of ``runtime.declared_actions`` made with boto3's names.

The format is fixed in ``docs/reference/aws-offerings.md``. Operations that have an idempotency
token get ours.
"""

import uuid

from isthmus.api.meta import Json
from isthmus.drivers.aws.session import Aws
from isthmus.runtime.declared_actions import DeclaredActions


class ApiActions(DeclaredActions):
    """See ``ports.Actions``."""

    def __init__(self, aws: Aws) -> None:
        super().__init__(self._make)
        self._aws = aws

    async def _make(self, service: str, operation: str, arguments: Json, token: str) -> Json:
        if token:
            names = await self._aws.run(lambda: self._aws.token_parameters(service, operation))
            arguments = {name: _as_uuid(token, operation) for name in names} | arguments
        return await self._aws.call(service, operation, **arguments)


def _as_uuid(token: str, operation: str) -> str:
    """Return the token in the form that every service takes: 36 characters."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"isthmus:{token}:{operation}"))
