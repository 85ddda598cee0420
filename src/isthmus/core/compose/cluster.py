"""What a Cluster gives its blueprint beside what the tenant asks for.

A blueprint declares as ``writeOnly`` parameters what it needs of the cluster's own Secret, by the
Secret's key: ``bootstrapPayload`` (the certificate authorities, sealed) and ``bootstrapKey`` (which
opens them). The key is withdrawn as soon as the control plane is up: the parameter is then empty.
"""

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, OfferingSpec
from isthmus.core import schemas

ONCE = frozenset({"bootstrapKey"})
"""Keys that nothing has a use for once the control plane is up."""
KUBECONFIG_KEY = "kubeconfig"


def secret_name(cluster: str) -> str:
    """Return the name of the Secret with the cluster's own keys."""
    return f"{cluster}-cluster"


def kubeconfig_name(cluster: str) -> str:
    """Return the name of the Secret with an administrator's kubeconfig."""
    return f"{cluster}-kubeconfig"


def furnished(cluster: Cluster, definition: OfferingSpec, keys: frozenset[str]) -> Cluster:
    """Return the cluster with references to those of its secrets that the blueprint declares."""
    wanted = schemas.secret_names(definition.parameters) & keys
    if cluster.status.bootstrapped:
        wanted -= ONCE
    name = secret_name(cluster.metadata.name)
    given: Json = {key: {"secretKeyRef": {"name": name, "key": key}} for key in sorted(wanted)}
    spec = cluster.spec.model_copy(update={"parameters": cluster.spec.parameters | given})
    return cluster.model_copy(update={"spec": spec})
