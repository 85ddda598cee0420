"""The join token of a pool: made when servers are added, worthless once they have joined.

It is in their user data, so it lives only as long as a server may take to join; while servers are
still on their way its end is put off, so that no other token has to take its place.
"""

from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from isthmus.api.v1alpha1 import Heal, MemberPhase, NodePool, NodePoolStatus
from isthmus.controllers.owned_secrets import OwnedSecret
from isthmus.controllers.world import World
from isthmus.core.compose.node_pool import TOKEN_KEY, token_secret
from isthmus.core.planner.members import Seen
from isthmus.core.planner.nodes import State
from isthmus.errors import AlreadyExists, IsthmusError, NotFound
from isthmus.ports import ClusterNodes
from isthmus.runtime.outcome import Progress

LONGEST: Final = timedelta(days=1)
"""Who may take for ever to join may do so with one token for so long."""
SPARE: Final = timedelta(minutes=15)
"""So much longer it lives than one server needs: it may serve others, too."""
TOKEN_ID = "isthmus.dev/join-token"
"""Annotation on the Secret: the public part of the token in it."""


class JoinTokens:
    """The one join token of one pool."""

    def __init__(self, world: World, pool: NodePool) -> None:
        # Held: without it the Stack of servers could not be changed any more, not even to none.
        self._secret = OwnedSecret(world, pool, token_secret(pool.metadata.name), held=True)
        self._time = joining_time(pool.spec.heal)

    async def issue(
        self, nodes: ClusterNodes, seen: Iterable[Seen], progress: Progress[NodePoolStatus]
    ) -> None:
        """Have a token in the Secret that holds long enough for a new server to join."""
        known, needed = progress.status.join_token, progress.now + self._time
        found = await self._secret.read()
        former = found[1].get(TOKEN_ID, "") if found is not None else ""
        if former and former == known:
            ends = _ends(progress.status)
            # Another one would shut out those who are on their way with this one.
            if ends < needed and any(map(_joins, seen)):
                ends = needed + SPARE
            # Whether it is there only the cluster knows: it may be revoked, and that not noted.
            if ends >= needed and await self._extend(nodes, ends, progress):
                return
        for token in sorted({former, known} - {""}):
            await nodes.revoke_join_token(token)
        made = await nodes.issue_join_token(self._time + SPARE)
        try:
            await self._secret.write({TOKEN_KEY: made.token}, {TOKEN_ID: made.id})
        except IsthmusError:  # Nobody would know of it any more.
            await nodes.revoke_join_token(made.id)
            raise
        progress.status = progress.status.model_copy(
            update={"join_token": made.id, "join_token_expires_at": made.expires_at}
        )

    async def keep(
        self,
        nodes: ClusterNodes,
        seen: Iterable[Seen],
        progress: Progress[NodePoolStatus],
        *,
        making: bool,
    ) -> None:
        """Let the token live until all who are on their way have had their time.

        Args:
            nodes: The cluster.
            seen: The pool's members.
            progress: Where the token's end is noted.
            making: Whether the engine is still at work on servers: their time has not begun.
        """
        if not progress.status.join_token:
            return
        needed = [self._needed(one, progress.now, making=making) for one in seen if _joins(one)]
        if needed and _ends(progress.status) < max(needed):
            await self._extend(nodes, max(needed) + SPARE, progress)

    async def revoke(self, nodes: ClusterNodes, progress: Progress[NodePoolStatus]) -> None:
        """Make the token worthless. The Secret stays: the engine compares its version."""
        if progress.status.join_token:
            await self._revoke(nodes, progress)

    async def end(self, nodes: ClusterNodes | None, progress: Progress[NodePoolStatus]) -> None:
        """Remove token and Secret."""
        if nodes is not None:
            await self._revoke(nodes, progress)
        await self._secret.delete()

    async def _revoke(self, nodes: ClusterNodes, progress: Progress[NodePoolStatus]) -> None:
        known = {progress.status.join_token}
        with suppress(AlreadyExists):  # Another's Secret of that name has no token of ours.
            known |= _ids(await self._secret.read())
        for token in sorted(known - {""}):
            await nodes.revoke_join_token(token)
        _forget(progress)

    def _needed(self, one: Seen, now: datetime, *, making: bool) -> datetime:
        asked = one.shown.since.astimezone(UTC)
        begins = now if making or not one.shown.server_id else asked
        return min(begins + self._time, asked + LONGEST)

    async def _extend(
        self, nodes: ClusterNodes, ends: datetime, progress: Progress[NodePoolStatus]
    ) -> bool:
        """Put off the token's end; tell whether there is one."""
        ttl = ends - progress.now
        try:
            expires = await nodes.extend_join_token(progress.status.join_token, ttl)
        except NotFound:  # It came to its end while nobody looked.
            _forget(progress)
            return False
        progress.status = progress.status.model_copy(update={"join_token_expires_at": expires})
        return True


def joining_time(heal: Heal) -> timedelta:
    """Return how long a server may take to join."""
    seconds = heal.join_seconds if heal.after_seconds else 0
    return min(timedelta(seconds=seconds) or LONGEST, LONGEST)


def _joins(one: Seen) -> bool:
    """Tell whether a member is on its way to a node, and wanted."""
    joining = one.state is State.JOINING and one.shown.phase is MemberPhase.JOINING
    return joining and one.awaited and one.node is None


def _ends(status: NodePoolStatus) -> datetime:
    expires = status.join_token_expires_at
    return expires.astimezone(UTC) if expires is not None else datetime.min.replace(tzinfo=UTC)


def _forget(progress: Progress[NodePoolStatus]) -> None:
    progress.status = progress.status.model_copy(
        update={"join_token": "", "join_token_expires_at": None}
    )


def _ids(found: tuple[dict[str, str], dict[str, str]] | None) -> set[str]:
    return {found[1][TOKEN_ID]} if found is not None and TOKEN_ID in found[1] else set[str]()
