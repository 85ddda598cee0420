"""A Cluster as a Provider: what shall land in it names that, like any other place.

A Provider has no namespace, so its name holds that of the cluster; only that namespace may use it.
"""

from isthmus.api.meta import FINALIZER, GROUP, SIMULATED, ObjectMeta, SecretKeyRef, SecretRef
from isthmus.api.meta import LabelSelector as Selector
from isthmus.api.v1alpha1 import Cluster, Provider, ProviderSpec, ProviderStatus
from isthmus.core.selectors import NAMESPACE_NAME

CLUSTER_UID = f"{GROUP}/cluster-uid"
"""Label of the Provider: whose it is. No owner reference leads from here into a namespace."""
DRIVER = "kubernetes"
_USUAL_KEY = "kubeconfig"


def provider_name(namespace: str, cluster: str) -> str:
    """Return the name of a cluster's Provider; no namespace has a dot, so no two share one."""
    return f"{namespace}.{cluster}"


def provider_of(cluster: Cluster, kubeconfig: SecretKeyRef) -> Provider:
    """Return the Provider that leads into a cluster.

    Args:
        cluster: The cluster.
        kubeconfig: Where its administrator's kubeconfig is.
    """
    meta = cluster.metadata
    simulated = {SIMULATED: "true"} if cluster.status.simulated else {}
    key = {} if kubeconfig.key == _USUAL_KEY else {"kubeconfigKey": kubeconfig.key}
    return Provider(
        metadata=ObjectMeta(
            name=provider_name(meta.namespace, meta.name),
            labels={CLUSTER_UID: meta.uid} | simulated,
            finalizers=(FINALIZER,),
        ),
        spec=ProviderSpec(
            driver=DRIVER,
            credentials_secret=SecretRef(namespace=meta.namespace, name=kubeconfig.name),
            settings=key,
            namespace_selector=Selector(match_labels={NAMESPACE_NAME: meta.namespace}),
        ),
        status=ProviderStatus(),
    )


def is_of_cluster(provider: Provider) -> bool:
    """Tell whether a Provider leads into a Cluster: nothing lands there unless it is named."""
    return CLUSTER_UID in provider.metadata.labels
