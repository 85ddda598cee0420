"""StorageBackend: rendered like every claim, but into the cluster that it is for."""

from isthmus.api.meta import DeletionPolicy
from isthmus.api.v1alpha1 import (
    Cluster,
    OfferingSpec,
    Provider,
    Stack,
    StorageBackend,
    StorageBackendStatus,
)
from isthmus.controllers.claim import ClaimController
from isthmus.controllers.world import World
from isthmus.core.compose import storage_backend as compose
from isthmus.errors import InvalidSpec, NotYet
from isthmus.runtime.outcome import Outcome, Progress


class StorageBackendController(ClaimController[StorageBackend]):
    """Brings storage into clusters."""

    def __init__(self, world: World) -> None:
        super().__init__(world, StorageBackend)

    async def reconcile(
        self, obj: StorageBackend, progress: Progress[StorageBackendStatus]
    ) -> Outcome:
        """Have the Stack, and say which classes are there."""
        outcome = await super().reconcile(obj, progress)
        outputs = progress.status.outputs
        update = {
            "driver": outputs.get(compose.DRIVER, ""),
            "classes": compose.classes(outputs),
        }
        progress.status = progress.status.model_copy(update=update)
        return outcome

    async def release(
        self, obj: StorageBackend, progress: Progress[StorageBackendStatus]
    ) -> Outcome:
        """Take it out of the cluster; a cluster that goes itself takes it along."""
        cluster = self._found(obj)
        if cluster is not None and await self._world.ends(cluster):
            kept = obj.spec.model_copy(update={"deletion_policy": DeletionPolicy.RETAIN})
            obj = obj.model_copy(update={"spec": kept})
        return await super().release(obj, progress)

    def furnish(self, claim: StorageBackend, definition: OfferingSpec) -> StorageBackend:
        """Give it what its Secret and its cluster know."""
        cluster = self._found(claim)
        name = cluster.status.provider if cluster is not None else ""
        cloud = self._world.providers.get("", name) if name else None
        return compose.furnished(claim, definition, cluster, cloud)

    def _provider(
        self, claim: StorageBackend, definition: OfferingSpec, former: Stack | None
    ) -> Provider:
        """Return the cluster's own Provider where a cluster is named."""
        if not claim.spec.cluster:
            return super()._provider(claim, definition, former)
        if claim.spec.provider:
            raise InvalidSpec("spec.provider: leave it out; spec.cluster says where it lands.")
        cluster = self._cluster(claim)
        name = cluster.status.own_provider
        if former is not None and former.spec.provider != name:
            raise InvalidSpec("spec.cluster: cannot be changed; create another StorageBackend.")
        if former is None and cluster.deleting:
            raise NotYet(f"spec.cluster: Cluster {claim.spec.cluster!r} is being deleted.")
        return self._world.provider(name, claim.metadata.namespace)

    def _found(self, backend: StorageBackend) -> Cluster | None:
        return self._world.clusters.get(backend.metadata.namespace, backend.spec.cluster)

    def _cluster(self, backend: StorageBackend) -> Cluster:
        cluster, name = self._found(backend), backend.spec.cluster
        if cluster is None:
            raise NotYet(f"spec.cluster: there is no Cluster {name!r} in this namespace.")
        if not cluster.status.own_provider:
            raise NotYet(f"spec.cluster: Cluster {name!r} does not answer yet.")
        return cluster
