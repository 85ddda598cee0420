"""What a StorageBackend gives its offering beside what the tenant asks for: see ``in_cluster``.

The output ``Driver`` of its Stack is the CSI driver's name, ``StorageClasses`` the classes' names,
by comma.
"""

from isthmus.api.v1alpha1 import Cluster, OfferingSpec, Provider, StorageBackend
from isthmus.core import catalog, schemas
from isthmus.core.compose.in_cluster import facts, key_of, references
from isthmus.errors import InvalidSpec

DRIVER = "Driver"
CLASSES = "StorageClasses"


def furnished(
    backend: StorageBackend,
    definition: OfferingSpec,
    cluster: Cluster | None,
    cloud: Provider | None,
) -> StorageBackend:
    """Return the backend with references to its secrets and with what its cluster knows.

    The tenant's own parameters and those that the plan fixes count more.

    Args:
        backend: The backend.
        definition: Its offering.
        cluster: Where it lands; None where that is no Cluster.
        cloud: The Provider of the cluster's servers; None where nobody knows it.

    Raises:
        InvalidSpec: Only its credentials are missing.
    """
    known = schemas.properties(definition.parameters)
    secret = schemas.secret_names(definition.parameters)
    given = facts(cluster, cloud) | references(backend.spec.credentials_secret, secret)
    fixed = catalog.plan_of(definition, backend.spec.plan).fixed
    given = {k: v for k, v in given.items() if k in known and k not in fixed}
    result = _with(backend, given)
    complete = _with(result, references(backend.spec.credentials_secret or "any", secret))
    if not _fits(definition, result) and _fits(definition, complete):
        keys = ", ".join(sorted(map(key_of, secret)))
        raise InvalidSpec(f"spec.credentialsSecret: name a Secret with the keys {keys}.")
    return result


def classes(outputs: dict[str, str]) -> tuple[str, ...]:
    """Return the names of the StorageClasses that a Stack tells of."""
    return tuple(name for name in outputs.get(CLASSES, "").split(",") if name)


def _with(backend: StorageBackend, given: dict[str, object]) -> StorageBackend:
    spec = backend.spec.model_copy(update={"parameters": given | backend.spec.parameters})
    return backend.model_copy(update={"spec": spec})


def _fits(definition: OfferingSpec, backend: StorageBackend) -> bool:
    try:
        catalog.values_of(definition, backend.spec)
    except InvalidSpec:
        return False
    return True
