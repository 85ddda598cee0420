"""What Isthmus knows of a cluster and tells to the offerings that land in it, by parameter's name.

* each secret parameter, from a Secret that the tenant names: ``userKey`` is its key ``user-key``;
* ``clusterId``: what the cluster's own things are marked with in its cloud, so that none outlives
  it unseen; ``endpoint``: host and port of its API;
* every output of the cluster's Stack, with a small first letter (``RouterId`` is ``routerId``);
* ``region`` and every setting (``authUrl``, ``caBundle``, ...) of the Provider of its servers.
"""

import re
from collections.abc import Iterable

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, OfferingSpec, Provider
from isthmus.core import schemas


def facts(cluster: Cluster | None, cloud: Provider | None) -> Json:
    """Return what is known.

    Args:
        cluster: The cluster; None where something lands elsewhere.
        cloud: The Provider of the cluster's servers; None where nobody knows it.
    """
    return _of_cloud(cloud) | (_of_cluster(cluster) if cluster is not None else {})


def references(secret: str, parameters: Iterable[str]) -> Json:
    """Return references into a Secret for secret parameters; none where no Secret is named."""
    if not secret:
        return {}
    return {one: {"secretKeyRef": {"name": secret, "key": key_of(one)}} for one in parameters}


def keys_needed(definition: OfferingSpec) -> tuple[str, ...]:
    """Return the keys that a Secret must have for the offering's required secret parameters."""
    required = set(definition.parameters.get("required", ()))
    return tuple(sorted(map(key_of, required & schemas.secret_names(definition.parameters))))


def key_of(parameter: str) -> str:
    """Return the key of a Secret that holds a parameter: ``userKey`` is ``user-key``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", parameter).lower()


def cluster_id(cluster: Cluster) -> str:
    """Return what a cluster's own volumes and balancers bear in the cloud."""
    return f"{cluster.metadata.name}-{cluster.metadata.uid}"


def _of_cluster(cluster: Cluster) -> Json:
    outputs = cluster.status.outputs.items()
    told: Json = {name[:1].lower() + name[1:]: value for name, value in outputs}
    endpoint = cluster.status.endpoint.removeprefix("https://")
    return told | {"clusterId": cluster_id(cluster), "endpoint": endpoint}


def _of_cloud(cloud: Provider | None) -> Json:
    return {"region": cloud.spec.region, **cloud.spec.settings} if cloud is not None else {}
