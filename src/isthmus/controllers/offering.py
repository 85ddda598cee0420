"""Offering: check a catalog entry and freeze each of its states as an OfferingRevision.

Beside those in use the newest ones are kept to go back to, as a Deployment keeps its ReplicaSets.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import jsonschema_rs

from isthmus.api.meta import Json, ObjectMeta
from isthmus.api.v1alpha1 import (
    Offering,
    OfferingRevision,
    OfferingRevisionSpec,
    OfferingSpec,
    OfferingStatus,
)
from isthmus.controllers.world import World
from isthmus.core import automatic, catalog
from isthmus.core.compose.rendered import rendered_from
from isthmus.errors import AlreadyExists, InvalidSpec
from isthmus.runtime.kinds import api_of
from isthmus.runtime.outcome import Outcome, Progress, done
from isthmus.runtime.worker import Reconciler

UNUSED_KEPT = 10
"""How many revisions that nobody uses are kept of an offering, the newest ones."""


class OfferingController(Reconciler[Offering]):
    """Publishes offerings."""

    kind = Offering
    steps = ("Accepted", "Published")
    announces = False
    holds = False  # Its revisions stay as long as instances need them.

    def __init__(self, world: World) -> None:
        self._world = world

    async def reconcile(self, obj: Offering, progress: Progress[OfferingStatus]) -> Outcome:
        """Write the revision of the spec as it is."""
        _check(obj.spec)
        progress.reached("Accepted")
        revision = catalog.revision_name(obj.metadata.name, obj.spec)
        if self._world.revisions.get("", revision) is None:
            await self._freeze(obj, revision)
        await self._prune(obj, revision)
        progress.status = progress.status.model_copy(update={"revision": revision})
        return done()

    async def _freeze(self, offering: Offering, name: str) -> None:
        spec = OfferingRevisionSpec(offering=offering.metadata.name, definition=offering.spec)
        try:
            await self._world.create(OfferingRevision(metadata=ObjectMeta(name=name), spec=spec))
        except AlreadyExists:
            await self._world.look_up(OfferingRevision, "", name)

    async def _prune(self, offering: Offering, newest: str) -> None:
        """Remove the older revisions that are nobody's."""
        revisions = list(self._world.revisions.by("offering", offering.metadata.name))
        if len(revisions) <= UNUSED_KEPT:
            return
        used = {newest, *self._used(offering.metadata.name)}
        unused = [revision.metadata for revision in revisions if revision.metadata.name not in used]
        unused.sort(key=_made, reverse=True)
        for meta in islice(unused, UNUSED_KEPT, None):
            await self._world.store.delete(api_of(OfferingRevision), "", meta.name, meta.uid)

    def _used(self, offering: str) -> Iterator[str]:
        for claim in self._world.claimants(offering):
            yield claim.spec.revision
            yield claim.status.revision
            stack = self._world.stacks.get(claim.metadata.namespace, claim.stack_name)
            origin = rendered_from(stack) if stack is not None else None
            if origin is not None:
                yield origin.revision


def _made(meta: ObjectMeta) -> datetime:
    assert meta.creation_timestamp is not None  # It comes from the API.
    return meta.creation_timestamp


def _check(spec: OfferingSpec) -> None:
    """Refuse what no instance could use."""
    _check_schema(spec.parameters, "spec.parameters")
    automatic.choices(spec.parameters)
    for index, action in enumerate(spec.actions):
        _check_schema(action.parameters, f"spec.actions[{index}].parameters")
    if spec.binding is not None:
        _check_schema(spec.binding.parameters, "spec.binding.parameters")
    names = [plan.name for plan in spec.plans]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidSpec(f"spec.plans: there are two plans {twice[0]!r}; rename one.")


def _check_schema(schema: Json, field: str) -> None:
    try:
        jsonschema_rs.meta.validate(_as_schema(schema))
    except jsonschema_rs.ValidationError as exc:
        raise InvalidSpec(f"{field}: is not a JSON Schema: {exc.message}") from exc


def _as_schema(schema: Json) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema"} | schema
