"""The controllers: one file a kind. They decide with ``core`` and act through ``ports`` only."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from isthmus.api.meta import Json, Resource
from isthmus.api.v1alpha1 import (
    AnyClaim,
    Claim,
    Cluster,
    Machine,
    Network,
    NodePool,
    Offering,
    OfferingRevision,
    Operation,
    Provider,
    ServiceBinding,
    ServiceInstance,
    Stack,
    StorageBackend,
)
from isthmus.controllers import indexes
from isthmus.controllers.claim import ClaimController
from isthmus.controllers.cluster import ClusterController
from isthmus.controllers.held_secrets import HeldSecrets, held
from isthmus.controllers.node_pool import NodePoolController
from isthmus.controllers.offering import OfferingController
from isthmus.controllers.operation import OperationController
from isthmus.controllers.owned_secrets import left_with
from isthmus.controllers.planning import Planning
from isthmus.controllers.provider import ProviderController
from isthmus.controllers.service_binding import ServiceBindingController
from isthmus.controllers.service_instance import ServiceInstanceController
from isthmus.controllers.stack import DRIFT_EVERY, StackController
from isthmus.controllers.storage_backend import StorageBackendController
from isthmus.controllers.world import World
from isthmus.core.compose.cluster_provider import CLUSTER_UID
from isthmus.errors import InvalidSpec
from isthmus.ports import ClusterNodes, Driver, OpenCluster
from isthmus.runtime.cache import Cache, Lister, owner_uids
from isthmus.runtime.connections import Connections
from isthmus.runtime.kinds import NAMESPACES, SECRETS, Key, key_of
from isthmus.runtime.manager import Manager, Trigger

CLAIMS: tuple[type[Claim[Any, Any]], ...] = (
    ServiceInstance,
    Machine,
    Network,
    StorageBackend,
    Cluster,
    NodePool,
)
"""The kinds that are realised from an offering."""

__all__ = ["Built", "Planning", "build"]


@dataclass(frozen=True, slots=True)
class Built:
    """What others may use beside the controllers."""

    connections: Connections
    planning: Planning


def build(
    manager: Manager,
    *,
    load: Callable[[str], Driver],
    installation: str,
    open_cluster: OpenCluster | None = None,
    drift_every: timedelta = DRIFT_EVERY,
) -> Built:
    """Add all controllers to a manager; return what other readers share with them.

    Args:
        manager: Runs them.
        load: Finds a driver by its name, for example ``isthmus.drivers.load``.
        installation: Which Isthmus this is; part of the tags of everything that is made.
        open_cluster: Reaches a cluster by its kubeconfig; without it clusters are only made.
        drift_every: How often each stack is checked for drift.
    """
    connections = Connections(
        manager.store,
        manager.cache(SECRETS),
        load=load,
        installation=installation,
        clock=manager.clock,
    )
    connections.permit = manager.permit
    manager.in_background(connections.sweep)
    manager.on_close(connections.close)
    world = _world(manager, connections, open_cluster or _nobody)
    manager.in_background(HeldSecrets(world).sweep)
    triggers = _Triggers(world)
    manager.add(ProviderController(world), triggers=triggers.of_providers())
    manager.add(OfferingController(world))
    stacks = StackController(world, drift_every=drift_every)
    claims: dict[str, ClaimController[Any]] = {
        kind: ClaimController(world, listed.kind) for kind, listed in world.claims.items()
    } | {
        ServiceInstance.names.kind: ServiceInstanceController(world),
        StorageBackend.names.kind: StorageBackendController(world),
        Cluster.names.kind: ClusterController(world),
        NodePool.names.kind: NodePoolController(world),
    }
    for kind, controller in claims.items():
        manager.add(controller, triggers=triggers.of_claims(world.claims[kind]))
    manager.add(stacks, triggers=triggers.of_stacks())
    manager.add(ServiceBindingController(world), triggers=triggers.of_bindings())
    manager.add(OperationController(world), triggers=triggers.of_operations())
    return Built(connections, Planning(claims, stacks, connections))


@asynccontextmanager
async def _nobody(kubeconfig: str) -> AsyncGenerator[ClusterNodes, None]:
    del kubeconfig
    raise InvalidSpec("Nothing here speaks to Kubernetes clusters; install a driver that does.")
    yield


def _world(manager: Manager, connections: Connections, open_cluster: OpenCluster) -> World:
    claims = {model.names.kind: _claims(manager, model) for model in CLAIMS}
    secrets = manager.cache(SECRETS)
    secrets.index("held", held)
    secrets.index("left", left_with)
    return World(
        store=manager.store,
        clock=manager.clock,
        connections=connections,
        providers=manager.lister(Provider, secret=indexes.provider_secret),
        offerings=manager.lister(Offering),
        revisions=manager.lister(OfferingRevision, offering=indexes.field("offering")),
        instances=claims[ServiceInstance.names.kind],
        claims=claims,
        clusters=claims[Cluster.names.kind],
        pools=claims[NodePool.names.kind],
        open_cluster=open_cluster,
        bindings=manager.lister(
            ServiceBinding, instance=indexes.bound, provider=indexes.granted_on
        ),
        stacks=manager.lister(
            Stack,
            provider=indexes.field("provider"),
            owner=owner_uids,
            kept=indexes.kept,
            secret=indexes.stack_secrets,
            uid=indexes.uid,
        ),
        operations=manager.lister(Operation, target=indexes.target),
        namespaces=manager.cache(NAMESPACES),
        secrets=secrets,
    )


def _claims(manager: Manager, kind: type[AnyClaim]) -> Lister[Any]:
    return manager.lister(
        kind,
        offering=indexes.offering(kind),
        namespace=indexes.namespace,
        uid=indexes.uid,
        **indexes.MORE.get(kind, {}),
    )


class _Triggers:
    """Who is queued when what changes."""

    def __init__(self, world: World) -> None:
        self._world = world

    def of_providers(self) -> Iterable[Trigger]:
        """Its Secret, and what keeps it from going: stacks, and credentials."""
        providers = self._world.providers.cache
        yield Trigger(self._world.secrets, _by(providers, "secret", _path))
        yield Trigger(
            self._world.bindings.cache,
            lambda obj: [("", name) for name in indexes.granted_on(obj)],
            gone=True,
        )
        yield Trigger(
            self._world.stacks.cache, lambda obj: [("", obj["spec"]["provider"])], gone=True
        )

    def of_claims(self, listed: Lister[Any]) -> Iterable[Trigger]:
        """Its stack, bindings, offering, providers and namespace."""
        world, kind, claims = self._world, listed.kind, listed.cache
        yield Trigger(world.stacks.cache, _owner(kind), essence=_mirrored)
        if kind is ServiceInstance:
            yield Trigger(world.bindings.cache, _instance, gone=True)
        if kind is Cluster:
            yield Trigger(world.pools.cache, _cluster, gone=True)
            yield Trigger(world.secrets, _owner(Cluster))
            yield Trigger(world.secrets, _by(claims, "secret", _path))
            yield Trigger(world.claims[StorageBackend.names.kind].cache, _cluster, gone=True)
            yield Trigger(world.providers.cache, _cluster_of_provider(claims), gone=True)
            yield Trigger(world.stacks.cache, _host, gone=True)
        if kind in (NodePool, StorageBackend):
            yield Trigger(world.clusters.cache, _by(claims, "cluster", _path), essence=_joinable)
        if kind is NodePool:
            yield Trigger(world.stacks.cache, _pools_of_host(claims), gone=True)
        yield Trigger(world.offerings.cache, _by(claims, "offering", _name), essence=_status)
        yield Trigger(world.providers.cache, _unready(world, kind, claims), essence=_usable)
        yield Trigger(world.namespaces, _by(claims, "namespace", _name), essence=_labels)

    def of_stacks(self) -> Iterable[Trigger]:
        """Its provider, its Secrets, and who still needs it while it goes."""
        stacks = self._world.stacks.cache
        for claims in self._world.claims.values():
            yield Trigger(claims.cache, _by(stacks, "kept", _uid), essence=_leaving)
        yield Trigger(self._world.bindings.cache, _instance, gone=True)
        yield Trigger(self._world.providers.cache, _by(stacks, "provider", _name), essence=_usable)
        yield Trigger(self._world.secrets, _by(stacks, "secret", _path))

    def of_bindings(self) -> Iterable[Trigger]:
        """Its instance, its provider and its Secret."""
        bindings = self._world.bindings.cache
        usable = _by(bindings, "provider", _name)
        yield Trigger(self._world.providers.cache, usable, essence=_usable)
        yield Trigger(self._world.instances.cache, _by(bindings, "instance", _path))
        yield Trigger(self._world.secrets, _owner(ServiceBinding))

    def of_operations(self) -> Iterable[Trigger]:
        """Its target."""
        operations = self._world.operations.cache
        for claims in self._world.claims.values():
            yield Trigger(claims.cache, _by(operations, "target", _path), essence=_status)


def _by(cache: Cache, index: str, value: Callable[[Json], str]) -> Callable[[Json], list[Key]]:
    return lambda obj: cache.keys_by(index, value(obj))


def _unready(world: World, kind: type[AnyClaim], claims: Cache) -> Callable[[Json], list[Key]]:
    """A Provider that becomes usable wakes the claims that have none yet."""

    def keys(_: Json) -> list[Key]:
        stacks, known = world.stacks.cache, claims.keys()
        return [key for key in known if not stacks.version(key[0], kind.stack_of(key[1]))]

    return keys


def _owner(kind: type[Resource[Any, Any]]) -> Callable[[Json], list[Key]]:
    """Find the object of that kind that something belongs to."""

    def keys(obj: Json) -> list[Key]:
        namespace, _ = key_of(obj)
        owners = obj["metadata"].get("ownerReferences", [])
        ours = [owner for owner in owners if owner.get("controller")]
        return [(namespace, owner["name"]) for owner in ours if owner["kind"] == kind.names.kind]

    return keys


def _instance(obj: Json) -> list[Key]:
    """Find the instance of a binding, and its Stack, which has the same name."""
    return [(obj["metadata"]["namespace"], indexes.used(obj))]


def _cluster(obj: Json) -> list[Key]:
    return [(obj["metadata"]["namespace"], obj["spec"].get("cluster", ""))]


def _host(obj: Json) -> list[Key]:
    """Find the cluster that a stack lived in, by the name of its Provider."""
    namespace, dot, name = obj["spec"]["provider"].partition(".")
    return [(namespace, name)] if dot else []


def _pools_of_host(pools: Cache) -> Callable[[Json], list[Key]]:
    """Find the pools of the cluster that a stack lived in."""
    return lambda obj: [
        key for host in _host(obj) for key in pools.keys_by("cluster", "/".join(host))
    ]


def _cluster_of_provider(clusters: Cache) -> Callable[[Json], list[Key]]:
    """Find the cluster that a Provider leads into."""
    return lambda obj: clusters.keys_by("uid", _labels(obj).get(CLUSTER_UID, ""))


def _joinable(obj: Json) -> object:
    """What a pool takes from its cluster."""
    meta, status = obj["metadata"], obj.get("status", {})
    facts = ("bootstrapped", "endpoint", "caHash", "version", "outputs", "ownProvider")
    return meta.get("deletionTimestamp"), [status.get(name) for name in facts]


def _name(obj: Json) -> str:
    return obj["metadata"]["name"]


def _uid(obj: Json) -> str:
    return obj["metadata"]["uid"]


def _path(obj: Json) -> str:
    return "/".join(key_of(obj))


def _leaving(obj: Json) -> object:
    """What a Stack shows of its owner, which keeps it."""
    return _mirrored(obj)[1:] if obj["metadata"].get("deletionTimestamp") else None


def _status(obj: Json) -> object:
    return obj["metadata"].get("deletionTimestamp"), obj.get("status")


def _mirrored(obj: Json) -> tuple[object, ...]:
    """What an instance shows of its stack: not each of the engine's steps."""
    meta, status = obj["metadata"], obj.get("status", {})
    ready = [
        (c["status"], c["reason"], c.get("observedGeneration"), c.get("message"))
        if c["reason"] != "Waiting"
        else ("Waiting", c.get("observedGeneration"))
        for c in status.get("conditions", [])
        if c["type"] == "Ready"
    ]
    wanted = meta.get("generation"), meta.get("annotations"), meta.get("deletionTimestamp")
    return wanted, ready, status.get("outputs")


def _labels(obj: Json) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def _usable(obj: Json) -> object:
    status = obj.get("status", {})
    ready = [c["status"] for c in status.get("conditions", []) if c["type"] == "Ready"]
    known = status.get("account"), status.get("services")
    return obj["metadata"].get("generation"), _labels(obj), ready, known
