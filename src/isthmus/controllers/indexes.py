"""By what the objects in the caches are found, beside their names."""

from collections.abc import Callable

from isthmus.api.meta import LET_GO, Json
from isthmus.api.v1alpha1 import AnyClaim, Cluster, NodePool, StorageBackend
from isthmus.runtime.cache import Index, owner_uids


def used(obj: Json) -> str:
    """Return the instance that a binding has a credential of, or wants one of."""
    return obj.get("status", {}).get("instance") or obj["spec"]["instance"]


def field(name: str) -> Callable[[Json], list[str]]:
    """Index by a field of the spec."""
    return lambda obj: [obj["spec"][name]]


def offering(kind: type[AnyClaim]) -> Callable[[Json], list[str]]:
    """Index a claim by its offering: the one it names, a default, or that of its revision."""
    spec = kind.model_fields["spec"].annotation
    assert spec is not None
    usual = spec.model_fields["offering"].get_default() or ""

    def found(obj: Json) -> list[str]:
        named = obj["spec"].get("offering") or usual
        return [named or obj.get("status", {}).get("revision", "").rpartition("-")[0]]

    return found


def in_namespace(name: str) -> Callable[[Json], list[str]]:
    """Index by what a field of the spec names in the same namespace."""
    return lambda obj: [f"{obj['metadata']['namespace']}/{obj['spec'].get(name, '')}"]


def bound(obj: Json) -> list[str]:
    """Index a binding by its instance."""
    return [f"{obj['metadata']['namespace']}/{used(obj)}"]


def granted_on(obj: Json) -> list[str]:
    """Index a binding by the Provider that its credentials were, or may have been, made on."""
    granted = obj.get("status", {}).get("granted")
    return [granted["provider"]] if granted else []


def namespace(obj: Json) -> list[str]:
    """Index by the namespace."""
    return [obj["metadata"]["namespace"]]


def uid(obj: Json) -> list[str]:
    """Index by the uid."""
    return [obj["metadata"]["uid"]]


def kept(obj: Json) -> list[str]:
    """Index a Stack that is deleted and waits for its owners by their uids."""
    meta = obj["metadata"]
    waits = "deletionTimestamp" in meta and LET_GO not in meta.get("annotations", {})
    return list(owner_uids(obj)) if waits else []


def target(obj: Json) -> list[str]:
    """Index an Operation by its target."""
    return [f"{obj['metadata']['namespace']}/{obj['spec']['target']['name']}"]


def provider_secret(obj: Json) -> list[str]:
    """Index a Provider by the Secret with its credentials."""
    ref = obj["spec"].get("credentialsSecret")
    return [f"{ref['namespace']}/{ref['name']}"] if ref else []


def kubeconfig_secret(obj: Json) -> list[str]:
    """Index a Cluster by the Secret that it is attached by."""
    ref = obj["spec"].get("kubeconfigSecret")
    return [f"{obj['metadata']['namespace']}/{ref['name']}"] if ref else []


def stack_secrets(obj: Json) -> list[str]:
    """Index a Stack by the Secrets of its parameters."""
    home = obj["metadata"]["namespace"]
    parameters = obj["spec"].get("parameters", {}).values()
    refs = [parameter["secretKeyRef"] for parameter in parameters if "secretKeyRef" in parameter]
    return [f"{home}/{ref['name']}" for ref in refs]


MORE: dict[type[AnyClaim], dict[str, Index]] = {
    Cluster: {"secret": kubeconfig_secret},
    NodePool: {"cluster": in_namespace("cluster")},
    StorageBackend: {"cluster": in_namespace("cluster")},
}
"""What some claims are indexed by besides."""
