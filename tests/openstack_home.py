"""Isthmus at home on the OpenStack lab: real controllers, driver, offerings; its own project.

All servers are played. So is what would run on them: a server that is ACTIVE becomes a node of a
cluster in memory, control planes included. At the end of the block nothing may be left in any
service, which an administrator looks up over all projects.
"""

import asyncio
import time
import uuid
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from isthmus import controllers, drivers
from isthmus.api.meta import Json, Resource
from isthmus.api.v1alpha1 import Cluster, NodePool, Operation, Provider, Stack
from isthmus.core.why import Link, why
from isthmus.drivers.fake.nodes import FakeCluster
from isthmus.drivers.openstack import DRIVER
from isthmus.faces.cli import why as face
from isthmus.ports import Api, ClusterNodes, Endpoint, Store
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kinds import NAMESPACES, SECRETS, api_of
from isthmus.runtime.manager import Manager
from isthmus.runtime.memory import MemoryStore
from tests.catalog_files import offering
from tests.cluster_world import CONTROL
from tests.openstack_census import census, project
from tests.openstack_lab import OpenStackLab, sweep
from tests.world import TEAM

R = TypeVar("R", bound=Resource[Any, Any])
OFFERINGS = (
    "kubernetes-nova",
    "kubernetes-nova-pool",
    "machine",
    "magnum-kubernetes",
    "network",
    "openshift-nova",
    "cinder-volume-type",
)
PROVIDER = "lab"
PATIENCE = 600.0
"""Seconds that anything may take: ten times what it does where nothing else runs."""


@dataclass
class Nodes:
    """What runs on the servers of a project, played in one cluster."""

    cloud: Any
    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(SystemClock()))
    _joined: dict[str, str] = field(default_factory=dict[str, str])

    async def run(self) -> None:
        while True:
            with suppress(Exception):  # The cloud is told to fail now and then.
                self._pass(await asyncio.to_thread(self._servers))
            await asyncio.sleep(1)

    def _servers(self) -> dict[str, tuple[str, Json]]:
        found = self.cloud.compute.servers(details=True)
        return {s.id: (s.name, dict(s.metadata)) for s in found if s.status == "ACTIVE"}

    def _pass(self, there: dict[str, tuple[str, Json]]) -> None:
        for server in there.keys() - self._joined.keys():
            name, metadata = there[server]
            if "isthmus-cluster" not in metadata:
                continue
            worker = metadata.get("isthmus-role") == "worker"
            self.cluster.join(
                name, provider_id=f"openstack:///{server}", labels={} if worker else CONTROL
            )
            self._joined[server] = name
        for server in self._joined.keys() - there.keys():
            name = self._joined.pop(server)
            if name not in self._joined.values() and name in self.cluster._nodes:
                self.cluster.pull_power(name)


@dataclass(kw_only=True)
class Place:
    """A project of the lab, and a store whose Provider it is."""

    lab: OpenStackLab
    store: Store
    nodes: Nodes
    endpoint: Endpoint

    @property
    def cloud(self) -> Any:
        """The project, as openstacksdk sees it."""
        return self.nodes.cloud


