"""What a Cluster gives its blueprint beside what the tenant asks for.

A blueprint that declares the ``writeOnly`` parameter ``bootstrapPayload`` is given the cluster's
certificate authorities, sealed. Their key is no parameter: an engine would keep it for years. It
reaches the servers by the offering's handover, see ``controllers.key_handover``. A blueprint may
also declare ``caHash``.
"""

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, OfferingSpec
from isthmus.core import schemas

PAYLOAD, KEY = "bootstrapPayload", "bootstrapKey"
"""Keys of the cluster's Secret: the sealed authorities, and what opens them."""
CA_HASH = "caHash"
KUBECONFIG_KEY = "kubeconfig"


def secret_name(cluster: str) -> str:
    """Return the name of the Secret with the cluster's own keys."""
    return f"{cluster}-cluster"


def kubeconfig_name(cluster: str) -> str:
    """Return the name of the Secret with an administrator's kubeconfig."""
    return f"{cluster}-kubeconfig"


def wants_authorities(definition: OfferingSpec) -> bool:
    """Tell whether the blueprint brings authorities of ours to its servers."""
    return PAYLOAD in schemas.secret_names(definition.parameters)


def furnished(cluster: Cluster, definition: OfferingSpec, ca_hash: str = "") -> Cluster:
    """Return the cluster with what the blueprint declares of its secrets, as references."""
    given: Json = {}
    if wants_authorities(definition):
        name = secret_name(cluster.metadata.name)
        given[PAYLOAD] = {"secretKeyRef": {"name": name, "key": PAYLOAD}}
    if ca_hash and CA_HASH in schemas.properties(definition.parameters):
        given[CA_HASH] = ca_hash
    spec = cluster.spec.model_copy(update={"parameters": cluster.spec.parameters | given})
    return cluster.model_copy(update={"spec": spec})
