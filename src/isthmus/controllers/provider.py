"""Provider: open the account, ask who we are there, and refuse to go while somebody uses it."""

from isthmus.api.meta import SIMULATED
from isthmus.api.v1alpha1 import Provider, ProviderStatus
from isthmus.controllers.world import World
from isthmus.runtime.outcome import Outcome, Progress, done, waiting
from isthmus.runtime.worker import Reconciler

_NAMED = 5
"""How many users a refusal names."""


class ProviderController(Reconciler[Provider]):
    """Keeps accounts known and reachable."""

    kind = Provider
    steps = ("Accepted", "Connected")

    def __init__(self, world: World) -> None:
        self._world = world

    async def reconcile(self, obj: Provider, progress: Progress[ProviderStatus]) -> Outcome:
        """Connect and probe."""
        simulated = obj.metadata.labels.get(SIMULATED) == "true"
        progress.status = progress.status.model_copy(update={"simulated": simulated})
        async with self._world.connections.use(obj) as connection:
            progress.reached("Accepted")
            facts = await connection.probe()
        update = {
            "account": facts.account,
            "engine": facts.engine,
            "services": tuple(sorted(facts.services)),
        }
        progress.status = progress.status.model_copy(update=update)
        return done()

    async def release(self, obj: Provider, progress: Progress[ProviderStatus]) -> Outcome:
        """Go, unless stacks are still there: without the account nobody could delete them."""
        del progress
        users = self._world.stacks.cache.keys_by("provider", obj.metadata.name)
        if users:
            names = ", ".join(f"{namespace}/{name}" for namespace, name in users[:_NAMED])
            more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
            return waiting(
                f"Stacks use it: {names}{more}. Delete them, or their owners, first.",
                reason="InUse",
            )
        await self._world.connections.forget(obj)
        return done()
