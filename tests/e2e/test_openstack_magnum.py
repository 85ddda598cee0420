"""A cluster that Magnum makes, through Isthmus, as far as Magnum's own driver goes.

Its servers are played, so its API never answers; all else is Magnum's: templates, node groups,
authorities, certificates. In the project demo, whose software deployments the lab completes.
"""

import base64
import json
import time
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
    await here.delete(Cluster, "m")


def _provisioned(cluster: Cluster) -> bool:
    """Whether all is there; the cluster's own API is played and cannot answer."""
    found = cluster.condition("Provisioned")
    ready = cluster.condition("Ready")
    fresh = ready is not None and ready.observed_generation == cluster.metadata.generation
    return fresh and found is not None and found.status == "True"


async def _kubeconfig_is_magnums(here: Home, endpoint: str) -> None:
    deadline = time.monotonic() + 30
    while (secret := await here.store.get(SECRETS, TEAM, "m-kubeconfig")) is None:
        assert time.monotonic() < deadline
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
