"""The groups of a NodePool as Stacks: rendered as claims are, resized, and removed when empty."""

from dataclasses import dataclass
from typing import Any

from isthmus.api.meta import DeletionPolicy
from isthmus.api.v1alpha1 import Cluster, NodePool, OfferingSpec, Phase, RevisionPolicy, Stack
from isthmus.controllers.claim import ClaimController
from isthmus.controllers.world import World
from isthmus.core import schemas
from isthmus.core.compose.node_pool import (
    NodeGroup,
    Size,
    failed_of,
    former_group,
    group_of,
    needs_token,
    offering_of,
    resized,
    servers_of,
    size_of,
)
from isthmus.core.compose.rendered import Rendered, rendered_from
from isthmus.core.plan import Rendering
from isthmus.core.planner.members import Group
from isthmus.core.stacks import owner_uid
from isthmus.errors import (
    AlreadyExists,
    ApprovalRequired,
    CapacityExhausted,
    Forbidden,
    InvalidSpec,
    NotFound,
    StackFailed,
)

_REFUSALS = frozenset(
    error.reason
    for error in (
        AlreadyExists,
        ApprovalRequired,
        CapacityExhausted,
        Forbidden,
        InvalidSpec,
        NotFound,
        StackFailed,
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """The group that a pool wants all of its members to be in."""

    group: NodeGroup
    definition: OfferingSpec

    @property
    def needs_token(self) -> bool:
        """Whether servers join with a token of ours."""
        return needs_token(self.definition)


class NodeGroups(ClaimController[NodeGroup]):
    """Renders and writes the Stacks of pools; it reconciles nothing by itself."""

    def __init__(self, world: World) -> None:
        super().__init__(world, NodeGroup)

    def target(self, pool: NodePool, cluster: Cluster) -> Target:
        """Return the group that the pool's spec asks for.

        Raises:
            InvalidSpec: A field does not fit.
            NotYet: The offering is not there.
        """
        revision = self._revision_of(pool, cluster)
        definition = self._world.definition(revision)
        inherited = self._inherited(pool, cluster)
        group = group_of(pool, cluster, definition, revision=revision, inherited=inherited)
        return Target(group, definition)

    def of(self, pool: NodePool) -> tuple[Stack, ...]:
        """Return the pool's Stacks, those that are going included."""
        found = self._world.stacks.by("owner", pool.metadata.uid)
        return tuple(stack for stack in found if owner_uid(stack) == pool.metadata.uid)

    def rendering(self, target: Target, size: Size) -> Rendering:
        """Return what a group of that size becomes."""
        return self.render(resized(target.group, target.definition, size))

    async def write(self, target: Target, size: Size) -> Stack:
        """Have the Stack of the wanted group hold these servers."""
        rendering = self.rendering(target, size)
        return await self._have(rendering.stack, rendering.former)

    async def shrink(self, pool: NodePool, stack: Stack, size: Size) -> None:
        """Have the Stack of any group hold these servers; without any it goes."""
        origin = rendered_from(stack)
        if not size.count or origin is None:
            await self.remove(stack, DeletionPolicy.DELETE)
            return
        definition = self._world.definition(origin.revision)
        group = former_group(pool, stack, definition)
        if group is not None:
            await self.write(Target(group, definition), size)

    async def remove(self, stack: Stack, policy: DeletionPolicy) -> None:
        """Have a Stack go, and its servers with it unless they are retained."""
        await self._delete(await self._let_go(stack, policy))

    def _revision_of(self, pool: NodePool, cluster: Cluster) -> str:
        """Pick the revision: the one asked for, the one in use, or the newest."""
        offering, spec = offering_of(pool, cluster), pool.spec
        used = self._world.revisions.get("", pool.status.revision)
        kept = spec.revision_policy is RevisionPolicy.MANUAL and not spec.revision
        if kept and used is not None and used.spec.offering == offering:
            return used.metadata.name
        named = spec.model_copy(update={"offering": offering})
        return self._revision(pool.model_copy(update={"spec": named}), None)

    def _inherited(self, pool: NodePool, cluster: Cluster) -> dict[str, Any]:
        """Return the open values that the cluster itself was rendered with.

        What can change there stays as the pool has it: a control plane of another size is no reason
        to exchange all nodes. The version is; it is held back elsewhere.
        """
        origin = self._origin(cluster.metadata.namespace, cluster.stack_name)
        if origin is None:
            return {}
        definition = self._world.definition(origin.revision)
        lasting = schemas.immutable_names(definition.parameters) | {"kubernetesVersion"}
        own = self._origin(pool.metadata.namespace, pool.status.stack)
        kept = own.values if own is not None else {}
        values = {k: v if k in lasting else kept.get(k, v) for k, v in origin.values.items()}
        secret = schemas.secret_names(definition.parameters)
        return {name: value for name, value in values.items() if name not in secret}

    def _origin(self, namespace: str, stack: str) -> Rendered | None:
        found = self._world.stacks.get(namespace, stack)
        return rendered_from(found) if found is not None else None


def group_view(stack: Stack, target: Target | None) -> Group:
    """Return what the planner has to know of a group's Stack."""
    current = target is not None and stack.metadata.name == target.group.stack_name
    return Group(
        stack=stack.metadata.name,
        name=stack.metadata.name.removeprefix(NodeGroup.stack_prefix),
        indexes=size_of(stack).indexes,
        servers=servers_of(stack),
        broken=failed_of(stack),
        current=current,
        failed=stack.status.phase is Phase.FAILED or refused(stack),
    )


def settled(stack: Stack) -> bool:
    """Tell whether the engine has done, or given up, or never begun what the Stack asks for."""
    if stack.deleting:
        return False
    return stack.ready or refused(stack)


def refused(stack: Stack) -> bool:
    """Tell whether the Stack cannot be as it is: more than its engine can, or wants to, give.

    Then nothing is at work that another spec of it would meet.
    """
    ready = stack.condition("Ready")
    if ready is None or ready.observed_generation != stack.metadata.generation:
        return False
    return ready.reason in _REFUSALS and stack.status.phase is not Phase.WORKING
