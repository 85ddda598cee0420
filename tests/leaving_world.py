"""A namespace with one of everything, of which things can be taken in any order.

What lives in the cluster needs the cluster: its API only answers while a server bears its control
plane, nothing can be deleted in it without a node, and nobody gets in without the kubeconfig.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import (
    Cluster,
    Machine,
    NodePool,
    Operation,
    ServiceBinding,
    ServiceInstance,
    Stack,
    StorageBackend,
)
from isthmus.drivers.fake import FakeCloud, driver
from isthmus.errors import Forbidden, Unavailable
from isthmus.ports import Api, Connection, Driver, Endpoint, Listing, Store, WatchEvent
from isthmus.runtime.kinds import NAMESPACES, SECRETS, api_of
from isthmus.runtime.memory import MemoryStore
from tests.cluster_world import Clusters, a_cluster, a_pool, clusters
from tests.outward import Outward
from tests.world import OFFERING, TEAM, LoopClock, a_binding, an_instance, an_offering, an_operation

T = TypeVar("T")
HOUR = 3600.0
CONTENT = (
    *(api_of(kind) for kind in (Cluster, Machine, NodePool, ServiceInstance, StorageBackend)),
    *(api_of(kind) for kind in (Operation, ServiceBinding, Stack)),
    SECRETS,
)
"""What a namespace is emptied of."""
MACHINE: Json = {
    "category": "compute",
    "parameters": {
        "type": "object",
        "properties": {"image": {"type": "string", "x-updatable": True}},
    },
    "plans": [{"name": "small", "title": "Small"}],
    "binding": None,
    "actions": [],
    "stacks": {"fake": {"template": {"resources": {"Disk": {"type": "Fake::Disk"}}}}},
}
STORAGE: Json = {
    "category": "storage",
    "parameters": {"type": "object", "properties": {}},
    "plans": [{"name": "dev", "title": "Dev"}],
    "binding": None,
    "actions": [],
    "stacks": {"kubernetes": {"template": {"resources": {"Driver": {"type": "Fake::Driver"}}}}},
}


class Closable:
    """A Store whose namespace may be closed: then nothing new is taken in it.

    Kubernetes refuses that as soon as the namespace is being deleted.
    """

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.closed = False
        self.get, self.list, self.watch = inner.get, inner.list, inner.watch
        self.replace, self.patch, self.delete = inner.replace, inner.patch, inner.delete

    get: Callable[[Api, str, str], Awaitable[Json | None]]
    list: Callable[..., Awaitable[Listing]]
    watch: Callable[[Api, str], AsyncIterator[WatchEvent]]
    replace: Callable[..., Awaitable[Json]]
    patch: Callable[[Api, str, str, Json], Awaitable[Json]]
    delete: Callable[..., Awaitable[None]]

    async def create(self, api: Api, obj: Json) -> Json:
        if self.closed and obj["metadata"].get("namespace") == TEAM:
            raise Forbidden(f"{api.plural}: namespace {TEAM} is being terminated")
        return await self._inner.create(api, obj)


@dataclass
class Inside(Outward):
    """The row of calls into the cluster."""

    servers: Callable[[str], int] = lambda _: 0

    async def call(self, name: str, run: Callable[[], Awaitable[T]]) -> T:
        if not self.servers("control-plane"):
            raise Unavailable("The cluster does not answer.")
        if name in ("delete", "revoke") and not self.servers(""):
            raise Unavailable("No node runs what has to be ended.")
        return await super().call(name, run)


@dataclass
class Team:
    """The namespace, and the clouds."""

    clusters: Clusters
    store: Closable
    inside: FakeCloud
    outward: Outward
    too_early: list[str] = field(default_factory=list[str])
    """What went though something else still needed it."""

    async def furnish(self) -> None:
        """Have one of everything, ready."""
        here = self.clusters.here
        await here.apply(an_offering("machine", **MACHINE))
        await here.apply(an_offering("storage", **STORAGE))
        both = {"fake": OFFERING["stacks"]["fake"], "kubernetes": OFFERING["stacks"]["fake"]}
        await here.apply(an_offering("database", stacks=both))
        await here.apply(a_cluster())
        await here.apply(an_instance("db", provider="here"))
        await here.apply(machine())
        for name in ("app", "turned"):
            await here.apply(a_binding(name))
        await here.ready(Cluster, "c", within=HOUR)
        await here.apply(a_pool())
        await here.apply(backend())
        await here.apply(an_instance("shop", provider="team-a.c"))
        await here.apply(a_binding("till", instance="shop"))
        await here.ready(NodePool, "workers", within=HOUR)
        for name in ("app", "turned", "till"):
            await here.ready(ServiceBinding, name, within=HOUR)
        await here.ready(StorageBackend, "disks", within=HOUR)
        await here.ready(Machine, "box", within=HOUR)
        for number in range(4):
            self.clusters.cluster.run(f"web-{number}", app="web", controller="ReplicaSet/web")
        assert (len(here.cloud.users), len(self.inside.users)) == (2, 1)

    async def begin_rotation(self) -> None:
        """Have a credential rotated whose former one cannot be revoked now, and an action."""
        here = self.clusters.here
        here.cloud.fail_next("revoke", *[Unavailable("struck")] * 2)
        await here.annotate(ServiceBinding, "turned", rotate="1")
        await here.until(ServiceBinding, "turned", lambda b: b is not None and b.status.former)
        await here.apply(an_operation())

    async def content(self) -> list[tuple[Api, str]]:
        """Everything that is in the namespace."""
        return [
            (api, item["metadata"]["name"])
            for api in CONTENT
            for item in (await self.store.list(api)).items
            if item["metadata"]["namespace"] == TEAM
        ]

    async def close(self) -> None:
        """Begin to delete the namespace, whose content somebody else deletes."""
        held = {"metadata": {"finalizers": ["test/content"]}}
        await self.store.patch(NAMESPACES, "", TEAM, held)
        await self.store.delete(NAMESPACES, "", TEAM)
        self.store.closed = True

    async def empty(self, within: float) -> None:
        """Wait until nothing is in the namespace."""
        try:
            async with asyncio.timeout(within):
                while True:
                    if not await self.content():
                        return
                    await asyncio.sleep(1)  # Of virtual time.
        except TimeoutError:
            raise AssertionError(await self._why()) from None

    async def _why(self) -> str:
        lines: list[str] = []
        for api, name in await self.content():
            found = await self.store.get(api, TEAM, name) or {}
            said = [
                c for c in found.get("status", {}).get("conditions", ()) if c["type"] == "Ready"
            ]
            why = f"{said[0]['reason']}: {said[0].get('message')}" if said else "says nothing"
            lines.append(f"{api.plural}/{name} {why}")
        return "\n".join(["is still there:", *lines])

    def leaked(self) -> list[str]:
        """What the clouds have that nobody knows, or lost too early.

        What died with the cluster does not count.
        """
        cloud, inside = self.clusters.here.cloud, self.inside
        shop = [name for name in inside.stacks if "shop" in name]
        return [*cloud.stacks, *cloud.users, *shop, *inside.users, *self.too_early]


@asynccontextmanager
async def team(inner: Store | None = None) -> AsyncGenerator[Team]:
    """Run all controllers, with a cloud and a cluster in it that is a place as well."""
    clock = LoopClock()
    store = Closable(inner or MemoryStore(clock))
    cloud, inside = FakeCloud(clock, latency_seconds=2), FakeCloud(clock, latency_seconds=2)

    def servers(role: str) -> int:
        there = [cloud.look(name) for name in list(cloud.stacks)]
        found = [r for s in there if s is not None for r in s.resources.values()]
        return sum(r.type == "Fake::Server" and r.properties.get("role", "") == role for r in found)

    outward = Outward()
    drivers = {"kubernetes": _with_key(Inside(servers=servers).driver(driver(lambda _: inside)))}
    async with clusters(store=store, cloud=cloud, outward=outward, drivers=drivers) as world:
        found = Team(world, store, inside, outward)
        watching = asyncio.create_task(_watch(found, servers))
        try:
            yield found
        finally:
            watching.cancel()


def _with_key(inner: Driver) -> Driver:
    @asynccontextmanager
    async def connect(endpoint: Endpoint) -> AsyncGenerator[Connection, None]:
        assert endpoint.credentials["kubeconfig"]
        async with inner.open(endpoint) as connection:
            yield connection

    return replace(inner, open=connect)


async def _watch(team: Team, servers: Callable[[str], int]) -> None:
    """Have the cluster answer as long as it has servers; look whether its storage serves it."""
    furnished = False
    while True:
        team.clusters.cluster.reachable = servers("control-plane") > 0
        serves = any("storage" in name for name in team.inside.stacks)
        furnished = furnished or serves
        if furnished and not serves and any("shop" in name for name in team.inside.stacks):
            team.too_early.append("the storage, with volumes of the shop in it")
        await asyncio.sleep(0.5)


def machine(**spec: Any) -> Machine:
    return Machine.model_validate(
        {
            "metadata": {"name": "box", "namespace": TEAM},
            "spec": {"image": "debian-13", "provider": "here"} | spec,
        }
    )


def backend() -> StorageBackend:
    return StorageBackend.model_validate(
        {
            "metadata": {"name": "disks", "namespace": TEAM},
            "spec": {"offering": "storage", "cluster": "c"},
        }
    )
