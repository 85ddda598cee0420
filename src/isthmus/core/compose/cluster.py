"""What a Cluster gives its blueprint beside what the tenant asks for.

A blueprint declares as ``writeOnly`` parameters what it needs of the cluster's own Secret, by the
Secret's key: ``bootstrapPayload`` (the certificate authorities, sealed), ``bootstrapKey`` (which
opens them) and ``joinToken`` (by which the nodes of the control plane find together). The latter
two are withdrawn as soon as the control plane is up: the parameters are then empty, so they must be
optional and ``x-updatable``. It may also declare ``caHash``.
"""

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, OfferingSpec
from isthmus.core import schemas

PAYLOAD, KEY, TOKEN = "bootstrapPayload", "bootstrapKey", "joinToken"
KEYS = frozenset({PAYLOAD, KEY, TOKEN})
"""Keys of the Secret that a blueprint may declare."""
ONCE = frozenset({KEY, TOKEN})
"""Those that nothing has a use for once the control plane is up."""
CA_HASH = "caHash"
KUBECONFIG_KEY = "kubeconfig"


def secret_name(cluster: str) -> str:
    """Return the name of the Secret with the cluster's own keys."""
    return f"{cluster}-cluster"


def kubeconfig_name(cluster: str) -> str:
    """Return the name of the Secret with an administrator's kubeconfig."""
    return f"{cluster}-kubeconfig"


def secrets_of(definition: OfferingSpec) -> frozenset[str]:
    """Return the keys of the cluster's Secret that the blueprint wants to be given."""
    return schemas.secret_names(definition.parameters) & KEYS


def furnished(cluster: Cluster, definition: OfferingSpec, ca_hash: str = "") -> Cluster:
    """Return the cluster with references to those of its secrets that the blueprint declares."""
    wanted = secrets_of(definition)
    if cluster.status.bootstrapped:
        wanted -= ONCE
    name = secret_name(cluster.metadata.name)
    given: Json = {key: {"secretKeyRef": {"name": name, "key": key}} for key in sorted(wanted)}
    if ca_hash and CA_HASH in schemas.properties(definition.parameters):
        given[CA_HASH] = ca_hash
    spec = cluster.spec.model_copy(update={"parameters": cluster.spec.parameters | given})
    return cluster.model_copy(update={"spec": spec})
