"""Provider: open the account, ask who we are there, and refuse to go while somebody uses it."""

from isthmus.api.meta import SIMULATED
from isthmus.api.v1alpha1 import Provider, ProviderStatus
from isthmus.controllers.world import World
from isthmus.runtime.kinds import Key
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
        """Go, unless stacks or credentials are still there: nobody could delete them any more."""
        del progress
        world, name = self._world, obj.metadata.name
        if stacks := world.stacks.cache.keys_by("provider", name):
            words = f"Stacks use it: {_named(stacks)}. Delete them, or their owners, first."
            return waiting(words, reason="InUse")
        if bindings := world.bindings.cache.keys_by("provider", name):
            words = (
                f"ServiceBindings have credentials of it: {_named(bindings)}. Delete them first."
            )
            return waiting(words, reason="InUse")
        await world.connections.forget(obj)
        return done()


def _named(users: list[Key]) -> str:
    more = f" and {len(users) - _NAMED} more" if len(users) > _NAMED else ""
    return ", ".join(f"{namespace}/{name}" for namespace, name in users[:_NAMED]) + more
