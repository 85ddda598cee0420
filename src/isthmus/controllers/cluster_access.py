"""The way from a Cluster object to the API of that cluster."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmus.api.meta import SecretKeyRef
from isthmus.api.v1alpha1 import Cluster
from isthmus.controllers.world import World
from isthmus.core.compose.cluster import KUBECONFIG_KEY, kubeconfig_name
from isthmus.errors import NotYet
from isthmus.ports import ClusterNodes
from isthmus.runtime.connections import secret_values
from isthmus.runtime.kinds import SECRETS


@asynccontextmanager
async def opened(world: World, cluster: Cluster) -> AsyncGenerator[ClusterNodes, None]:
    """Reach a cluster with an administrator's kubeconfig, which lives no longer than this.

    Raises:
        NotYet: Its kubeconfig is not there.
        InvalidSpec: Nothing here can use it.
    """
    async with world.open_cluster(await kubeconfig(world, cluster)) as nodes:
        yield nodes


async def kubeconfig(world: World, cluster: Cluster) -> str:
    """Return the kubeconfig of a cluster; a secret.

    Raises:
        NotYet: It is not there.
    """
    ref = reference(cluster)
    namespace = cluster.metadata.namespace
    secret = await world.store.get(SECRETS, namespace, ref.name)
    text = secret_values(secret).get(ref.key, "") if secret is not None else ""
    if not text:
        raise NotYet(
            f"Cluster {cluster.metadata.name!r}: there is no kubeconfig yet; Secret {ref.name!r} "
            f"with the key {ref.key!r} is missing in namespace {namespace!r}."
        )
    return text


def reference(cluster: Cluster) -> SecretKeyRef:
    """Return where the kubeconfig of a cluster is."""
    ours = SecretKeyRef(name=kubeconfig_name(cluster.metadata.name), key=KUBECONFIG_KEY)
    return cluster.spec.kubeconfig_secret or ours
