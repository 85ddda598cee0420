"""The pod network of a Cluster: brought into it as soon as its API answers, by an offering.

Nodes become Ready by it only, so it comes before they are waited for. It dies with its cluster.
"""

from isthmus.api.meta import DeletionPolicy
from isthmus.api.v1alpha1 import Cluster, OfferingSpec, Stack
from isthmus.controllers.claim import ClaimController, mirrored
from isthmus.controllers.world import World
from isthmus.core.compose.in_cluster import keys_needed
from isthmus.core.compose.pod_network import (
    PLUGIN,
    PodNetwork,
    furnished,
    network_of,
    offering_of,
    pod_mtu,
)
from isthmus.core.compose.rendered import Rendered, rendered_from
from isthmus.core.plan import Rendering
from isthmus.core.stacks import owner_uid
from isthmus.errors import InvalidSpec


class PodNetworks(ClaimController[PodNetwork]):
    """Renders and writes the Stack of a cluster's pod network; it reconciles nothing by itself.

    Args:
        world: Where it lives.
        cluster: The cluster, with its newest status.
    """

    def __init__(self, world: World, cluster: Cluster) -> None:
        super().__init__(world, PodNetwork)
        self._cluster = cluster

    def check(self, rendering: Rendering) -> None:
        """Refuse what could never become ready, before anything of the cluster is made.

        Raises:
            InvalidSpec: Names the field.
        """
        name = offering_of(rendering.definition, rendering.values)
        if not name:
            return
        pod_mtu(rendering.values)
        offering = self._world.offerings.get("", name)
        keys = keys_needed(offering.spec) if offering is not None else ()
        if keys and not self._cluster.spec.network.credentials_secret:
            raise InvalidSpec(
                f"spec.network.credentialsSecret: plugin {rendering.values[PLUGIN]!r} needs a "
                f"Secret with the keys {', '.join(keys)}."
            )

    async def have(self) -> str:
        """Have the network's Stack; say what is missing of it, empty: nothing."""
        origin = self._origin()
        if origin is None:
            return ""
        name = offering_of(self._world.definition(origin.revision), origin.values)
        if not name:
            return ""
        provider = self._cluster.status.own_provider
        try:
            rendering = self.render(network_of(self._cluster, name, provider))
        except InvalidSpec as exc:  # It speaks of parameters that no tenant gives.
            raise InvalidSpec(
                f"spec.network.plugin: {origin.values[PLUGIN]!r} does not fit this cluster: "
                f"{exc.message}"
            ) from exc
        stack = await self._have(rendering.stack, rendering.former)
        if stack.ready:
            return ""
        ready = stack.condition("Ready")
        return f"Its pod network: {mirrored(ready, 'it is being brought in.').why}"

    async def forget(self) -> str:
        """Let go of the network of a cluster that goes; say what is left, empty: nothing."""
        network = network_of(self._cluster, "none", "none")
        meta = self._cluster.metadata
        stack = await self._world.look_up(Stack, meta.namespace, network.stack_name)
        if stack is None or owner_uid(stack) != meta.uid:
            return ""
        await self._delete(await self._let_go(stack, DeletionPolicy.RETAIN))
        return "Its pod network is let go."

    def furnish(self, claim: PodNetwork, definition: OfferingSpec) -> PodNetwork:
        """Give it what is known of its cluster."""
        origin = self._origin()
        cloud = self._world.providers.get("", self._cluster.status.provider)
        values = origin.values if origin is not None else {}
        return furnished(claim, definition, self._cluster, values, cloud)

    def _origin(self) -> Rendered | None:
        """Return what the cluster's own Stack was rendered from."""
        cluster = self._cluster
        stack = self._world.stacks.get(cluster.metadata.namespace, cluster.stack_name)
        return rendered_from(stack) if stack is not None else None
