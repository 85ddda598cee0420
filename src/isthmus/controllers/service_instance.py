"""ServiceInstance: a claim that can be bound."""

from isthmus.api.v1alpha1 import ServiceInstance, ServiceInstanceStatus
from isthmus.controllers.claim import ClaimController
from isthmus.controllers.world import World
from isthmus.runtime.outcome import Outcome, Progress, waiting


class ServiceInstanceController(ClaimController[ServiceInstance]):
    """Turns an instance into a Stack, and keeps it as long as somebody is bound to it."""

    def __init__(self, world: World) -> None:
        super().__init__(world, ServiceInstance)

    async def release(
        self, obj: ServiceInstance, progress: Progress[ServiceInstanceStatus]
    ) -> Outcome:
        """Wait for the bindings to go, then take down the Stack."""
        meta = obj.metadata
        if users := self._world.bound_to(meta.namespace, meta.name):
            return waiting(users, reason="InUse")
        return await super().release(obj, progress)
