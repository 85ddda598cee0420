"""From apply to Ready: many ServiceInstances on the fake driver, against the embedded API.

Everything runs in this one process, as in ``isthmus up``: the API over SQLite, the controllers, and
the fake cloud, in which every stack takes ``--driver-seconds``. What is measured is our own work:
the time beyond that. The figure outside of it is what the same API does with bare creates, which
nothing that has to write several objects an instance can reach.

    python benchmarks/reconcile.py --count 10000
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvloop

from isthmus import controllers
from isthmus.api.crd import crd
from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import KINDS, Offering, Provider, ServiceInstance
from isthmus.apiserver import ApiServer, ServerConfig
from isthmus.drivers.fake import FakeCloud, driver
from isthmus.ports import Api, Store
from isthmus.runtime import telemetry
from isthmus.runtime.cache import Change
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kinds import NAMESPACES, api_of
from isthmus.runtime.kube import KubeStore
from isthmus.runtime.manager import WORKERS, Manager
from isthmus.runtime.transport import AsgiTransport

CRDS = Api("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
INSTANCES = api_of(ServiceInstance)
API_VERSION = "isthmus.dev/v1alpha1"
NAMESPACE = "bench"
CLIENTS = 16

OFFERING: Json = {
    "apiVersion": API_VERSION,
    "kind": "Offering",
    "metadata": {"name": "database"},
    "spec": {
        "title": "Database",
        "description": "A database in the fake cloud.",
        "category": "database",
        "parameters": {
            "type": "object",
            "properties": {"size": {"type": "integer", "default": 1, "x-updatable": True}},
        },
        "plans": [{"name": "dev", "title": "Dev"}],
        "stacks": {
            "fake": {
                "template": {
                    "resources": {
                        "Database": {"type": "Fake::Database", "properties": {"size": "${size}"}}
                    },
                    "outputs": {"Host": "${Database.host}", "Port": "${Database.port}"},
                }
            }
        },
    },
}
PROVIDER: Json = {
    "apiVersion": API_VERSION,
    "kind": "Provider",
    "metadata": {"name": "here"},
    "spec": {"driver": "fake"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured."""

    count: int
    driver_seconds: float
    seconds: float
    processor_seconds: float
    bare_creates_per_second: float
    writes: dict[str, float]
    """Of the controllers and the clients, by verb and resource, an instance."""
    driver_calls: dict[str, float]
    """An instance."""
    workers: int
    peak_memory_bytes: int
    events_dropped: int

    @property
    def per_second(self) -> float:
        """Instances a second beyond the driver's own time."""
        return self.count / max(self.seconds - self.driver_seconds, 1e-9)


class _CountingStore(KubeStore):
    """Counts the writes that go to the API."""

    def __init__(self, transport: AsgiTransport) -> None:
        super().__init__(transport)
        self.writes: Counter[str] = Counter()

    async def create(self, api: Api, obj: Json) -> Json:
        self.writes[f"create {api.plural}"] += 1
        return await super().create(api, obj)

    async def replace(self, api: Api, obj: Json, subresource: str = "") -> Json:
        self.writes[f"replace {api.plural} {subresource}".rstrip()] += 1
        return await super().replace(api, obj, subresource)

    async def patch(self, api: Api, namespace: str, name: str, patch: Json) -> Json:
        self.writes[f"patch {api.plural}"] += 1
        return await super().patch(api, namespace, name, patch)


