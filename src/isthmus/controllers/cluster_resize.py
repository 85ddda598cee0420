"""Another flavor for a cluster's control plane: its servers are resized one after the other."""

from collections.abc import Sequence
from datetime import timedelta

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, OfferingSpec, Stack
from isthmus.controllers.world import World
from isthmus.core import catalog, schemas
from isthmus.core.compose.rendered import rendered_from
from isthmus.core.nodes import ClusterNode
from isthmus.core.planner.flavors import FLAVOR, FLAVORS, REST, flavors_of, one_more, to_have
from isthmus.runtime.outcome import Waiting, waiting

_LOOK = timedelta(seconds=10)


class ControlFlavors:
    """The flavors of one cluster's control plane.

    Args:
        world: Where it lives.
        cluster: The cluster.
    """

    def __init__(self, world: World, cluster: Cluster) -> None:
        self._world = world
        self._cluster = cluster
        self._stack = world.stacks.get(cluster.metadata.namespace, cluster.stack_name)
        origin = rendered_from(self._stack) if self._stack is not None else None
        self._values: Json = origin.values if origin is not None else {}

    def furnished(self, definition: OfferingSpec) -> Cluster:
        """Return the cluster with the flavors that its servers are to have now.

        Who gives them himself has them all at once.
        """
        spec = self._cluster.spec
        if FLAVORS in spec.parameters or FLAVORS not in schemas.properties(definition.parameters):
            return self._cluster
        plan = catalog.plan_of(definition, spec.plan)
        wanted = catalog.usual(definition, plan) | spec.asked()
        nodes = self._cluster.condition("NodesReady")
        well = nodes is not None and nodes.status == "True"
        flavors = to_have(self._values, wanted, calm=well and self._rested)
        return self._with(flavors)

    def next(self, found: Sequence[ClusterNode]) -> tuple[Cluster | None, Waiting | None]:
        """Return the cluster with one more of the wanted flavor, or what that waits for.

        Neither: all have it, or who asks gives each server its own. The first alone is no reason to
        hold up anything else.
        """
        flavors, wanted = flavors_of(self._values), str(self._values.get(FLAVOR) or "")
        there = flavors.count(wanted)
        given = FLAVORS in self._cluster.spec.parameters
        if given or FLAVORS not in self._values or there == len(flavors):
            return None, None
        words = f"Its control plane gets the flavor {wanted!r}: {there} of {len(flavors)} have it"
        bearers = [node for node in found if node.control_plane]
        late = next((node.name for node in bearers if not node.ready), "")
        if late or len(bearers) < len(flavors):
            what = f"{late} is not ready" if late else "not all of its nodes are there"
            return None, waiting(f"{words}; {what}.", after=_LOOK)
        if not self._rested:
            return None, waiting(f"{words}; the next one follows in a moment.", after=_LOOK)
        return self._with(one_more(flavors, wanted)), waiting(f"{words}.", after=_LOOK)

    @property
    def _rested(self) -> bool:
        """Whether its Stack was ready for long enough."""
        return self._stack is not None and _since(self._stack, self._world) >= REST

    def _with(self, flavors: Sequence[str]) -> Cluster:
        spec = self._cluster.spec
        parameters = spec.parameters | {FLAVORS: list(flavors)}
        spec = spec.model_copy(update={"parameters": parameters})
        return self._cluster.model_copy(update={"spec": spec})


def _since(stack: Stack, world: World) -> timedelta:
    ready = stack.condition("Ready")
    since = ready.last_transition_time if ready is not None and stack.ready else None
    return world.clock.now() - since if since is not None else timedelta()
