"""What the controllers would do, for those who ask before anything is done."""

from collections.abc import Mapping
from typing import Any

from isthmus.api.v1alpha1 import AnyClaim, Provider, Stack
from isthmus.controllers.claim import ClaimController
from isthmus.controllers.stack import StackController
from isthmus.core.plan import Rendering
from isthmus.core.stacks import Changes, Owned
from isthmus.runtime.connections import Connections


class Planning:
    """The questions of ``isthmus.faces.planning``, answered by the code that acts."""

    def __init__(
        self,
        claims: Mapping[str, ClaimController[Any]],
        stacks: StackController,
        connections: Connections,
    ) -> None:
        self._claims = claims
        self._stacks = stacks
        self._connections = connections

    def render(self, claim: AnyClaim) -> Rendering:
        """Return the Stack that the claim would become."""
        return self._claims[claim.names.kind].render(claim)

    async def preview(self, stack: Stack) -> Changes:
        """Return the native change set of a Stack."""
        return await self._stacks.preview(stack)

    async def owned(self, provider: Provider) -> tuple[Owned, ...]:
        """Return what bears our tag in the account of a Provider."""
        async with self._connections.use(provider) as connection:
            return await connection.engine.owned()

    async def adoptable(self, provider: Provider) -> tuple[Owned, ...]:
        """Return the stacks in the account of a Provider that bear nobody's tag."""
        async with self._connections.use(provider) as connection:
            return await connection.engine.adoptable()