async def run(count: int, *, driver_seconds: float = 2.0) -> Result:
    """Measure once, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
        async with _api(Path(folder)) as store:
            await _furnish(store)
            bare = await _bare_creates(store, min(count, 1000))
            return await _measure(store, count, driver_seconds, bare)


@asynccontextmanager
async def _api(folder: Path) -> AsyncGenerator[_CountingStore, None]:
    server = await ApiServer.open(ServerConfig(data_dir=folder))
    token = server.issue_token("benchmark", ["system:masters"])
    try:
        yield _CountingStore(AsgiTransport(server.app, token=token))
    finally:
        await server.close()


async def _furnish(store: Store) -> None:
    for kind in KINDS:
        await store.create(CRDS, crd(kind))
    namespace: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await store.create(NAMESPACES, namespace)
    await store.create(api_of(Provider), PROVIDER)
    await store.create(api_of(Offering), OFFERING)


async def _bare_creates(store: Store, count: int) -> float:
    """Creates a second of the very same objects, with nobody who reconciles them."""
    started = time.perf_counter()
    await _create(store, "bare", count)
    rate = count / (time.perf_counter() - started)
    for index in range(count):
        await store.delete(INSTANCES, NAMESPACE, f"bare-{index}")
    return rate


async def _create(store: Store, prefix: str, count: int) -> None:
    numbers = iter(range(count))

    async def client() -> None:
        for index in numbers:
            spec = {"offering": "database", "plan": "dev", "parameters": {"size": index % 9}}
            body: Json = {
                "apiVersion": API_VERSION,
                "kind": "ServiceInstance",
                "metadata": {"name": f"{prefix}-{index}", "namespace": NAMESPACE},
                "spec": spec,
            }
            await store.create(INSTANCES, body)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))


async def _measure(store: _CountingStore, count: int, driver_seconds: float, bare: float) -> Result:
    clock = SystemClock()
    cloud = FakeCloud(clock, latency_seconds=driver_seconds)
    manager = Manager(store, clock=clock)
    fake = driver(lambda _: cloud)
    controllers.build(manager, load=lambda _: fake, installation="bench")
    ready: set[str] = set()
    finished = asyncio.Event()

    def changed(change: Change) -> None:
        if change.new is not None and _is_ready(change.new):
            ready.add(change.key[1])
            if len(ready) == count:
                finished.set()

    manager.cache(INSTANCES).subscribe(changed)
    async with manager:
        await _usable(store)
        store.writes.clear()
        cloud.calls.clear()
        started, processor = time.perf_counter(), time.process_time()
        await _create(store, "db", count)
        await finished.wait()
        seconds = time.perf_counter() - started
        processor_seconds = time.process_time() - processor
    return Result(
        count=count,
        driver_seconds=driver_seconds,
        seconds=seconds,
        processor_seconds=processor_seconds,
        bare_creates_per_second=bare,
        writes={key: value / count for key, value in sorted(store.writes.items())},
        driver_calls={key: value / count for key, value in sorted(cloud.calls.items())},
        workers=WORKERS,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        events_dropped=manager.events.dropped,
    )


async def _usable(store: Store) -> None:
    """Wait for what every instance needs, so that none is looked at in vain and written for it."""
    for api, name in ((api_of(Provider), "here"), (api_of(Offering), "database")):
        while True:
            found = await store.get(api, "", name)
            if found is not None and _is_ready(found):
                break
            await asyncio.sleep(0.01)


def _is_ready(obj: Json) -> bool:
    conditions = obj.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def report(result: Result) -> str:
    """Say it in words."""
    ratio = result.per_second / result.bare_creates_per_second
    writes = ", ".join(f"{key} {value:.2f}" for key, value in result.writes.items())
    calls = ", ".join(f"{key} {value:.2f}" for key, value in result.driver_calls.items())
    return "\n".join(
        [
            f"{result.count} ServiceInstances from apply to Ready in {result.seconds:.1f} s, "
            f"of which the driver's own {result.driver_seconds:.1f} s",
            f"{result.per_second:.0f} instances/s beyond the driver's time",
            f"processor time {result.processor_seconds:.1f} s: "
            f"{1000 * result.processor_seconds / result.count:.2f} ms an instance",
            f"{result.bare_creates_per_second:.0f} bare creates/s of the same API: "
            f"ratio {ratio:.2f}",
            f"writes an instance: {writes}",
            f"driver calls an instance: {calls}",
            f"workers a kind: {result.workers}; peak memory of the whole process "
            f"{result.peak_memory_bytes / 2**20:.0f} MiB; events dropped {result.events_dropped}",
        ]
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--driver-seconds", type=float, default=2.0)
    parser.add_argument("--at-least", type=float, default=0.0, help="fail below so many a second")
    options = parser.parse_args()
    telemetry.configure(level="WARNING")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(options.count, driver_seconds=options.driver_seconds))
    print(report(result))
    return 0 if result.per_second >= options.at_least else 1


if __name__ == "__main__":
    sys.exit(main())
