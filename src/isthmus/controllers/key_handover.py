"""A cluster's key on its way to the servers of its control plane, past the stack that remembers.

The sealed authorities lie in user data, where many can read them for years; only their key makes
them worth anything. It is put on each server as soon as that is there, while the stack may still
wait for it, and taken away when the control plane is up. The calls are the offering's
(``stacks.<driver>.handover``), made like those of an action.

Who holds the key is noted in the status before it is given, so that a crash at any point leaves
nobody with it. While the cluster starts it is given again at every look: a change of the stack may
have taken it away.
"""

from collections.abc import Mapping

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, ClusterStatus, Handover, Provider
from isthmus.controllers.owned_secrets import OwnedSecret
from isthmus.controllers.service_binding import facts_of
from isthmus.controllers.world import World
from isthmus.core import catalog, guards
from isthmus.core.compose.claim import scope_of
from isthmus.core.compose.cluster import KEY, secret_name
from isthmus.core.plan import Rendering
from isthmus.core.render import substitute
from isthmus.errors import NotFound, NotYet, StateForbids
from isthmus.ports import ActionCall
from isthmus.runtime.outcome import Progress


class KeyHandover:
    """The handover of one cluster.

    Args:
        world: Where it lives.
        cluster: The cluster.
        rendering: What it is rendered to now.
    """

    def __init__(self, world: World, cluster: Cluster, rendering: Rendering) -> None:
        self._world = world
        self._cluster = cluster
        self._provider: Provider = rendering.provider
        self._scope = scope_of(cluster, rendering.values).of_use({}, facts_of(rendering.provider))
        template = catalog.stack_of(rendering.definition, rendering.provider.spec.driver)
        self._how: Handover | None = template.handover

    async def step(self, progress: Progress[ClusterStatus]) -> str:
        """Give the key while the cluster starts, withdraw it afterwards; say what is still to do.

        Nobody wakes a cluster for a server that has come: as long as there are words, look soon.
        """
        if self._how is None:
            return ""
        if self._cluster.status.bootstrapped:
            await self.withdraw(progress)
            return ""
        known = self._servers(self._how)
        there = {name: server for name, server in known.items() if server}
        noted = self._cluster.status.key_holders
        if fresh := tuple(server for server in there.values() if server not in noted):
            holders = (*noted, *fresh)
            progress.status = progress.status.model_copy(update={"key_holders": holders})
            return f"{', '.join(sorted(there))} will be given the key of its authorities."
        if unfit := await self._give(self._how, there, progress):
            return f"The key of its authorities cannot be given yet: {unfit}"
        if there and all(known.values()):
            return ""
        return "Its servers get the key of its authorities as soon as they are there."

    async def withdraw(self, progress: Progress[ClusterStatus]) -> None:
        """Take the key away from everybody who may hold it."""
        holders = self._cluster.status.key_holders
        if self._how is None or not holders:
            return
        for holder in holders:
            try:
                await self._call(self._how.withdraw, holder, progress)
            except NotFound:
                continue  # The server is gone, and the key with it.
        progress.status = progress.status.model_copy(update={"key_holders": ()})

    def _servers(self, how: Handover) -> dict[str, str]:
        """Return the servers that the stack has, with the cloud's ids of those that are there."""
        cluster = self._cluster
        stack = self._world.stacks.get(cluster.metadata.namespace, cluster.stack_name)
        found = stack.status.resources if stack is not None else ()
        ids = {one.logical_id: one.physical_id for one in found}
        return {name: ids[name] for name in how.to if name in ids}

    async def _give(
        self, how: Handover, servers: Mapping[str, str], progress: Progress[ClusterStatus]
    ) -> str:
        """Give the key to all, and say why one cannot be given it yet."""
        made = await OwnedSecret(
            self._world, self._cluster, secret_name(self._cluster.metadata.name)
        ).read()
        key = made[0].get(KEY, "") if made is not None else ""
        if not key:
            raise NotYet(f"Secret {secret_name(self._cluster.metadata.name)!r} has no {KEY!r}.")
        unfit = ""
        for name, server in servers.items():
            try:
                with guards.unsaid_values(key):
                    await self._call(how.give, server, progress, key)
            except (StateForbids, NotFound) as exc:
                unfit = f"{name}: {exc.message}"
        return unfit

    async def _call(
        self, calls: Json, server: str, progress: Progress[ClusterStatus], key: str = ""
    ) -> None:
        scope = self._scope | {"handover.resource": server, "handover.key": key}
        # Every look is a call of its own: it shall have its effect though an earlier one had it.
        token = f"{self._cluster.metadata.uid}/{server}/{progress.now.isoformat()}"
        spec: Json = substitute(calls, scope, path="handover")
        async with self._world.connections.use(self._provider) as connection:
            await connection.actions.start(ActionCall(token=token, spec=spec))
