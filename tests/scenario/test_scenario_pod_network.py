"""The network of a cluster's pods that an offering brings: before its nodes are ready, in it."""

from typing import Any

import pytest

from isthmus.api.v1alpha1 import Cluster, Stack
from isthmus.errors import Unavailable
from tests.cluster_world import BLUEPRINT, Clusters, a_cluster, clusters
from tests.outward import Outward
from tests.world import an_offering

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

HOUR = 3600.0
PARAMETERS = BLUEPRINT["parameters"]["properties"] | {
    "networkPlugin": {
        "type": "string",
        "default": "flannel",
        "x-offerings": {"neutron": "pod-network"},
        "x-updatable": False,
    },
    "podCidr": {"type": "string", "default": "10.244.0.0/16", "x-updatable": False},
    "mtu": {"type": "integer", "default": 1450, "x-updatable": False},
}
WITH_PLUGINS = BLUEPRINT | {"parameters": {"type": "object", "properties": PARAMETERS}}


def _text() -> dict[str, Any]:
    return {"type": "string", "x-updatable": True}


NETWORK: dict[str, Any] = {
    "category": "network",
    "parameters": {
        "type": "object",
        "required": ["podCidr", "podMtu", "networkId", "clusterId", "userKey"],
        "properties": {
            "podCidr": _text(),
            "podMtu": {"type": "integer", "x-updatable": True},
            "networkId": _text(),
            "clusterId": _text(),
            "userKey": _text() | {"writeOnly": True},
        },
    },
    "plans": [{"name": "usual", "title": "Usual"}],
    "binding": None,
    "actions": [],
    "stacks": {
        "kubernetes": {
            "template": {
                "resources": {
                    "Plugin": {
                        "type": "Fake::Network",
                        "properties": {
                            "cidr": "${podCidr}",
                            "mtu": "${podMtu}",
                            "network": "${networkId}",
                            "cluster": "${clusterId}",
                            "key": {"parameter": "UserKey"},
                        },
                    }
                }
            },
            "parameters": {"UserKey": "${userKey}"},
        }
    },
}


async def furnished(world: Clusters) -> None:
    await world.here.apply(an_offering("kubernetes", **WITH_PLUGINS))
    await world.here.apply(an_offering("pod-network", **NETWORK))
    await world.here.secret("user", **{"user-key": "hunter2"})


def routed(**network: Any) -> Cluster:
    return a_cluster(network={"plugin": "neutron", "credentials_secret": "user"} | network)


async def test_the_network_lands_in_the_cluster_with_what_it_needs_to_know() -> None:
    async with clusters() as world:
        await furnished(world)
        await world.here.apply(routed(mtu=1400))
        cluster = await world.here.ready(Cluster, "c", within=HOUR)
        stack = await world.here.ready(Stack, "pod-network-c")
        assert stack.spec.provider == cluster.status.own_provider
        plugin = stack.spec.template["resources"]["Plugin"]["properties"]
        assert (plugin["mtu"], plugin["cidr"]) == (1400, "10.244.0.0/16")
        assert plugin["network"] == cluster.status.outputs["NetworkId"]
        assert plugin["cluster"] == f"c-{cluster.metadata.uid}"
        assert "hunter2" not in repr(stack.dump())


async def test_what_the_blueprint_brings_itself_needs_no_stack() -> None:
    async with clusters() as world:
        await furnished(world)
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=HOUR)
        assert await world.here.get(Stack, "pod-network-c") is None


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"credentials_secret": ""}, "spec.network.credentialsSecret: plugin 'neutron' needs"),
        ({"mtu": 576, "plugin": "neutron"}, ""),
    ],
)
async def test_what_could_never_be_ready_is_refused_before_anything_is_made(
    network: dict[str, Any], said: str
) -> None:
    async with clusters() as world:
        await furnished(world)
        await world.here.apply(routed(**network))
        if not said:
            await world.here.ready(Cluster, "c", within=HOUR)
            return
        assert said in await world.here.refused(Cluster, "c", "InvalidSpec")
        assert world.here.cloud.stacks == {}


async def test_what_the_plugin_lacks_is_said_of_a_field_that_the_tenant_has() -> None:
    async with clusters() as world:
        await furnished(world)
        router = {"routerId": _text() | {"minLength": 1}}
        properties = NETWORK["parameters"]["properties"] | router
        wanted = NETWORK["parameters"] | {"properties": properties, "required": ["routerId"]}
        await world.here.apply(an_offering("pod-network", **NETWORK | {"parameters": wanted}))
        await world.here.apply(routed())
        said = await world.here.refused(Cluster, "c", "InvalidSpec", within=HOUR)
        assert said.startswith("spec.network.plugin: 'neutron' does not fit this cluster: ")
        assert "routerId" in said


async def life(outward: Outward) -> None:
    async with clusters(outward=outward) as world:
        world.machines.boot_seconds = 4
        await furnished(world)
        await world.here.apply(routed())
        await world.here.ready(Cluster, "c", within=HOUR)
        await world.here.ready(Stack, "pod-network-c", within=HOUR)
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=HOUR)
        assert await world.here.get(Stack, "pod-network-c") is None
        assert not [s for s in world.here.cloud.stacks if "cluster" in s]


@pytest.mark.parametrize("lost_answer", [False, True], ids=["refused", "answer lost"])
async def test_each_kind_of_call_fails_once(lost_answer: bool) -> None:
    quiet = Outward()
    await life(quiet)
    for name in ("create stacks", "delete stacks", "create providers", "delete providers", "apply"):
        numbers = [n for n, called in enumerate(quiet.calls, 1) if called == name]
        struck = Outward(
            strike=numbers[len(numbers) // 2],
            lost_answer=lost_answer,
            error=lambda: Unavailable("struck"),
        )
        try:
            await life(struck)
        except AssertionError as exc:
            raise AssertionError(f"{name}: {exc}") from exc
