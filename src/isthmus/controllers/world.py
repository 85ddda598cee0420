"""What every controller works with: the objects near at hand, the store, the open accounts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from isthmus.api.meta import Json, OwnerReference, Resource
from isthmus.api.v1alpha1 import (
    AnyClaim,
    Cluster,
    NodePool,
    Offering,
    OfferingRevision,
    OfferingSpec,
    Operation,
    Provider,
    ServiceBinding,
    ServiceInstance,
    Stack,
)
from isthmus.core import selectors
from isthmus.errors import Conflict, Forbidden, NotFound, NotYet
from isthmus.ports import Api, Clock, OpenCluster, Store
from isthmus.runtime.cache import Cache, Lister
from isthmus.runtime.connections import Connections
from isthmus.runtime.kinds import NAMESPACES, Key, api_of, key_of

ResourceT = TypeVar("ResourceT", bound=Resource[Any, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The view that all controllers share. Lookups cost no round trip."""

    store: Store
    clock: Clock
    connections: Connections
    providers: Lister[Provider]
    offerings: Lister[Offering]
    revisions: Lister[OfferingRevision]
    instances: Lister[ServiceInstance]
    claims: Mapping[str, Lister[Any]]
    """By kind, the ServiceInstances among them."""
    clusters: Lister[Cluster]
    pools: Lister[NodePool]
    open_cluster: OpenCluster
    bindings: Lister[ServiceBinding]
    stacks: Lister[Stack]
    operations: Lister[Operation]
    namespaces: Cache
    secrets: Cache

    def labels_of(self, namespace: str) -> Mapping[str, str]:
        """Return the labels of a namespace; its name is one of them."""
        found = self.namespaces.get("", namespace)
        labels: dict[str, str] = found["metadata"].get("labels", {}) if found is not None else {}
        return labels | {selectors.NAMESPACE_NAME: namespace}

    async def ends(self, cluster: Cluster) -> bool:
        """Tell whether a cluster goes, by itself or with its namespace; an attached one stays.

        The namespace is read past the cache, which may learn of it after what is in it.
        """
        if cluster.attached or cluster.deleting:
            return not cluster.attached
        found = await self.store.get(NAMESPACES, "", cluster.metadata.namespace)
        return found is not None and "deletionTimestamp" in found["metadata"]

    def owners(self, uid: str) -> Iterator[Key]:
        """Yield namespace and name of the objects of this uid that may own a native stack."""
        for lister in (*self.claims.values(), self.stacks):
            yield from lister.cache.keys_by("uid", uid)

    async def owning_claim(self, namespace: str, owner: OwnerReference) -> AnyClaim | None:
        """Return the claim that an object belongs to; None: it is gone, or no claim.

        What the cache does not know is read past it: it may have missed it, and who asks destroys.
        """
        listed = self.claims.get(owner.kind)
        if listed is None:
            return None
        found = listed.get(namespace, owner.name)
        if found is None or found.metadata.uid != owner.uid:
            found = await self.look_up(listed.kind, namespace, owner.name)
        return found if found is not None and found.metadata.uid == owner.uid else None

    def bound_to(self, namespace: str, instance: str) -> str:
        """Say which ServiceBindings use an instance, and what to do; empty: none does."""
        users = self.bindings.cache.keys_by("instance", f"{namespace}/{instance}")
        names = ", ".join(name for _, name in users)
        return f"ServiceBindings use it: {names}. Delete them first." if users else ""

    def claimants(self, offering: str) -> Iterator[AnyClaim]:
        """Yield every claim on an offering."""
        for lister in self.claims.values():
            yield from lister.by("offering", offering)

    def provider(self, name: str, namespace: str) -> Provider:
        """Return a Provider that this namespace may use.

        Raises:
            NotYet: There is none of that name.
            Forbidden: It is not for this namespace.
        """
        provider = self.providers.get("", name)
        if provider is None:
            raise NotYet(
                f"spec.provider: there is no Provider {name!r}; create it or name another."
            )
        if not selectors.matches(provider.spec.namespace_selector, self.labels_of(namespace)):
            raise Forbidden(
                f"spec.provider: namespace {namespace!r} may not use Provider {name!r}; ask its "
                "administrator, or name another."
            )
        return provider

    def require_adoption(self, provider: str, namespace: str) -> None:
        """Let a namespace take over, or look at, what was not made for it.

        Raises:
            Forbidden: The Provider does not allow it to this namespace.
        """
        selector = self.provider(provider, namespace).spec.adoption_selector
        if selector is None or not selectors.matches(selector, self.labels_of(namespace)):
            raise Forbidden(
                f"spec.adopt: namespace {namespace!r} may not adopt or observe what was not made "
                f"for it on Provider {provider!r}; its administrator may allow that in "
                "spec.adoptionSelector."
            )

    def definition(self, revision: str) -> OfferingSpec:
        """Return the offering as it was at a revision.

        Raises:
            NotYet: There is no such revision.
        """
        found = self.revisions.get("", revision)
        if found is None:
            raise NotYet(f"spec.revision: there is no OfferingRevision {revision!r}.")
        return found.spec.definition

    async def create(self, obj: Resource[Any, Any]) -> Json:
        """Create one of our objects; the cache knows it at once."""
        api = api_of(type(obj))
        return self._kept(api, await self.store.create(api, obj.dump()))

    async def replace(self, kind: type[Resource[Any, Any]], raw: Json) -> Json:
        """Replace one of our objects; where somebody was faster, the cache learns of it."""
        api = api_of(kind)
        try:
            return self._kept(api, await self.store.replace(api, raw))
        except (Conflict, NotFound):
            await self.look_up(kind, *key_of(raw))
            raise Conflict("It was written by somebody else meanwhile.") from None

    async def look_up(self, kind: type[ResourceT], namespace: str, name: str) -> ResourceT | None:
        """Read an object past the cache, where an old answer would do harm."""
        api = api_of(kind)
        raw = await self.store.get(api, namespace, name)
        if raw is None:
            self._cache(api).forget((namespace, name))
            return None
        return kind.parse(self._kept(api, raw))

    def _kept(self, api: Api, raw: Json) -> Json:
        self._cache(api).put(raw)
        return raw

    def _cache(self, api: Api) -> Cache:
        listers: tuple[Lister[Any], ...] = (
            self.providers,
            self.offerings,
            self.revisions,
            *self.claims.values(),
            self.bindings,
            self.stacks,
            self.operations,
        )
        return next(lister.cache for lister in listers if lister.cache.api == api)
