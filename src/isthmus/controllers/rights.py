"""What the controllers may do to the API: no more than they use.

``deploy/rbac/controllers.yaml`` grants exactly this; a test compares the two. What controllers read
and whose status they write follows from what they are; what else they write is listed here, and
the scenarios of the tests run with these rights only.
"""

from collections.abc import Iterator
from typing import NamedTuple

from isthmus.api.v1alpha1 import (
    NodePool,
    OfferingRevision,
    Operation,
    Provider,
    ServiceBinding,
    Stack,
    StorageBackend,
)
from isthmus.controllers import CLAIMS
from isthmus.ports import Api
from isthmus.runtime.kinds import EVENTS, SECRETS, api_of
from isthmus.runtime.leadership import LEASES
from isthmus.runtime.manager import Manager

_WRITES: tuple[tuple[Api, tuple[str, ...]], ...] = (
    (api_of(Stack), ("create", "update", "delete")),
    (api_of(OfferingRevision), ("create", "delete")),
    (api_of(Operation), ("delete",)),
    (api_of(Provider), ("create", "update", "delete")),  # Each Cluster is a Provider as well.
    (api_of(NodePool), ("delete",)),  # A Cluster takes its pools and its storage with it.
    (api_of(StorageBackend), ("delete",)),
    (SECRETS, ("create", "update", "delete")),
    (EVENTS, ("get", "create", "patch")),
)
LEASE = "isthmus-controllers"
"""Name of the Lease by which the controllers elect their leader."""


class Right(NamedTuple):
    """One verb on one resource."""

    verb: str
    group: str
    resource: str
    """With its subresource: ``stacks/status``."""
    name: str = ""
    """Of the only object that is meant; empty: all."""

    def __str__(self) -> str:
        where = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {where}" + (f" {self.name!r}" if self.name else "")


def needed(manager: Manager) -> tuple[Right, ...]:
    """Return what the controllers of a manager need in the whole cluster, sorted."""
    return tuple(sorted({*_reads(manager), *_reports(manager), *_writes()}))


def of_election() -> tuple[Right, ...]:
    """Return what electing a leader needs, in the namespace of the Lease only."""
    return (
        _right("create", LEASES),
        _right("get", LEASES)._replace(name=LEASE),
        _right("update", LEASES)._replace(name=LEASE),
    )


def _reads(manager: Manager) -> Iterator[Right]:
    for api in manager.apis:
        yield from (_right(verb, api) for verb in ("get", "list", "watch"))


def _reports(manager: Manager) -> Iterator[Right]:
    for reconciler in manager.reconcilers:
        api = api_of(reconciler.kind)
        yield _right("update", api, "status")
        if reconciler.holds:
            yield _right("patch", api)  # Our finalizer.


def _writes() -> Iterator[Right]:
    for api, verbs in _WRITES:
        yield from (_right(verb, api) for verb in verbs)
    # Clusters that enforce it let nobody block the deletion of what he may not hold back.
    # https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#ownerreferencespermissionenforcement
    owners = (*CLAIMS, ServiceBinding)
    yield from (_right("update", api_of(kind), "finalizers") for kind in owners)


def _right(verb: str, api: Api, subresource: str = "") -> Right:
    group = api.group_version.rpartition("/")[0]
    return Right(verb, group, f"{api.plural}/{subresource}" if subresource else api.plural)
