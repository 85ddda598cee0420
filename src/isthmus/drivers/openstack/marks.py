"""Marks that Heat's check leaves on servers that are there: lifted before Heat acts on them.

A check of Heat marks every server that is not ACTIVE just then: switched off, rebooting, waiting
for a resize to be confirmed. The next update, whatever it is for, makes each marked resource anew.
What Nova still has is not to be lost like that: a pool replaces its servers itself, once they are
empty, and of others their owner decides. A mark that somebody set by hand on a healthy stack stays.
https://opendev.org/openstack/heat/src/branch/master/heat/engine/resource.py (``_needs_update``)
"""

import asyncio
from typing import Final

from isthmus.api.v1alpha1 import StackResource
from isthmus.drivers.openstack import readings
from isthmus.drivers.openstack.observation import Observer
from isthmus.drivers.openstack.readings import CHECK_FAILED, SERVER, Native, Part
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.states import CHECKING
from isthmus.errors import NotFound

_GONE: Final = frozenset({"DELETED", "SOFT_DELETED"})


class Marks:
    """The marks on servers of one project."""

    def __init__(self, cloud: Cloud, observer: Observer) -> None:
        self._cloud = cloud
        self._observer = observer

    async def unjust(self, native: Native) -> dict[str, Part]:
        """Return the marked servers that Nova has, by their paths."""
        if not native.status.endswith("_FAILED") and native.status != CHECKING:
            return {}  # A check that was broken off has marked some already.
        parts = await self._observer.failed_parts(native)
        marked = [part for part in parts if _is_marked(part.resource)]
        there = await asyncio.gather(*(self._exists(part.resource.physical_id) for part in marked))
        where = readings.paths(parts)
        kept = [part for part, exists in zip(marked, there, strict=True) if exists]
        return {readings.located(part, where).logical_id: part for part in kept}

    async def lift(self, native: Native) -> None:
        """Have Heat take these servers for whole again."""
        for part in (await self.unjust(native)).values():
            path = f"{part.stack_path}/resources/{part.resource.logical_id}"
            body = {"mark_unhealthy": False, "resource_status_reason": "the server is there"}
            await self._cloud.ask("orchestration", "PATCH", path, body=body)

    async def _exists(self, server: str) -> bool:
        try:
            found = await self._cloud.get("compute", f"/servers/{server}")
        except NotFound:
            return False
        return str(found["server"].get("status", "")) not in _GONE


def _is_marked(resource: StackResource) -> bool:
    return (
        resource.status == CHECK_FAILED and resource.type == SERVER and bool(resource.physical_id)
    )
