"""Held Secrets whose owner went by force: nobody else would let them go.

Without this they would stay for ever, and with them their namespace; and the next object of their
owner's name could not have its own.
"""

import asyncio
from datetime import timedelta

import structlog

from isthmus.api.meta import FINALIZER, Json, OwnerReference
from isthmus.controllers.world import World
from isthmus.errors import IsthmusError
from isthmus.runtime.kinds import SECRETS

log = structlog.get_logger(__name__)

_SWEEP = timedelta(minutes=1)


class HeldSecrets:
    """All Secrets that bear our finalizer."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def sweep(self) -> None:
        """Let go of what belongs to nobody any more, from time to time, for ever."""
        while True:
            await asyncio.sleep(_SWEEP.total_seconds())
            for namespace, name in self._world.secrets.keys_by("held", "true"):
                try:
                    await self._free(namespace, name)
                except IsthmusError as err:
                    log.warning("held secret stays", name=name, reason=err.reason, why=err.message)
                except Exception:  # The others must go all the same.
                    log.exception("held secret stays", name=name)

    async def _free(self, namespace: str, name: str) -> None:
        known = self._world.secrets.get(namespace, name)
        if known is None or await self._is_needed(known):
            return
        found = await self._world.store.get(SECRETS, namespace, name)
        if found is None or found["metadata"]["uid"] != known["metadata"]["uid"]:
            return
        finalizers: list[str] = found["metadata"].get("finalizers", [])
        others = [other for other in finalizers if other != FINALIZER]
        metadata = found["metadata"] | {"finalizers": others}
        stored = await self._world.store.replace(SECRETS, found | {"metadata": metadata})
        self._world.secrets.put(stored)
        log.info("held secret let go", namespace=namespace, name=name)

    async def _is_needed(self, secret: Json) -> bool:
        """Tell whether its owner is there, or of a kind that we cannot ask about."""
        meta = secret["metadata"]
        owners: list[Json] = meta.get("ownerReferences", [])
        owner = next((one for one in owners if one.get("controller")), None)
        if owner is None:
            return False
        if owner["kind"] not in self._world.claims:
            return True
        known = OwnerReference.model_validate(owner)
        return await self._world.owning_claim(meta["namespace"], known) is not None


def held(secret: Json) -> list[str]:
    """Index the Secrets that bear our finalizer."""
    return ["true"] if FINALIZER in secret["metadata"].get("finalizers", ()) else []
