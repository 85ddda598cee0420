"""The authorities of a cluster: made once, left with it, and never made for one that is there.

Servers trust the authority that they were made with. So a cluster that is adopted has its own, in
the Secret that its former Cluster left, or it is not ours to manage; who only observes makes none.
"""

from contextlib import suppress
from datetime import datetime

from isthmus.api.meta import Management
from isthmus.api.v1alpha1 import Cluster, OfferingSpec
from isthmus.controllers.owned_secrets import OwnedSecret, Values, what_was_left
from isthmus.controllers.world import World
from isthmus.core.compose.cluster import (
    KEY,
    PAYLOAD,
    kubeconfig_name,
    secret_name,
    wants_authorities,
)
from isthmus.errors import AlreadyExists, NotYet
from isthmus.runtime import pki

AUTHORITY = "ca.crt"


class Authorities:
    """The authorities of one cluster.

    Args:
        world: Where it lives.
        cluster: The cluster.
    """

    def __init__(self, world: World, cluster: Cluster) -> None:
        self._world = world
        self._cluster = cluster
        name = cluster.metadata.name
        self._secret = OwnedSecret(world, cluster, secret_name(name), held=True)
        self._kubeconfig = OwnedSecret(world, cluster, kubeconfig_name(name), held=True)

    async def known(self) -> Values:
        """Return what there is; nothing where the blueprint has an authority of its own.

        Raises:
            AlreadyExists: The Secret's name is another's.
        """
        if self._cluster.spec.management is Management.OBSERVE:
            with suppress(AlreadyExists):
                return _values(await self._secret.read())
            return {}
        if self._adopted:
            await self._secret.take_over(self._adopted)
            await self._kubeconfig.take_over(self._adopted)
        return _values(await self._secret.read())

    async def have(self, keys: Values, definition: OfferingSpec, now: datetime) -> Values:
        """Return what is known, made now where the cluster itself is new.

        Args:
            keys: What is known.
            definition: The blueprint.
            now: The time.

        Raises:
            NotYet: The cluster is there, and its authorities are not.
        """
        if self._adopted:
            keys = await self._brought_along(self._adopted, keys)
        observed = self._cluster.spec.management is Management.OBSERVE
        if keys or observed or not wants_authorities(definition):
            return keys
        if self._adopted:
            raise NotYet(
                "spec.adopt: the cluster has authorities, and nobody here knows them: bring back "
                f"Secret {self._secret.name!r} as its former Cluster left it, or attach the "
                "cluster by spec.kubeconfigSecret."
            )
        keys = _new(now)
        await self._secret.write(keys)
        return keys

    async def leave(self, stack: str) -> None:
        """Let go of the secrets, so that they stay for whoever adopts the native stack."""
        await self._secret.save(stack)  # The kubeconfig is issued anew by who has the authorities.
        for secret in (self._kubeconfig, self._secret):
            await secret.leave(stack)

    async def delete(self) -> None:
        """Remove the secrets."""
        for secret in (self._kubeconfig, self._secret):
            await secret.delete()

    @property
    def _adopted(self) -> str:
        """Name of the native stack that is adopted as a whole; empty: none is."""
        spec = self._cluster.spec
        whole = spec.management is Management.ADOPT and spec.adopt and not spec.adopt.resources
        return spec.adopt.external_name if whole and spec.adopt is not None else ""

    async def _brought_along(self, stack: str, keys: Values) -> Values:
        """Move the authorities that were left under another name to where ours are."""
        async for former, values in what_was_left(self._world, self._cluster, stack):
            if AUTHORITY in values and not keys:
                await self._secret.write(values)
                keys = values
            if values == keys:
                await former.delete()
        return keys


def _values(found: tuple[Values, Values] | None) -> Values:
    return found[0] if found is not None else {}


def _new(now: datetime) -> Values:
    """Make what a new cluster starts with."""
    authorities, key = pki.make_authorities(now), pki.sealing_key()
    return authorities | {PAYLOAD: pki.sealed_bundle(authorities, key), KEY: key}
