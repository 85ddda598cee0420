"""A NodePool as groups of equal servers: each is rendered like a claim, to a Stack of its own.

What the offering of a pool may declare, and is then given:

* ``count`` (integer) and ``removed`` (array of strings): the group's servers are the first
  ``count`` numbers from 0 that are not in ``removed``, as Heat's ResourceGroup has it; a number
  that was removed never comes back.
* ``joinToken`` (``writeOnly``), ``caHash``, ``endpoint`` (host and port), ``cluster`` and
  ``clusterUid``: what a server needs to become a node.
* every output of the cluster's Stack, by its name with a small first letter (``NetworkId`` is
  ``networkId``), and the cluster's value of every parameter of the same name, unless the tenant or
  the pool's plan gives another.

Its Stack has the output ``Members``: a JSON object from each number to its server's id.

What is ``x-updatable`` is changed in place. All other values together name the group, so another
image makes another group, and the pool moves there node by node.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import count as count_up
from itertools import islice
from typing import Any, cast

import orjson

from isthmus.api.meta import Json, OwnerReference
from isthmus.api.v1alpha1 import (
    Claim,
    ClaimSpec,
    ClaimStatus,
    Cluster,
    NodePool,
    OfferingSpec,
    Stack,
)
from isthmus.core import catalog, node_labels, schemas
from isthmus.core.compose.rendered import Rendered, rendered_from
from isthmus.core.planner.versions import of_pool
from isthmus.core.stacks import digest
from isthmus.errors import InvalidSpec

COUNT, REMOVED, JOIN_TOKEN = "count", "removed", "joinToken"
MEMBERS = "Members"
"""The output that says which server is which."""
TOKEN_KEY = "token"
_VERSION = "kubernetesVersion"
_MOVING = frozenset({COUNT, REMOVED, JOIN_TOKEN})


class NodeGroup(Claim[ClaimSpec, ClaimStatus]):
    """Equal servers of one pool. It is no object of the API: it lives as its Stack."""

    label = NodePool.label
    stack_prefix = NodePool.stack_prefix
    names = NodePool.names

    pool: str
    """Name of the NodePool, which owns the Stack."""

    def owner_reference(self) -> OwnerReference:
        """Return the reference to the pool."""
        return super().owner_reference().model_copy(update={"name": self.pool})


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Which servers a group has."""

    count: int = 0
    removed: tuple[int, ...] = ()

    @property
    def indexes(self) -> tuple[int, ...]:
        """The numbers of its servers."""
        free = (number for number in count_up() if number not in self.removed)
        return tuple(islice(free, self.count))

    def changed(self, *, remove: frozenset[int] = frozenset(), add: int = 0) -> "Size":
        """Return the size without some servers and with some new ones."""
        leaving = remove & set(self.indexes)
        removed = tuple(sorted({*self.removed, *leaving}))
        return replace(self, count=self.count - len(leaving) + add, removed=removed)


def size_of(stack: Stack) -> Size:
    """Return the size that a group's Stack was rendered with."""
    origin = rendered_from(stack)
    values = origin.values if origin is not None else {}
    removed = cast("list[Any]", values.get(REMOVED) or [])
    return Size(count=int(values.get(COUNT) or 0), removed=tuple(int(n) for n in removed))


def servers_of(stack: Stack) -> dict[int, str]:
    """Return the servers' ids by their number, as far as the engine has said."""
    try:
        found = orjson.loads(stack.status.outputs.get(MEMBERS) or "{}")
    except orjson.JSONDecodeError:
        return {}
    if not isinstance(found, dict):
        return {}
    pairs = cast("dict[str, Any]", found).items()
    return {int(number): str(server) for number, server in pairs if number.isdigit() and server}


def failed_of(stack: Stack) -> frozenset[int]:
    """Return the numbers of the servers that the engine could not make, or lost.

    What belongs to a server has its number in its path, as engines write it: ``nodes/1``.
    """
    failed = (r.logical_id for r in stack.status.resources if r.status.upper().endswith("FAILED"))
    parts = (part for path in failed for part in path.split("/")[1:])
    return frozenset(int(part) for part in parts if part.isdigit())


def token_secret(pool: str) -> str:
    """Return the name of the Secret with the pool's join token."""
    return f"{pool}-join"


def offering_of(pool: NodePool, cluster: Cluster) -> str:
    """Return the name of the offering: the cluster's companion unless the pool names one.

    Raises:
        InvalidSpec: Neither names one.
    """
    if not pool.spec.offering and not cluster.spec.offering:
        raise InvalidSpec(
            f"spec.offering: Cluster {cluster.metadata.name!r} is attached, so no Offering of its "
            "nodes follows from it; name the one that makes them."
        )
    return pool.spec.offering or f"{cluster.spec.offering}-pool"


