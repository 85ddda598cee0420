"""A cluster's own Provider: made when the cluster answers, gone before the cluster is.

It goes by its finalizer, like every Provider, only when no Stack names it any more. What holds data
in the cluster must be deleted by its owner first; storage backends of the cluster go along with it.
"""

from isthmus.api.meta import SecretKeyRef
from isthmus.api.v1alpha1 import Cluster, Provider, Stack, StorageBackend
from isthmus.controllers.world import World
from isthmus.core.compose.cluster_provider import CLUSTER_UID, provider_name, provider_of
from isthmus.errors import AlreadyExists, Conflict, DeletionBlocked
from isthmus.runtime.kinds import api_of

_NAMED = 5
"""How many stacks a refusal names."""


class ClusterProvider:
    """The Provider of one cluster.

    Args:
        world: Where it lives.
        cluster: The cluster.
    """

    def __init__(self, world: World, cluster: Cluster) -> None:
        self._world = world
        self._cluster = cluster
        self.name = provider_name(cluster.metadata.namespace, cluster.metadata.name)

    async def have(self, kubeconfig: SecretKeyRef) -> str:
        """Have the Provider, and return its name.

        Raises:
            AlreadyExists: Somebody else's Provider bears the name.
        """
        wanted = provider_of(self._cluster, kubeconfig)
        found = self._world.providers.get("", self.name)
        if found is None:
            await self._create(wanted)
            return self.name
        if not self._is_ours(found):
            raise AlreadyExists(
                f"metadata.name: there is a Provider {self.name!r} that is not of this cluster; "
                "remove it, or give the cluster another name."
            )
        labels = found.metadata.labels | wanted.metadata.labels
        if found.spec != wanted.spec or found.metadata.labels != labels:
            await self._change(wanted, labels)
        return self.name

    def require_free(self) -> None:
        """Refuse to take down a cluster that bears somebody's stacks.

        Raises:
            DeletionBlocked: Names them.
        """
        stacks = [stack for stack in self._inside() if self._backend(stack) is None]
        foreign = [stack for stack in stacks if not self._owns(stack)]
        if foreign:
            names = ", ".join(sorted(stack.metadata.name for stack in foreign)[:_NAMED])
            more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
            raise DeletionBlocked(
                f"Stacks live in the cluster: {names}{more}. Delete their owners first."
            )

    async def release_storage(self) -> str:
        """Have the storage backends go; say what is left, empty: nothing."""
        namespace = self._cluster.metadata.namespace
        backends = list(self._backends())
        for backend in backends:
            if not backend.deleting:
                await self._world.store.delete(
                    api_of(StorageBackend), namespace, backend.metadata.name, backend.metadata.uid
                )
        names = ", ".join(sorted(backend.metadata.name for backend in backends))
        return f"Its storage backends are being deleted first: {names}." if backends else ""

    async def release(self) -> str:
        """Have the Provider go; say what is left, empty: nothing."""
        found = await self._world.look_up(Provider, "", self.name)
        if found is None or not self._is_ours(found):
            return ""
        if not found.deleting:
            await self._world.store.delete(api_of(Provider), "", self.name, found.metadata.uid)
        ready = found.condition("Ready")
        keeps = f" {ready.message}" if ready is not None and ready.reason == "InUse" else ""
        return f"Its Provider {self.name} is being deleted.{keeps}"

    def _inside(self) -> list[Stack]:
        found = self._world.providers.get("", self.name)
        if found is None or not self._is_ours(found):
            return []
        return list(self._world.stacks.by("provider", self.name))

    def _backends(self) -> list[StorageBackend]:
        meta = self._cluster.metadata
        listed = self._world.claims[StorageBackend.names.kind]
        return list(listed.by("cluster", f"{meta.namespace}/{meta.name}"))

    def _backend(self, stack: Stack) -> StorageBackend | None:
        owners = {owner.uid for owner in stack.metadata.owner_references}
        return next((b for b in self._backends() if b.metadata.uid in owners), None)

    def _owns(self, stack: Stack) -> bool:
        return any(o.uid == self._cluster.metadata.uid for o in stack.metadata.owner_references)

    def _is_ours(self, provider: Provider) -> bool:
        return provider.metadata.labels.get(CLUSTER_UID) == self._cluster.metadata.uid

    async def _create(self, wanted: Provider) -> None:
        try:
            await self._world.create(wanted)
        except AlreadyExists:
            await self._world.look_up(Provider, "", self.name)
            raise Conflict("The Provider is there already.") from None

    async def _change(self, wanted: Provider, labels: dict[str, str]) -> None:
        raw = self._world.providers.cache.get("", self.name)
        if raw is None:
            raise Conflict("The Provider is gone.")
        body = raw | {
            "metadata": raw["metadata"] | {"labels": labels},
            "spec": wanted.dump()["spec"],
        }
        await self._world.replace(Provider, body)
