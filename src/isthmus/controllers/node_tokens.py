"""The join token of a pool: made when servers are added, worthless once they have joined."""

from datetime import UTC, datetime, timedelta

from isthmus.api.v1alpha1 import NodePool, NodePoolStatus
from isthmus.controllers.owned_secrets import OwnedSecret
from isthmus.controllers.world import World
from isthmus.core.compose.node_pool import TOKEN_KEY, token_secret
from isthmus.ports import ClusterNodes
from isthmus.runtime.outcome import Progress

TTL = timedelta(minutes=30)
ENOUGH = timedelta(minutes=15)
"""A token that holds for so long may serve other servers, too."""
TOKEN_ID = "isthmus.dev/join-token"
"""Annotation on the Secret: the public part of the token in it."""


class JoinTokens:
    """The one join token of one pool."""

    def __init__(self, world: World, pool: NodePool) -> None:
        self._pool = pool
        self._secret = OwnedSecret(world, pool, token_secret(pool.metadata.name))

    async def issue(self, nodes: ClusterNodes, progress: Progress[NodePoolStatus]) -> None:
        """Have a token in the Secret that holds long enough for a server to join."""
        status = self._pool.status
        found = await self._secret.read()
        former = found[1].get(TOKEN_ID, "") if found is not None else ""
        if former and former == status.join_token and _holds(status, progress.now):
            return
        if former:
            await nodes.revoke_join_token(former)
        made = await nodes.issue_join_token(TTL)
        await self._secret.write({TOKEN_KEY: made.token}, {TOKEN_ID: made.id})
        progress.status = progress.status.model_copy(
            update={"join_token": made.id, "join_token_expires_at": made.expires_at}
        )

    async def revoke(self, nodes: ClusterNodes, progress: Progress[NodePoolStatus]) -> None:
        """Make the token worthless. The Secret stays: the engine compares its version."""
        if not self._pool.status.join_token:
            return
        found = await self._secret.read()
        for token in {self._pool.status.join_token, *_ids(found)}:
            await nodes.revoke_join_token(token)
        progress.status = progress.status.model_copy(
            update={"join_token": "", "join_token_expires_at": None}
        )

    async def end(self, nodes: ClusterNodes | None) -> None:
        """Remove token and Secret."""
        found = await self._secret.read()
        if nodes is not None:
            for token in _ids(found):
                await nodes.revoke_join_token(token)
        await self._secret.delete()


def _ids(found: tuple[dict[str, str], dict[str, str]] | None) -> set[str]:
    return {found[1][TOKEN_ID]} if found is not None and TOKEN_ID in found[1] else set[str]()


def _holds(status: NodePoolStatus, now: datetime) -> bool:
    expires = status.join_token_expires_at
    return expires is not None and expires.astimezone(UTC) - now > ENOUGH
