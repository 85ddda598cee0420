"""Secrets that belong to one of our objects: made once, written anew, and gone or left with it.

One that is held bears our finalizer: whoever deletes it, it is there until its owner needs it no
more. The key to a cluster in which something lives must not go first.
"""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from isthmus.api.meta import FINALIZER, Json, Resource
from isthmus.controllers.world import World
from isthmus.errors import AlreadyExists, Conflict, Forbidden, NotFound
from isthmus.ports import Store
from isthmus.runtime.connections import secret_values
from isthmus.runtime.kinds import SECRETS

AnyResource = Resource[Any, Any]
Values = dict[str, str]

LEFT_WITH = "isthmus.dev/left-with"
"""Annotation: the native stack that an object left when it went, and this Secret with it."""


class OwnedSecret:
    """One Secret of one object.

    Args:
        world: Where it lives.
        owner: The object.
        name: The Secret's name.
        held: Whether it stays until its owner goes.
    """

    def __init__(self, world: World, owner: AnyResource, name: str, *, held: bool = False) -> None:
        self._world = world
        self._owner = owner
        self._held = (FINALIZER,) if held else ()
        self.name = name

    async def read(self) -> tuple[dict[str, str], dict[str, str]] | None:
        """Return its values and annotations; None where there is none.

        Raises:
            AlreadyExists: The name is another's.
        """
        found = await self._find()
        if found is None:
            return None
        return secret_values(found), found["metadata"].get("annotations", {})

    async def write(
        self, values: Mapping[str, str], annotations: Mapping[str, str] | None = None
    ) -> None:
        """Create or replace it.

        Raises:
            AlreadyExists: The name is another's.
            Conflict: Somebody else wrote it meanwhile.
        """
        found = await self._find()
        body = self._body(values, annotations or {})
        store = self._world.store
        if found is None:
            try:
                stored = await store.create(SECRETS, body)
            except AlreadyExists:
                raise Conflict("The Secret is there already.") from None
        else:
            meta = body["metadata"] | {"resourceVersion": found["metadata"]["resourceVersion"]}
            if "deletionTimestamp" in found["metadata"]:  # It takes no new finalizer.
                meta["finalizers"] = found["metadata"].get("finalizers", [])
            stored = await _replace(store, body | {"metadata": meta})
        self._world.secrets.put(stored)

    async def delete(self) -> None:
        """Remove it, if it is ours."""
        found = await self._world.store.get(SECRETS, self._owner.metadata.namespace, self.name)
        if found is not None and self._is_ours(found):
            meta = found["metadata"]
            if self._held:
                await self._hand_on(found, meta["ownerReferences"], {}, ())
            await self._world.store.delete(SECRETS, meta["namespace"], self.name, meta["uid"])

    async def leave(self, stack: str) -> None:
        """Let go of it, if it is ours: it stays when its owner goes, for who adopts the stack."""
        found = await self._world.store.get(SECRETS, self._owner.metadata.namespace, self.name)
        if found is not None and self._is_ours(found):
            await self._hand_on(found, self._others(found), {LEFT_WITH: stack}, ())

    async def save(self, stack: str) -> None:
        """Leave a copy, if somebody has deleted it: then it goes as soon as it is let go."""
        found = await self._world.store.get(SECRETS, self._owner.metadata.namespace, self.name)
        if (
            found is None
            or not self._is_ours(found)
            or "deletionTimestamp" not in found["metadata"]
        ):
            return
        body = self._body(secret_values(found), {LEFT_WITH: stack})
        free: Json = {"ownerReferences": [], "finalizers": []}
        name = f"{self.name}-{self._owner.metadata.uid[:8]}"
        copy = body | {"metadata": body["metadata"] | free | {"name": name}}
        with suppress(AlreadyExists, Forbidden):  # Made before; or its namespace goes as well.
            self._world.secrets.put(await self._world.store.create(SECRETS, copy))

    async def take_over(self, stack: str) -> None:
        """Make it ours, if it was left with that stack and is nobody's."""
        namespace = self._owner.metadata.namespace
        known = self._world.secrets.get(namespace, self.name)
        if known is not None and not _was_left(known, stack):
            return
        found = await self._world.store.get(SECRETS, namespace, self.name)
        if found is not None and _was_left(found, stack):
            ours = self._owner.owner_reference().model_dump(by_alias=True)
            await self._hand_on(found, [ours], {}, self._held)

    async def _hand_on(
        self, found: Json, owners: list[Json], note: dict[str, str], held: tuple[str, ...]
    ) -> None:
        meta = found["metadata"]
        notes = {k: v for k, v in meta.get("annotations", {}).items() if k != LEFT_WITH}
        others = [other for other in meta.get("finalizers", []) if other != FINALIZER]
        changed: Json = {
            "ownerReferences": owners,
            "annotations": notes | note,
            "finalizers": [*others, *held],
        }
        stored = await _replace(self._world.store, found | {"metadata": meta | changed})
        self._world.secrets.put(stored)

    def _others(self, found: Json) -> list[Json]:
        owners = found["metadata"].get("ownerReferences", [])
        return [owner for owner in owners if owner["uid"] != self._owner.metadata.uid]

    async def _find(self) -> Json | None:
        found = await self._world.store.get(SECRETS, self._owner.metadata.namespace, self.name)
        if found is not None and not self._is_ours(found):
            raise AlreadyExists(
                f"metadata.name: there is a Secret {self.name!r} that is not of this object; "
                "choose another name, or remove the Secret."
            )
        return found

    def _is_ours(self, secret: Json) -> bool:
        owners = secret["metadata"].get("ownerReferences", [])
        return any(owner["uid"] == self._owner.metadata.uid for owner in owners)

    def _body(self, values: Mapping[str, str], annotations: Mapping[str, str]) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": self.name,
                "namespace": self._owner.metadata.namespace,
                "annotations": dict(annotations),
                "finalizers": list(self._held),
                "ownerReferences": [self._owner.owner_reference().model_dump(by_alias=True)],
            },
            "data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()},
        }


class LeftSecret:
    """A Secret that an object left when it went."""

    def __init__(self, world: World, secret: Json) -> None:
        self._world = world
        self._meta = secret["metadata"]

    async def delete(self) -> None:
        """Remove it."""
        meta = self._meta
        await self._world.store.delete(SECRETS, meta["namespace"], meta["name"], meta["uid"])


async def what_was_left(
    world: World, owner: AnyResource, stack: str
) -> AsyncIterator[tuple[LeftSecret, Values]]:
    """Yield what was left with a native stack in the owner's namespace, with the values."""
    namespace = owner.metadata.namespace
    for home, name in world.secrets.keys_by("left", stack):
        found = await world.store.get(SECRETS, home, name) if home == namespace else None
        if found is not None and _was_left(found, stack):
            yield LeftSecret(world, found), secret_values(found)


def left_with(secret: Json) -> list[str]:
    """Index the Secrets that were left by the native stacks that they were left with."""
    stack = secret["metadata"].get("annotations", {}).get(LEFT_WITH)
    return [stack] if stack else []


async def _replace(store: Store, secret: Json) -> Json:
    try:
        return await store.replace(SECRETS, secret)
    except NotFound:  # It went between our look and this.
        raise Conflict("The Secret is gone.") from None


def _was_left(secret: Json, stack: str) -> bool:
    meta = secret["metadata"]
    free = not meta.get("ownerReferences")
    return free and bool(stack) and meta.get("annotations", {}).get(LEFT_WITH) == stack