class Home(Place):
    """A place where the controllers run."""

    async def apply(self, obj: Resource[Any, Any]) -> None:
        api, meta = api_of(type(obj)), obj.metadata
        found = await self.store.get(api, meta.namespace, meta.name)
        if found is None:
            await self.store.create(api, obj.dump())
            return
        await self.store.replace(api, obj.dump() | {"metadata": found["metadata"]})

    async def get(self, kind: type[R], name: str) -> R | None:
        raw = await self.store.get(api_of(kind), TEAM if kind.names.namespaced else "", name)
        return kind.parse(raw) if raw is not None else None

    async def until(
        self, kind: type[R], name: str, holds: Callable[[R], object], *, within: float = PATIENCE
    ) -> R:
        deadline = time.monotonic() + within
        while True:
            found = await self.get(kind, name)
            if found is not None and holds(found):
                return found
            assert time.monotonic() < deadline, await self._words(kind, name)
            await asyncio.sleep(0.2)

    async def ready(self, kind: type[R], name: str, *, within: float = PATIENCE) -> R:
        return await self.until(kind, name, lambda obj: obj.ready, within=within)

    async def refused(
        self, kind: type[R], name: str, reason: str, *, within: float = PATIENCE
    ) -> str:
        """Wait until it is not ready for a reason; return the message."""

        def says(obj: R) -> bool:
            ready = obj.condition("Ready")
            fresh = ready is not None and ready.observed_generation == obj.metadata.generation
            return fresh and ready is not None and ready.reason == reason

        found = await self.until(kind, name, says, within=within)
        ready = found.condition("Ready")
        assert ready is not None
        return ready.message

    async def delete(self, kind: type[R], name: str, *, within: float = PATIENCE) -> None:
        """Ask for the deletion, and wait until it has happened."""
        await self.store.delete(api_of(kind), TEAM, name)
        deadline = time.monotonic() + within
        while await self.get(kind, name) is not None:
            assert time.monotonic() < deadline, await self._words(kind, name)
            await asyncio.sleep(0.2)

    async def annotate(self, kind: type[R], name: str, **notes: str) -> None:
        named = {f"isthmus.dev/{key.replace('_', '-')}": value for key, value in notes.items()}
        patch: Json = {"metadata": {"annotations": named}}
        await self.store.patch(api_of(kind), TEAM, name, patch)

    async def operate(self, kind: type[R], name: str, action: str, /, **parameters: Any) -> Json:
        """Run a day-2 action, and return its result."""
        target = {"kind": kind.names.kind, "name": name}
        spec: Json = {"target": target, "action": action, "parameters": parameters}
        operation = f"{action}-{uuid.uuid4().hex[:6]}"
        meta = {"name": operation, "namespace": TEAM}
        await self.apply(Operation.model_validate({"metadata": meta, "spec": spec}))
        ended = await self.until(Operation, operation, lambda o: o.status.completed_at is not None)
        assert ended.ready, ended.status
        return dict(ended.status.result)

    async def why(self, kind: type[R], name: str) -> tuple[Link, ...]:
        """Ask as ``isthmus why`` does."""
        return why(await face.collect(_Reader(self.store), kind.names.kind, name))  # pyright: ignore

    async def _words(self, kind: type[R], name: str) -> str:
        chain = await self.why(kind, name)
        return "\n".join(f"{link.subject}: {link.state}: {link.message}" for link in chain)

    async def stack(self, name: str) -> Stack:
        found = await self.get(Stack, name)
        assert found is not None
        return found

    async def native_stacks(self) -> list[str]:
        """Names of the project's stacks in Heat."""
        return await asyncio.to_thread(lambda: [s.name for s in self.cloud.orchestration.stacks()])

    async def servers(self) -> Counter[str]:
        """How many servers of each name there are."""
        found = await asyncio.to_thread(lambda: [s.name for s in self.cloud.compute.servers()])
        return Counter(found)

    async def quota(self, **limits: int) -> None:
        """Set quotas of Nova for the project; -1 is none."""
        admin = await asyncio.to_thread(self.lab.connect, "lab-admin")
        path = f"/os-quota-sets/{self.cloud.current_project_id}"
        body = {"quota_set": limits | {"force": True}}
        await asyncio.to_thread(admin.compute.put, path, json=body)

    def cluster(self, name: str = "c", **spec: Any) -> Cluster:
        parameters: Json = {"image": "cirros", "flavor": "m1.tiny"} | spec.pop("parameters", {})
        body: Json = {"offering": "kubernetes-nova", "plan": "dev", "parameters": parameters}
        meta = {"name": name, "namespace": TEAM}
        return Cluster.model_validate({"metadata": meta, "spec": body | spec})

    def pool(self, name: str = "workers", **spec: Any) -> NodePool:
        body: Json = {"cluster": "c", "plan": "dev", "image": "cirros", "flavor": "m1.tiny"}
        body |= {"heal": {"afterSeconds": 5}, "rollout": {"drainTimeoutSeconds": 5}}
        meta = {"name": name, "namespace": TEAM}
        return NodePool.model_validate({"metadata": meta, "spec": body | spec})


class _Reader:
    """The one question that ``isthmus why`` asks the API."""

    class target:  # noqa: N801
        namespace = TEAM

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, api: Api, namespace: str) -> list[Json]:
        return list((await self._store.list(api, namespace)).items)

    async def find(self, api: Api, namespace: str, name: str) -> Json | None:
        return await self._store.get(api, namespace, name)