def group_of(
    pool: NodePool,
    cluster: Cluster,
    definition: OfferingSpec,
    *,
    revision: str,
    inherited: Mapping[str, Any],
) -> NodeGroup:
    """Return the group that the pool wants all of its members to be in, without members.

    Args:
        pool: The pool.
        cluster: Its cluster.
        definition: The offering at that revision.
        revision: Name of the OfferingRevision.
        inherited: Values of the cluster's own parameters.

    Raises:
        InvalidSpec: Names the field that does not fit.
    """
    node_labels.check(pool.spec)
    plan_name = pool.spec.plan or definition.plans[0].name
    plan = catalog.plan_of(definition, plan_name)
    given = _given(pool, cluster, definition, {**inherited})
    free = {k: v for k, v in given.items() if k not in plan.fixed and k not in plan.parameters}
    spec = ClaimSpec(
        offering=offering_of(pool, cluster),
        plan=plan_name,
        provider=pool.spec.provider or cluster.status.provider,
        revision=revision,
        parameters=free | pool.spec.asked() | _held_back(pool, given),
        management=pool.spec.management,
        ignore_fields=pool.spec.ignore_fields,
        deletion_policy=pool.spec.deletion_policy,
    )
    values = catalog.values_of(definition, sized(spec, definition, Size(count=1), ""))
    fixed = schemas.immutable_names(definition.parameters) - _MOVING
    identity = digest(revision, {k: v for k, v in values.items() if k in fixed})[:8]
    return _group(pool, f"{pool.metadata.name}-{identity}", spec)


def former_group(pool: NodePool, stack: Stack, definition: OfferingSpec) -> NodeGroup | None:
    """Return the group of a Stack that is there, as it was rendered; None for another's Stack."""
    origin = rendered_from(stack)
    if origin is None:
        return None
    spec = ClaimSpec(
        offering=origin.offering,
        plan=origin.plan,
        provider=stack.spec.provider,
        revision=origin.revision,
        parameters=_own(origin, definition),
        management=stack.spec.management,
        ignore_fields=stack.spec.ignore_fields,
        deletion_policy=pool.spec.deletion_policy,
    )
    return _group(pool, stack.metadata.name.removeprefix(NodeGroup.stack_prefix), spec)


def resized(group: NodeGroup, definition: OfferingSpec, size: Size) -> NodeGroup:
    """Return the group with these servers."""
    spec = sized(group.spec, definition, size, token_secret(group.pool))
    return group.model_copy(update={"spec": spec})


def sized(spec: ClaimSpec, definition: OfferingSpec, size: Size, token: str) -> ClaimSpec:
    """Return the spec with the parameters that say how many and which."""
    known = schemas.properties(definition.parameters)
    moving: Json = {COUNT: size.count, REMOVED: [str(number) for number in size.removed]}
    if token:
        moving[JOIN_TOKEN] = {"secretKeyRef": {"name": token, "key": TOKEN_KEY}}
    given = {name: value for name, value in moving.items() if name in known}
    return spec.model_copy(update={"parameters": spec.parameters | given})


def needs_token(definition: OfferingSpec) -> bool:
    """Tell whether servers join with a token of ours."""
    return JOIN_TOKEN in schemas.properties(definition.parameters)


def _group(pool: NodePool, name: str, spec: ClaimSpec) -> NodeGroup:
    metadata = pool.metadata.model_copy(update={"name": name})
    return NodeGroup(metadata=metadata, spec=spec, status=ClaimStatus(), pool=pool.metadata.name)


def _version(pool: NodePool, cluster: Cluster, inherited: str) -> str:
    running = cluster.status.version
    asked = cluster.spec.kubernetes_version or inherited
    return of_pool(_asked_version(pool), asked, running) or running.removeprefix("v")


def _asked_version(pool: NodePool) -> str:
    return str(pool.spec.asked().get(_VERSION) or "")


def _held_back(pool: NodePool, given: Json) -> Json:
    """Return the version where the pool asks for one: its nodes never run ahead of their API."""
    return {_VERSION: given[_VERSION]} if _asked_version(pool) and _VERSION in given else {}


def _own(origin: Rendered, definition: OfferingSpec) -> Json:
    fixed = catalog.plan_of(definition, origin.plan).fixed
    return {name: value for name, value in origin.values.items() if name not in fixed}


def _given(pool: NodePool, cluster: Cluster, definition: OfferingSpec, inherited: Json) -> Json:
    """Return what the offering declares of what the cluster knows."""
    known = schemas.properties(definition.parameters)
    secret = schemas.secret_names(definition.parameters)
    status = cluster.status
    facts: Json = {
        "cluster": cluster.metadata.name,
        "clusterUid": cluster.metadata.uid,
        "endpoint": status.endpoint.removeprefix("https://"),
        "caHash": status.ca_hash,
        _VERSION: _version(pool, cluster, str(inherited.get(_VERSION) or "")),
    }
    outputs = {name[:1].lower() + name[1:]: value for name, value in status.outputs.items()}
    given = inherited | outputs | {name: value for name, value in facts.items() if value}
    return {k: v for k, v in given.items() if k in known and k not in _MOVING | secret}
