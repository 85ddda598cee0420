"""Heat's engine and our own process are killed midway: all goes on, nothing twice, nothing left."""

import asyncio
import random
import signal
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, NodePool
from isthmus.runtime.kinds import api_of
from tests.installation import Installation, up, wait_for
from tests.openstack_census import census, project
from tests.openstack_home import PATIENCE, controlled, home, place
from tests.openstack_lab import OpenStackLab, until
from tests.polling import eventually
from tests.world import TEAM

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]


ASKED_TWICE = "trusts"
"""What Heat forgets if it is asked again for a stack while it still looks at the first request: it
refuses one of them, and had made a trust for each."""


async def test_an_engine_of_heat_that_is_killed_midway_is_asked_again(
    openstack_lab: OpenStackLab,
) -> None:
    """It waits for a server then, and has noted what it asked for."""
    held = {"service": "nova-compute", "method": "spawn", "hold": True, "fail": False, "times": 1}
    async with home(openstack_lab, stallMinutes="1") as here:
        openstack_lab.faults(held)
        await here.apply(here.cluster())
        await eventually(
            lambda: asyncio.to_thread(_server_alone_is_missing, here.cloud), within=PATIENCE
        )
        (server,) = await asyncio.to_thread(lambda: list(here.cloud.compute.servers()))
        await asyncio.to_thread(openstack_lab.order, "kill", "heat-engine")
        await asyncio.to_thread(openstack_lab.order, "start", "heat-engine")
        openstack_lab.faults()
        await here.ready(Cluster, "c")
        assert len(await here.native_stacks()) == 1
        (kept,) = await asyncio.to_thread(lambda: list(here.cloud.compute.servers()))
        assert (kept.name, kept.id) == ("c-control-0", server.id)
        await here.delete(Cluster, "c")


def _server_alone_is_missing(cloud: Any) -> bool:
    """Whether Heat has begun everything, and only a server is still being made."""
    for stack in cloud.orchestration.stacks():
        parts = list(cloud.orchestration.resources(stack))
        under_way = [part for part in parts if part.status != "CREATE_COMPLETE"]
        begun = all(part.physical_resource_id for part in under_way)
        return begun and {part.resource_type for part in under_way} == {"OS::Nova::Server"}
    return False


LOSSES: dict[str, tuple[Json, str, Callable[[Any], Iterable[Any]]]] = {
    "router": (
        {"service": "neutron", "method": "POST", "path": "/routers$"},
        "OS::Neutron::Router",
        lambda cloud: cloud.network.routers(),
    ),
    "interface": (
        {"service": "neutron", "method": "PUT", "path": "/add_router_interface$"},
        "OS::Neutron::RouterInterface",
        lambda cloud: cloud.network.ports(device_owner="network:router_interface"),
    ),
    "floating IP": (
        {"service": "neutron", "method": "POST", "path": "/floatingips$"},
        "OS::Neutron::FloatingIP",
        lambda cloud: cloud.network.ips(),
    ),
    "rule": (
        {"service": "neutron", "method": "POST", "path": "/security-group-rules$", "body": "8472"},
        "OS::Neutron::SecurityGroupRule",
        lambda cloud: cloud.network.security_group_rules(port_range_min=8472),
    ),
    "server": (
        {"service": "nova", "method": "POST", "path": "/servers$"},
        "OS::Nova::Server",
        lambda cloud: cloud.compute.servers(),
    ),
}
"""Requests, the type of what they make for Heat, and how that is found."""


@pytest.mark.parametrize(
    ("what", "resumed"),
    [
        ("router", False),
        ("floating IP", False),
        ("interface", True),
        ("rule", True),
        ("server", True),
    ],
)
async def test_what_an_engine_of_heat_asked_for_when_it_was_killed_is_not_left(
    openstack_lab: OpenStackLab, what: str, resumed: bool
) -> None:
    """The request waits at the service's door until the engine that sent it is dead.

    Either the cluster is deleted then, or Heat goes on: what it makes again, there is once. Nobody
    asks Heat to go on before it is seen what it lost: the controllers are away meanwhile.
    """
    request, kind, listed = LOSSES[what]
    async with place(openstack_lab, stallMinutes="1") as where:
        cloud = where.cloud
        openstack_lab.faults(request | {"hold": True, "times": 1})
        async with controlled(where) as here:
            await here.apply(here.cluster())
            # Only then has Heat sent it: a resource is in work some time before that.
            await eventually(lambda: asyncio.to_thread(openstack_lab.struck), within=PATIENCE)
            await eventually(
                lambda: asyncio.to_thread(_only_asks_for, cloud, kind), within=PATIENCE
            )
        await asyncio.to_thread(openstack_lab.order, "kill", "heat-engine")
        await asyncio.to_thread(openstack_lab.order, "start", "heat-engine")
        openstack_lab.faults()
        await eventually(lambda: asyncio.to_thread(_number, cloud, listed), within=PATIENCE)
        assert await asyncio.to_thread(_only_asks_for, cloud, kind)
        async with controlled(where) as here:
            if resumed:
                await here.ready(Cluster, "c")
                assert await asyncio.to_thread(_number, cloud, listed) == 1
            await here.delete(Cluster, "c")


