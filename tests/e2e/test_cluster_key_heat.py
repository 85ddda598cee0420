"""A cluster's key on real Heat and Nova: on its servers while they start, and nowhere to be found.

Heat and Nova are real, the blueprint is the catalog's; what would run on the server is played by
the test: it opens the bundle and tells Heat that it has joined.
"""

import asyncio
import base64
import json
import subprocess
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

from isthmus import controllers, drivers
from isthmus.api.meta import Json, Resource
from isthmus.api.v1alpha1 import Cluster, Offering, Provider, Stack
from isthmus.drivers.fake.nodes import FakeCluster
from isthmus.drivers.openstack.connection import connect
from isthmus.ports import ClusterNodes
from isthmus.runtime import pki
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kinds import NAMESPACES, SECRETS, api_of
from isthmus.runtime.manager import Manager
from isthmus.runtime.memory import MemoryStore
from tests.catalog_files import FOLDER
from tests.cluster_world import CONTROL
from tests.openstack_lab import OpenStackLab, sweep
from tests.world import TEAM

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]

ITEM = "isthmus-key"


@dataclass
class Place:
    """A store that outlives the controllers, a project, and what its cluster says of itself."""

    store: MemoryStore
    cloud: Any
    admin: Any
    cluster: FakeCluster
    name: str

    @asynccontextmanager
    async def life(self) -> AsyncGenerator[None]:
        """Run all controllers; leaving is their end, wherever they are."""

        @asynccontextmanager
        async def open_cluster(kubeconfig: str) -> AsyncGenerator[ClusterNodes]:
            del kubeconfig
            yield self.cluster

        manager = Manager(self.store, clock=SystemClock())
        controllers.build(
            manager, load=drivers.load, installation=self.name, open_cluster=open_cluster
        )
        async with manager:
            yield

    async def get(self, kind: type[Resource[Any, Any]], name: str) -> Any:
        raw = await self.store.get(api_of(kind), TEAM, name)
        return None if raw is None else kind.parse(raw)

    async def until(self, read: Callable[[], Any], holds: Callable[[Any], object]) -> Any:
        deadline = time.monotonic() + 240
        while not holds(found := await read()):
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.5)
        return found

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
async def place(lab: OpenStackLab) -> AsyncGenerator[Place]:
    cloud = await asyncio.to_thread(lab.connect)
    admin = await asyncio.to_thread(lab.connect, "lab-admin")
    name = f"keys-{uuid.uuid4().hex[:8]}"
    store = MemoryStore()
    cluster = FakeCluster(SystemClock(), server_version="v1.36.3", reachable=False)
    await _furnish(store, lab)
    try:
        yield Place(store, cloud, admin, cluster, name)
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
    offering = yaml.safe_load((FOLDER / "kubernetes-nova.yaml").read_text())
    await store.create(api_of(Offering), Offering.parse(offering).dump())


def a_cluster(**parameters: Any) -> Cluster:
    spec: Json = {
        "offering": "kubernetes-nova",
        "plan": "custom",
        "provider": "lab",
        "parameters": {"image": "cirros", "flavor": "m1.tiny", "waitForNodes": True} | parameters,
    }
    return Cluster.model_validate({"metadata": {"name": "c", "namespace": TEAM}, "spec": spec})


async def change(here: Place, cluster: Cluster) -> None:
    raw = await here.store.get(api_of(Cluster), TEAM, "c")
    assert raw is not None
    body = cluster.dump() | {"metadata": raw["metadata"]}
    await here.store.replace(api_of(Cluster), body)


async def files_of(here: Place, server: str) -> Mapping[str, str]:
    """Return what a server's user data write, by their paths."""

    def read() -> Mapping[str, str]:
        found = here.admin.compute.get(f"/servers/{server}", microversion="2.3").json()["server"]
        text = base64.b64decode(found["OS-EXT-SRV-ATTR:user_data"]).decode()
        return {f["path"]: f["content"] for f in yaml.safe_load(text)["write_files"]}

    return await asyncio.to_thread(read)


