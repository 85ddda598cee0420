"""What a StorageBackend gives its offering beside what the tenant asks for.

* each secret parameter, from the Secret that ``spec.credentialsSecret`` names: ``userKey`` is there
  under the key ``user-key``;
* ``clusterId``: what the cluster's own volumes are marked with, so that none outlives it unseen;
* ``region`` and every setting (``authUrl``, ``caBundle``, ...) of the Provider that the cluster's
  servers are on, by its name.

The tenant's own parameters and those that the plan fixes count more. The output ``Driver`` of its
Stack is the CSI driver's name, ``StorageClasses`` the classes' names, by comma.
"""

import re

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, OfferingSpec, Provider, StorageBackend
from isthmus.core import catalog, schemas

DRIVER = "Driver"
CLASSES = "StorageClasses"


def furnished(
    backend: StorageBackend,
    definition: OfferingSpec,
    cluster: Cluster | None,
    cloud: Provider | None,
) -> StorageBackend:
    """Return the backend with references to its secrets and with what its cluster knows.

    Args:
        backend: The backend.
        definition: Its offering.
        cluster: Where it lands; None where that is no Cluster.
        cloud: The Provider of the cluster's servers; None where nobody knows it.
    """
    known = schemas.properties(definition.parameters)
    secret = schemas.secret_names(definition.parameters)
    facts = _references(backend, secret) | _of_cluster(cluster) | _of_cloud(cloud)
    fixed = catalog.plan_of(definition, backend.spec.plan).fixed
    given = {k: v for k, v in facts.items() if k in known and k not in fixed}
    spec = backend.spec.model_copy(update={"parameters": given | backend.spec.parameters})
    return backend.model_copy(update={"spec": spec})


def classes(outputs: dict[str, str]) -> tuple[str, ...]:
    """Return the names of the StorageClasses that a Stack tells of."""
    return tuple(name for name in outputs.get(CLASSES, "").split(",") if name)


def key_of(parameter: str) -> str:
    """Return the key of a Secret that holds a parameter: ``userKey`` is ``user-key``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", parameter).lower()


def cluster_id(cluster: Cluster) -> str:
    """Return the name that a cluster's own volumes and balancers bear in the cloud."""
    return f"{cluster.metadata.name}-{cluster.metadata.uid}"


def _references(backend: StorageBackend, secret: frozenset[str]) -> Json:
    name = backend.spec.credentials_secret
    if not name:
        return {}
    return {one: {"secretKeyRef": {"name": name, "key": key_of(one)}} for one in secret}


def _of_cluster(cluster: Cluster | None) -> Json:
    return {"clusterId": cluster_id(cluster)} if cluster is not None else {}


def _of_cloud(cloud: Provider | None) -> Json:
    return {"region": cloud.spec.region, **cloud.spec.settings} if cloud is not None else {}
