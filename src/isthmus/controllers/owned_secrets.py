"""Secrets that belong to one of our objects: made once, written anew, and gone with it."""

import base64
from collections.abc import Mapping
from typing import Any

from isthmus.api.meta import Json, Resource
from isthmus.controllers.world import World
from isthmus.errors import AlreadyExists, Conflict
from isthmus.runtime.connections import secret_values
from isthmus.runtime.kinds import SECRETS

AnyResource = Resource[Any, Any]


class OwnedSecret:
    """One Secret of one object.

    Args:
        world: Where it lives.
        owner: The object.
        name: The Secret's name.
    """

    def __init__(self, world: World, owner: AnyResource, name: str) -> None:
        self._world = world
        self._owner = owner
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
            stored = await store.replace(SECRETS, body | {"metadata": meta})
        self._world.secrets.put(stored)

    async def delete(self) -> None:
        """Remove it, if it is ours."""
        found = await self._world.store.get(SECRETS, self._owner.metadata.namespace, self.name)
        if found is not None and self._is_ours(found):
            meta = found["metadata"]
            await self._world.store.delete(SECRETS, meta["namespace"], self.name, meta["uid"])

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
                "ownerReferences": [self._owner.owner_reference().model_dump(by_alias=True)],
            },
            "data": {k: base64.b64encode(v.encode()).decode() for k, v in values.items()},
        }
