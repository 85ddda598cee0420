"""Credentials of the fake cloud."""

import secrets
from collections.abc import Mapping

from isthmus.drivers.fake.cloud import FakeCloud, User
from isthmus.ports import Grant


class Static:
    """Hands out what the offering says; there is nothing to make or revoke."""

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        """See ``CredentialSource``."""
        return {key: str(value) for key, value in grant.spec.get("values", {}).items()}

    async def revoke(self, grant: Grant) -> None:
        """See ``CredentialSource``."""
        del grant


class SqlUsers:
    """Users who log in with a password; ``FakeCloud.login`` tries one."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        """See ``CredentialSource``."""
        self._cloud.called("grant")
        password = secrets.token_urlsafe(18)
        self._cloud.users[grant.id] = User(password, dict(grant.tags))
        return {"username": grant.id, "password": password}

    async def revoke(self, grant: Grant) -> None:
        """See ``CredentialSource``."""
        self._cloud.called("revoke")
        self._cloud.users.pop(grant.id, None)
