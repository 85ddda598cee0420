"""A cluster whose authority its cloud keeps: its blueprint says who issues the kubeconfig."""

import base64
import json
from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster
from isthmus.controllers.cluster import EXPIRES
from isthmus.errors import InvalidSpec
from isthmus.runtime.kinds import SECRETS
from tests.cluster_world import BLUEPRINT, Clusters, a_cluster, clusters
from tests.world import TEAM, an_offering

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]
ENDS = "2026-02-01T00:00:00+00:00"


def magnum(values: Json, strategy: str = "static") -> Any:
    """A blueprint that makes no authority, and whose cloud issues certificates."""
    stack = BLUEPRINT["stacks"]["fake"]
    properties = {
        name: schema
        for name, schema in BLUEPRINT["parameters"]["properties"].items()
        if not name.startswith("bootstrap")
    }
    server = dict(stack["template"]["resources"]["Control"])
    server["properties"] = {"name": "${isthmus.name}", "role": "control-plane"}
    template = stack["template"] | {
        "resources": stack["template"]["resources"] | {"Control": server}
    }
    spec = BLUEPRINT | {
        "parameters": BLUEPRINT["parameters"] | {"properties": properties},
        "binding": {"type": "kubernetes", "keys": {}},
        "stacks": {
            "fake": {
                "template": template,
                "credentials": [{"strategy": strategy, "spec": {"values": values}}],
            }
        },
    }
    return an_offering("magnum", **spec)


KUBECONFIG = json.dumps({"clusters": [{"cluster": {"server": "${outputs.Endpoint}"}}]})


async def secret(world: Clusters) -> tuple[dict[str, str], str]:
    found = await world.here.store.get(SECRETS, TEAM, "c-kubeconfig")
    assert found is not None
    values = {key: base64.b64decode(value).decode() for key, value in found["data"].items()}
    return values, found["metadata"]["annotations"][EXPIRES]


async def test_the_kubeconfig_comes_from_the_cloud_and_goes_with_the_cluster() -> None:
    async with clusters() as world:
        await world.here.apply(magnum({"kubeconfig": KUBECONFIG, "expiresAt": ENDS}))
        await world.here.apply(a_cluster(offering="magnum"))
        cluster = await world.here.ready(Cluster, "c", within=300)
        values, ends = await secret(world)
        assert cluster.status.endpoint in values["kubeconfig"]
        assert ends == ENDS
        assert cluster.status.kubeconfig == "c-kubeconfig"
        assert cluster.status.ca_hash == ""
        await world.here.annotate(Cluster, "c", rotate="1")
        await world.here.until(Cluster, "c", lambda c: c is not None and c.status.rotation == "1")
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=300)
        assert await world.here.store.get(SECRETS, TEAM, "c-kubeconfig") is None


@pytest.mark.parametrize(
    ("strategy", "values", "said"),
    [("static", {"username": "me"}, "is no kubeconfig"), ("none-such", {}, "knows no credential")],
)
async def test_a_credential_that_is_no_kubeconfig_is_named(
    strategy: str, values: Json, said: str
) -> None:
    async with clusters() as world:
        await world.here.apply(magnum(values, strategy))
        await world.here.apply(a_cluster(offering="magnum"))
        assert said in await world.here.refused(Cluster, "c", InvalidSpec.reason, within=300)
