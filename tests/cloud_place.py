"""A project of the OpenStack lab with the catalog's clusters, and controllers in this process.

The store outlives the controllers: a test may end them at any point and begin again. How a cluster
answers is the test's affair: a fake one, or the real API behind its kubeconfig.
"""

import asyncio
import base64
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import yaml

from isthmus import controllers, drivers
from isthmus.api.meta import Json, Resource
from isthmus.api.v1alpha1 import Offering, Provider
from isthmus.drivers.openstack.connection import connect
from isthmus.ports import OpenCluster
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kinds import NAMESPACES, SECRETS, api_of
from isthmus.runtime.manager import Manager
from isthmus.runtime.memory import MemoryStore
from tests.catalog_files import FOLDER
from tests.openstack_lab import OpenStackLab, sweep
from tests.world import TEAM

ITEM = "isthmus-key"
OFFERINGS = ("kubernetes-nova", "kubernetes-nova-pool")


@dataclass
class Place:
    """A store that outlives the controllers, a project, and what its cluster says of itself."""

    store: MemoryStore
    cloud: Any
    admin: Any
    open_cluster: OpenCluster
    name: str

    @asynccontextmanager
    async def life(self) -> AsyncGenerator[None]:
        """Run all controllers; leaving is their end, wherever they are."""
        manager = Manager(self.store, clock=SystemClock())
        controllers.build(
            manager, load=drivers.load, installation=self.name, open_cluster=self.open_cluster
        )
        async with manager:
            yield

    async def get(self, kind: type[Resource[Any, Any]], name: str) -> Any:
        raw = await self.store.get(api_of(kind), TEAM, name)
        return None if raw is None else kind.parse(raw)

    async def until(
        self, read: Callable[[], Any], holds: Callable[[Any], object], *, within: float = 240
    ) -> Any:
        deadline = time.monotonic() + within
        while not holds(found := await read()):
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.5)
        return found

    async def change(self, kind: type[Resource[Any, Any]], name: str, **spec: Any) -> None:
        """Give fields of a spec other values."""
        raw = await self.store.get(api_of(kind), TEAM, name)
        assert raw is not None
        await self.store.replace(api_of(kind), raw | {"spec": raw["spec"] | spec})

    async def told(self, secret: str) -> dict[str, str]:
        """Return the values of a Secret."""
        found = await self.store.get(SECRETS, TEAM, secret)
        assert found is not None
        return {key: base64.b64decode(text).decode() for key, text in found["data"].items()}

    async def keys(self) -> dict[str, str]:
        """Who holds which key, by the servers' names, as Nova says."""
        return await asyncio.to_thread(self._keys)

    def _keys(self) -> dict[str, str]:
        servers = self.cloud.compute.servers(details=True)
        return {s.name: s.metadata[ITEM] for s in servers if ITEM in s.metadata}

    async def heat(self, path: str) -> Json:
        answer = await asyncio.to_thread(self.cloud.orchestration.get, path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def place(lab: OpenStackLab, open_cluster: OpenCluster) -> AsyncGenerator[Place]:
    cloud = await asyncio.to_thread(lab.connect)
    admin = await asyncio.to_thread(lab.connect, "lab-admin")
    name = f"keys-{uuid.uuid4().hex[:8]}"
    store = MemoryStore()
    await _furnish(store, lab)
    try:
        yield Place(store, cloud, admin, open_cluster, name)
    finally:
        async with connect(replace(lab.endpoint(), installation=name)) as connection:
            await sweep(connection)


async def _furnish(store: MemoryStore, lab: OpenStackLab) -> None:
    endpoint = lab.endpoint()
    data = {k: base64.b64encode(v.encode()).decode() for k, v in endpoint.credentials.items()}
    await store.create(NAMESPACES, {"metadata": {"name": TEAM}})
    secret = {"metadata": {"name": "cloud", "namespace": TEAM}, "data": data}
    await store.create(SECRETS, secret)
    provider: Json = {
        "driver": "openstack",
        "region": endpoint.region,
        "settings": dict(endpoint.settings),
        "credentialsSecret": {"namespace": TEAM, "name": "cloud"},
    }
    body: Json = {"metadata": {"name": "lab"}, "spec": provider}
    await store.create(api_of(Provider), Provider.model_validate(body).dump())
    for name in OFFERINGS:
        offering = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        await store.create(api_of(Offering), Offering.parse(offering).dump())