@asynccontextmanager
async def home(lab: OpenStackLab, *, name: str = "", **settings: str) -> AsyncGenerator[Home]:
    """Run all controllers in a project of the lab, its own unless one is named."""
    async with place(lab, name=name, **settings) as where, controlled(where) as here:
        yield here


@asynccontextmanager
async def place(
    lab: OpenStackLab, *, name: str = "", forgiven: str = "", **settings: str
) -> AsyncGenerator[Place]:
    """Furnish a project with a store and played nodes; at the end nothing of it may be left.

    Of what kind something may be left, because a service itself forgets it, is `forgiven`.
    """
    async with _somewhere(lab, name) as chosen:
        before = await asyncio.to_thread(census, lab, chosen)
        endpoint = replace(
            lab.endpoint(projectName=chosen, **settings),
            installation=f"test-{uuid.uuid4().hex[:8]}",
        )
        store = MemoryStore()
        await furnish(store, endpoint)
        nodes = Nodes(await asyncio.to_thread(lambda: lab.connect(project_name=chosen)))
        playing = asyncio.create_task(nodes.run())
        try:
            yield Place(lab=lab, store=store, nodes=nodes, endpoint=endpoint)
        except BaseException:
            await _swept(lab, endpoint)
            raise
        finally:
            playing.cancel()
            with suppress(asyncio.CancelledError):
                await playing
        left = await _settled(lab, chosen, before, forgiven)
        await _swept(lab, endpoint)
        assert not left, sorted(left)


@asynccontextmanager
async def controlled(where: Place) -> AsyncGenerator[Home]:
    """Run the controllers; leaving the block breaks them off wherever they are."""

    @asynccontextmanager
    async def reach(_: str) -> AsyncGenerator[ClusterNodes, None]:
        yield where.nodes.cluster

    manager = Manager(where.store, clock=SystemClock())
    installation = where.endpoint.installation
    controllers.build(manager, load=drivers.load, installation=installation, open_cluster=reach)
    async with manager:
        yield Home(**vars(where))
        for task in manager._tasks:
            task.cancel()


async def furnish(store: Store, endpoint: Endpoint) -> None:
    """Create what an administrator gives: namespace, Provider, offerings."""
    await store.create(NAMESPACES, {"metadata": {"name": TEAM}})
    await provide(store, PROVIDER, endpoint)
    for name in OFFERINGS:
        found = offering(name)
        await store.create(api_of(type(found)), found.dump())


async def provide(store: Store, name: str, endpoint: Endpoint) -> None:
    """Create a Provider with its Secret."""
    data = {key: b64encode(value.encode()).decode() for key, value in endpoint.credentials.items()}
    meta = {"name": f"cloud-{name}", "namespace": TEAM}
    await store.create(SECRETS, {"metadata": meta, "data": data})
    spec: Json = {
        "driver": "openstack",
        "region": endpoint.region,
        "settings": dict(endpoint.settings),
        "credentialsSecret": {"namespace": TEAM, "name": f"cloud-{name}"},
    }
    provider = Provider.model_validate({"metadata": {"name": name}, "spec": spec})
    await store.create(api_of(Provider), provider.dump())


@asynccontextmanager
async def _somewhere(lab: OpenStackLab, name: str) -> AsyncGenerator[str]:
    if name:
        yield name
        return
    with_project = project(lab)
    chosen = await asyncio.to_thread(with_project.__enter__)
    try:
        yield chosen
    finally:
        await asyncio.to_thread(with_project.__exit__, None, None, None)


async def _settled(
    lab: OpenStackLab, chosen: str, before: set[tuple[str, str]], forgiven: str
) -> set[tuple[str, str]]:
    """Return what is left; some services take a moment to forget what they have removed."""
    deadline = time.monotonic() + 120
    while True:
        late = time.monotonic() > deadline
        left = await asyncio.to_thread(census, lab, chosen, without=forgiven) - before
        if late or not left:
            return left
        await asyncio.sleep(1)


async def _swept(lab: OpenStackLab, endpoint: Endpoint) -> None:
    """Remove what a failed test has left, so that the next one does not suffer."""
    lab.faults()
    async with DRIVER.open(endpoint) as connection:
        await sweep(connection)
