"""The network of a cluster's pods, where an offering brings it: a Stack in that very cluster.

A blueprint says so at its parameter ``networkPlugin``: ``x-offerings`` names an Offering for each
plugin that it does not bring by itself. That offering is given what ``in_cluster`` says, every
value that the cluster was rendered with (``podCidr``, ``serviceCidr``, ``mtu``, ...), and
``podMtu``: what the plugin's own headers leave of the nodes' packets, in bytes.
"""

from collections.abc import Mapping
from typing import Any

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import (
    Claim,
    ClaimSpec,
    ClaimStatus,
    Cluster,
    NetworkPlugin,
    OfferingSpec,
    Provider,
)
from isthmus.core import schemas
from isthmus.core.compose.in_cluster import facts, references
from isthmus.errors import InvalidSpec

PLUGIN = "networkPlugin"
OFFERINGS = "x-offerings"
OVERHEAD_BYTES: Mapping[str, int] = {
    NetworkPlugin.FLANNEL: 50,
    NetworkPlugin.OVN_KUBERNETES: 58,
    NetworkPlugin.NEUTRON: 0,
}
"""IPv4 headers around a pod's packet: VXLAN (RFC 7348) 50, Geneve with OVN's option (RFC 8926) 58;
Neutron routes pods' packets as they are."""


class PodNetwork(Claim[ClaimSpec, ClaimStatus]):
    """The pod network of one cluster. It is no object of the API: it lives as its Stack."""

    label = Cluster.label
    stack_prefix = "pod-network-"
    names = Cluster.names


def offering_of(blueprint: OfferingSpec, values: Mapping[str, Any]) -> str:
    """Return the name of the Offering of the pod network; empty: the blueprint brings it."""
    declared = schemas.properties(blueprint.parameters).get(PLUGIN, {})
    return str(declared.get(OFFERINGS, {}).get(values.get(PLUGIN, ""), ""))


def network_of(cluster: Cluster, offering: str, provider: str) -> PodNetwork:
    """Return the pod network of a cluster, not furnished yet.

    Args:
        cluster: The cluster.
        offering: What brings the network.
        provider: The cluster's own Provider.
    """
    spec = ClaimSpec(offering=offering, plan="usual", provider=provider)
    return PodNetwork(metadata=cluster.metadata, spec=spec, status=ClaimStatus())


def furnished(
    network: PodNetwork,
    definition: OfferingSpec,
    cluster: Cluster,
    values: Mapping[str, Any],
    cloud: Provider | None,
) -> PodNetwork:
    """Return the network with all that its offering wants to know.

    Args:
        network: The network.
        definition: Its offering; its first plan is taken.
        cluster: The cluster.
        values: What the cluster's own Stack was rendered with.
        cloud: The Provider of the cluster's servers.
    """
    known = schemas.properties(definition.parameters)
    secret = schemas.secret_names(definition.parameters)
    given: Json = {**values, **facts(cluster, cloud), "podMtu": pod_mtu(values)}
    open_ones = {k: v for k, v in given.items() if k in known and k not in secret}
    own = references(cluster.spec.network.credentials_secret, secret)
    update = {"plan": definition.plans[0].name, "parameters": open_ones | own}
    return network.model_copy(update={"spec": network.spec.model_copy(update=update)})


def pod_mtu(values: Mapping[str, Any]) -> int:
    """Return the largest packet of a pod in bytes.

    Raises:
        InvalidSpec: The nodes' packets are too small.
    """
    nodes = int(values.get("mtu") or 1500)
    room = nodes - OVERHEAD_BYTES.get(str(values.get(PLUGIN)), 0)
    if room < 576:
        raise InvalidSpec(f"spec.network.mtu: {nodes} leaves pods {room} bytes; 576 is the least.")
    return room
