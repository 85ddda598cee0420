"""A cluster that Magnum makes, through Isthmus, as far as Magnum's own driver goes.

Its servers are played, so its API never answers; all else is Magnum's: templates, node groups,
authorities, certificates. In the project demo, whose software deployments the lab completes.
"""

import asyncio
import base64
import json
from typing import Any

import pytest
from cryptography import x509

from isthmus.api.v1alpha1 import Cluster
from isthmus.controllers.cluster import EXPIRES
from isthmus.core.compose.cluster import KUBECONFIG_KEY
from isthmus.runtime.kinds import SECRETS
from tests.openstack_home import Home, home
from tests.openstack_lab import OpenStackLab
from tests.world import TEAM

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]


def a_cluster(here: Home, nodes: int) -> Cluster:
    flavors = {"controlFlavor": "m1.small", "nodeFlavor": "m1.small"}
    cluster = here.cluster("m", offering="magnum-kubernetes")
    parameters: Any = flavors | {
        "nodes": nodes,
        "dockerVolumeGb": 5,
        "keyPair": here.endpoint.installation,
    }
    spec = cluster.spec.model_copy(update={"parameters": parameters})
    return cluster.model_copy(update={"spec": spec})


async def test_a_cluster_is_made_hands_out_a_kubeconfig_grows_and_goes(
    openstack_lab: OpenStackLab,
) -> None:
    demo = openstack_lab.auth()["project_name"]
    async with home(openstack_lab, name=demo) as here:
        key = here.cloud.compute.create_keypair(name=here.endpoint.installation)
        try:
            await _lived(here)
        finally:
            here.cloud.compute.delete_keypair(key)


async def _lived(here: Home) -> None:
    here.nodes.cluster.reachable = False
    await here.apply(a_cluster(here, 1))
    made = await here.until(Cluster, "m", _provisioned)
    assert made.status.endpoint.startswith("https://")
    assert sorted(len(name.split("-")) > 1 for name in await here.servers()) == [True, True]
    await _kubeconfig_is_magnums(here, made.status.endpoint)
    await here.apply(a_cluster(here, 2))
    await here.until(Cluster, "m", _provisioned)
    assert sum((await here.servers()).values()) == 3
    await _a_node_group_comes_and_goes(here, made.status.outputs["ClusterId"])
    await here.delete(Cluster, "m")


async def _a_node_group_comes_and_goes(here: Home, cluster: str) -> None:
    """By Operations; each is over when Magnum says so, which looks once a minute."""
    usual = {"default-master": 1, "default-worker": 2}
    assert await asyncio.to_thread(_groups, here.cloud, cluster) == usual
    shown = await here.operate(Cluster, "m", "add-node-group", name="large", flavor="m1.small")
    assert shown["nodes"] == 1
    assert await asyncio.to_thread(_groups, here.cloud, cluster) == usual | {"large": 1}
    large = await asyncio.to_thread(_magnum, here.cloud, f"/clusters/{cluster}/nodegroups/large")
    assert (large["uuid"], large["status"]) == (shown["id"], "CREATE_COMPLETE")
    assert (large["flavor_id"], large["role"]) == ("m1.small", "worker")
    assert sum((await here.servers()).values()) == 4
    await here.operate(Cluster, "m", "remove-node-group", name="large")
    assert await asyncio.to_thread(_groups, here.cloud, cluster) == usual
    assert sum((await here.servers()).values()) == 3


def _groups(cloud: Any, cluster: str) -> dict[str, int]:
    """How many servers each node group shall have, by its name."""
    listed = _magnum(cloud, f"/clusters/{cluster}/nodegroups")["nodegroups"]
    return {group["name"]: group["node_count"] for group in listed}


def _magnum(cloud: Any, path: str) -> dict[str, Any]:
    """Ask Magnum itself."""
    headers = {"OpenStack-API-Version": "container-infra 1.10"}
    answer = cloud.container_infrastructure_management.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _provisioned(cluster: Cluster) -> bool:
    """Whether all is there; the cluster's own API is played and cannot answer."""
    found = cluster.condition("Provisioned")
    ready = cluster.condition("Ready")
    fresh = ready is not None and ready.observed_generation == cluster.metadata.generation
    return fresh and found is not None and found.status == "True"


async def _kubeconfig_is_magnums(here: Home, endpoint: str) -> None:
    secret = await here.store.get(SECRETS, TEAM, "m-kubeconfig")
    assert secret is not None  # It is written before the cluster counts as provisioned.
    text = base64.b64decode(secret["data"][KUBECONFIG_KEY])
    config = json.loads(text)
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    assert cluster["server"] == endpoint
    authority = _certificate(cluster["certificate-authority-data"])
    ours = _certificate(user["client-certificate-data"])
    ours.verify_directly_issued_by(authority)
    assert ours.subject.rfc4514_string() == "CN=isthmus-admin,O=system:masters"
    assert secret["metadata"]["annotations"][EXPIRES] == ours.not_valid_after_utc.isoformat()


def _certificate(data: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(data))
