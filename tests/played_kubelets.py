"""Kubelets for servers that only the cloud plays: the API of the cluster and the cloud are real.

Every server of one pool becomes a Node that reports, its pods run as soon as they are placed and
end as soon as they are asked to; when the server goes, its node falls silent.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from isthmus.api.meta import Json
from isthmus.drivers.kubernetes.kube import Kube, Ref
from isthmus.errors import IsthmusError, NotFound
from isthmus.ports import Api
from isthmus.runtime.kube import path_of

NODES = Api("v1", "nodes", namespaced=False)
PODS = Api("v1", "pods")
CAPACITY = {"cpu": "4", "memory": "8Gi", "pods": "110"}


class Kubelets:
    """Those of one namespace's pods.

    Args:
        kube: The cluster.
        namespace: Whose pods they run.
        servers: Name to id of the pool's servers that run; called in a thread.
    """

    def __init__(self, kube: Kube, namespace: str, servers: Callable[[], dict[str, str]]) -> None:
        self._kube = kube
        self._namespace = namespace
        self._servers = servers
        self.dead: set[str] = set()
        """Names of the servers whose power was pulled."""
        self.seen: set[str] = set()

    async def run(self) -> None:
        while True:
            with suppress(IsthmusError):
                there = await asyncio.to_thread(self._servers)
                alive = {name: uid for name, uid in there.items() if name not in self.dead}
                for name, server in alive.items():
                    await self._report(name, server)
                await self._pods(set(alive))
            await asyncio.sleep(0.5)

    async def _report(self, name: str, server: str) -> None:
        ref = Ref("v1", "Node", "", name)
        if name not in self.seen:
            node = {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "spec": {"providerID": f"openstack:///{server}"},
            }
            await self._kube.send("POST", path_of(NODES), body=node)
            self.seen.add(name)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "reason": "Played", "lastHeartbeatTime": now}
        status: Json = {
            "conditions": [ready],
            "capacity": CAPACITY,
            "allocatable": CAPACITY,
            "nodeInfo": {"kubeletVersion": "v1.36.0"},
        }
        with suppress(NotFound):
            await self._kube.merge(ref, {"status": status}, "status")

    async def _pods(self, alive: set[str]) -> None:
        for pod in await self._kube.list(PODS, self._namespace):
            meta: Json = pod["metadata"]
            if pod["spec"].get("nodeName") not in alive:
                continue
            if meta.get("deletionTimestamp"):
                await self._end(meta["name"])
            elif pod["status"].get("phase") != "Running":
                status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
                ref = Ref("v1", "Pod", self._namespace, meta["name"])
                with suppress(NotFound):
                    await self._kube.merge(ref, {"status": status}, "status")

    async def _end(self, name: str) -> None:
        now: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        with suppress(NotFound):
            await self._kube.send("DELETE", path_of(PODS, self._namespace, name), body=now)


@asynccontextmanager
async def kubelets(
    kube: Kube, namespace: str, servers: Callable[[], dict[str, str]]
) -> AsyncGenerator[Kubelets, Any]:
    """Run them as long as the block."""
    played = Kubelets(kube, namespace, servers)
    task = asyncio.create_task(played.run())
    try:
        yield played
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
