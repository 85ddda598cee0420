"""What the controllers would do, for those who ask before anything is done."""

from isthmus.api.v1alpha1 import Provider, ServiceInstance, Stack
from isthmus.controllers.service_instance import ServiceInstanceController
from isthmus.controllers.stack import StackController
from isthmus.core.plan import Rendering
from isthmus.core.stacks import Changes, Owned
from isthmus.runtime.connections import Connections


class Planning:
    """The questions of ``isthmus.faces.planning``, answered by the code that acts."""

    def __init__(
        self,
        instances: ServiceInstanceController,
        stacks: StackController,
        connections: Connections,
    ) -> None:
        self._instances = instances
        self._stacks = stacks
        self._connections = connections

    def render(self, instance: ServiceInstance) -> Rendering:
        """Return the Stack that the instance would become."""
        return self._instances.render(instance)

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