def _only_asks_for(cloud: Any, kind: str) -> bool:
    """Whether Heat is at work on that alone, and has not noted its id."""
    for stack in cloud.orchestration.stacks():
        parts = list(cloud.orchestration.resources(stack))
        busy = [part for part in parts if part.status == "CREATE_IN_PROGRESS"]
        asked = not any(part.physical_resource_id for part in busy)
        return asked and {part.resource_type for part in busy} == {kind}
    return False


def _number(cloud: Any, listed: Callable[[Any], Iterable[Any]]) -> int:
    return sum(1 for _ in listed(cloud))


async def test_a_cluster_whose_creation_was_broken_off_anywhere_leaves_nothing(
    openstack_lab: OpenStackLab,
) -> None:
    chance = random.Random(11)
    async with home(openstack_lab, stallMinutes="1") as here:
        for _ in range(3):
            await here.apply(here.cluster())
            await eventually(here.native_stacks, within=PATIENCE)
            await asyncio.sleep(chance.uniform(0, 8))
            await asyncio.to_thread(openstack_lab.order, "kill", "heat-engine")
            await asyncio.to_thread(openstack_lab.order, "start", "heat-engine")
            await here.delete(Cluster, "c")


async def test_controllers_that_are_torn_down_at_any_moment_converge(
    openstack_lab: OpenStackLab,
) -> None:
    chance = random.Random(4)
    async with place(openstack_lab, forgiven=ASKED_TWICE) as where:
        for number in (0, 2, 1):
            for last in (False, False, True):
                async with controlled(where) as here:
                    await here.apply(here.cluster())
                    if number:
                        await here.apply(here.pool(replicas=number))
                    if not last:
                        await asyncio.sleep(chance.uniform(0.2, 5))
                        continue
                    await here.ready(Cluster, "c")
                    if number:
                        await here.until(NodePool, "workers", lambda p, n=number: _has(p, n))
        for _ in range(3):
            async with controlled(where) as here:
                if await here.get(Cluster, "c") is not None:
                    assert len(await here.native_stacks()) <= 2
                    assert sum((await here.servers()).values()) <= 2
                    await here.store.delete(api_of(Cluster), TEAM, "c")
                await asyncio.sleep(chance.uniform(0.2, 5))
        async with controlled(where) as here:
            await here.delete(Cluster, "c")


def _has(pool: NodePool, number: int) -> bool:
    return pool.ready and (pool.status.replicas, pool.status.ready) == (number, number)


def _objects(lab: OpenStackLab, name: str) -> list[Json]:
    endpoint = lab.endpoint(projectName=name)
    data = {k: b64encode(v.encode()).decode() for k, v in endpoint.credentials.items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "data": data}
    provider = {
        "driver": "openstack",
        "region": endpoint.region,
        "settings": dict(endpoint.settings),
        "credentialsSecret": {"namespace": "shop", "name": "cloud"},
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        secret | {"metadata": {"name": "cloud", "namespace": "shop"}},
        _ours("Provider", "lab", provider),
    ]


def _ours(kind: str, name: str, spec: Json, **meta: str) -> Json:
    head = {"apiVersion": "isthmus.dev/v1alpha1", "kind": kind}
    return head | {"metadata": {"name": name} | meta, "spec": spec}


def _network(floating: int) -> Json:
    spec = {"provider": "lab", "plan": "routed", "parameters": {"floatingIps": floating}}
    return _ours("Network", "net", spec, namespace="shop")


def test_our_process_is_killed_at_every_step(openstack_lab: OpenStackLab, tmp_path: Path) -> None:
    chance = random.Random(7)
    with project(openstack_lab) as name:
        before = census(openstack_lab, name)
        with up(tmp_path) as installation:
            installation.apply(*_objects(openstack_lab, name))
        for step in ("create", "change", "delete"):
            with up(tmp_path) as installation:
                _begin(installation, step)
                time.sleep(chance.uniform(0.2, 6))
                installation.stop(signal.SIGKILL)
            with up(tmp_path) as installation:
                _finish(installation, step)
                if step != "delete":
                    cloud = openstack_lab.connect(project_name=name)
                    assert len(list(cloud.orchestration.stacks())) == 1
                    cloud.close()
        with up(tmp_path) as installation:
            wait_for(lambda: not installation.json("orphans")["skipped"], installation)
            assert installation.json("orphans")["orphans"] == []
        until(lambda: census(openstack_lab, name, without=ASKED_TWICE) - before, set().__eq__)


def _begin(installation: Installation, step: str) -> None:
    if step == "delete":
        installation.run("delete", "network/net", "-n", "shop", "--no-wait")
    else:
        installation.apply(_network(1 if step == "create" else 2), wait=False)


def _finish(installation: Installation, step: str) -> None:
    if step == "delete":
        words = ("delete", "network/net", "-n", "shop", "--ignore-not-found", "--timeout", "300")
        installation.run(*words)
        return
    wait_for(lambda: _addresses(installation) == (1 if step == "create" else 2), installation, 300)


def _addresses(installation: Installation) -> int:
    """How many floating IPs the network has; 0 while it is not ready."""
    found = installation.json("get", "network/net", "-n", "shop")
    conditions = {c["type"]: c for c in found["status"].get("conditions", [])}
    ready = conditions.get("Ready", {})
    fresh = ready.get("observedGeneration") == found["metadata"]["generation"]
    if ready.get("status") != "True" or not fresh:
        return 0
    return found["status"]["outputs"]["FloatingIps"].count("172.24.4.")