async def shown_by_heat(here: Place, stack: str) -> dict[str, str]:
    """Return everything that Heat says of a stack, by where it says it: each event's detail too."""
    found = (await here.heat(f"/stacks/{stack}"))["stack"]
    base = f"/stacks/{found['stack_name']}/{found['id']}"
    shown: dict[str, Any] = {"stack": found}
    for part in ("template", "environment", "files", "outputs"):
        shown[part] = await here.heat(f"{base}/{part}")
    resources = (await here.heat(f"{base}/resources"))["resources"]
    events = (await here.heat(f"{base}/events?limit=1000"))["events"]
    for resource in resources:
        name = resource["resource_name"]
        shown[f"resources/{name}"] = await here.heat(f"{base}/resources/{name}")
        shown[f"resources/{name}/metadata"] = await here.heat(f"{base}/resources/{name}/metadata")
    for event in events:
        name, number = event["resource_name"], event["id"]
        where = f"resources/{name}/events/{number}"
        shown[where] = await here.heat(f"{base}/{where}")
    return {where: json.dumps(what) for where, what in shown.items()}


def secrets_in(values: Mapping[str, str]) -> Iterator[str]:
    """Yield what must be found nowhere: the key, and a line out of each private key."""
    yield values["bootstrapKey"]
    for name, text in values.items():
        if name.endswith(".key"):
            yield text.splitlines()[2]


async def told(here: Place) -> dict[str, str]:
    found = await here.store.get(SECRETS, TEAM, "c-cluster")
    assert found is not None
    return {key: base64.b64decode(text).decode() for key, text in found["data"].items()}


async def test_the_key_reaches_a_waiting_server_and_leaves_no_trace(
    openstack_lab: OpenStackLab,
) -> None:
    async with place(openstack_lab) as here:
        await here.store.create(api_of(Cluster), a_cluster().dump())
        async with here.life():
            held = await here.until(here.keys, lambda found: found)
            stack: Stack = await here.get(Stack, "cluster-c")
            assert stack.status.native_status == "CREATE_IN_PROGRESS"
            values = await told(here)
            assert held == {"c-control-0": values["bootstrapKey"]}
            cluster: Cluster = await here.get(Cluster, "c")
            (server,) = cluster.status.key_holders
            files = await files_of(here, server)
            opened = pki.unseal(files["/etc/isthmus/bundle"], held["c-control-0"])
            assert opened == pki.unseal(values["bootstrapPayload"], values["bootstrapKey"])
            await _hidden(here, stack.status.external_name, values)
            # The played server tells Heat that it has joined.
            done = json.dumps({"status": "SUCCESS", "reason": "it has joined"})
            script = files["/etc/isthmus/signal.sh"]
            await asyncio.to_thread(
                subprocess.run, ["bash", "-c", script, "signal", done], check=True, timeout=60
            )
            await _complete(here, "CREATE_COMPLETE")
        # That life has ended between giving and withdrawing. Another changes the stack first.
        await change(here, a_cluster(apiCidr="10.0.0.0/8"))
        async with here.life():
            await _complete(here, "UPDATE_COMPLETE")
            assert await here.keys() == held
            await asyncio.to_thread(here.cloud.compute.delete, f"/servers/{server}/metadata/{ITEM}")
            await here.until(here.keys, lambda found: found == held)
            here.cluster.join("c-control-0", labels=CONTROL, provider_id=f"openstack:///{server}")
            here.cluster.reachable = True
            await here.until(lambda: here.get(Cluster, "c"), lambda c: c.ready)
            assert await here.keys() == {}
            cluster = await here.get(Cluster, "c")
            assert cluster.status.key_holders == ()
            count = await _hidden(here, stack.status.external_name, values)
            assert count > 60
            await here.store.delete(api_of(Cluster), TEAM, "c")
            await here.until(lambda: here.get(Cluster, "c"), lambda c: c is None)


async def _complete(here: Place, status: str) -> None:
    await here.until(
        lambda: here.get(Stack, "cluster-c"), lambda s: s.status.native_status == status and s.ready
    )


async def _hidden(here: Place, stack: str, values: Mapping[str, str]) -> int:
    """Hold all that Heat shows against the secrets; a live server's metadata are Nova's."""
    shown = await shown_by_heat(here, stack)
    for where, text in shown.items():
        live = where.startswith("resources/control_") and "/events/" not in where
        for secret in secrets_in(values):
            assert live or secret not in text, where
    return len(shown)
