"""NodePool: look at its groups and nodes, and take the one next step.

The order survives a crash at any point: what is to go is noted in the status before anything is
done about it, a join token is in its Secret before a server is asked for, and a node is forgotten
after its server is gone. All else is seen anew at each look.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta

from isthmus.api.meta import DeletionPolicy, Management
from isthmus.api.v1alpha1 import (
    Cluster,
    MemberPhase,
    NodePool,
    NodePoolSpec,
    NodePoolStatus,
)
from isthmus.controllers.claim import ClaimController, mirrored
from isthmus.controllers.cluster_access import opened
from isthmus.controllers.cluster_provider import ClusterProvider
from isthmus.controllers.node_drain import Drained, drain
from isthmus.controllers.node_groups import NodeGroups, Target, group_view, settled
from isthmus.controllers.node_look import NOW, Key, Look, key, mark, show, with_message
from isthmus.controllers.node_tokens import JoinTokens
from isthmus.controllers.world import World
from isthmus.core.compose.node_pool import Size, size_of
from isthmus.core.nodes import ClusterNode
from isthmus.core.plan import Rendering
from isthmus.core.planner.members import Seen, for_planner, gone, see
from isthmus.core.planner.nodes import (
    Drain,
    Grow,
    Keep,
    Member,
    Remove,
    Settled,
    Step,
    Wait,
    Wanted,
    next_step,
)
from isthmus.errors import InvalidSpec, IsthmusError, NotFound, NotYet, Unavailable
from isthmus.ports import ClusterNodes
from isthmus.runtime.outcome import Outcome, Progress, Waiting, done, waiting

_SOON = timedelta(seconds=3)
_LOOK = timedelta(seconds=30)


class NodePoolController(ClaimController[NodePool]):
    """Brings pools to their size, heals them, and moves them to other revisions."""

    steps = ("Accepted", "Provisioned", "NodesReady")

    def __init__(self, world: World) -> None:
        super().__init__(world, NodePool)
        self._groups = NodeGroups(world)

    async def reconcile(self, obj: NodePool, progress: Progress[NodePoolStatus]) -> Outcome:
        """Take the one next step."""
        _check_management(obj)
        cluster = self._cluster(obj)
        target = self._groups.target(obj, cluster)
        rendering = self._groups.rendering(target, Size(count=1))
        progress.reached("Accepted")
        progress.status = progress.status.model_copy(
            update={
                "provider": rendering.provider.metadata.name,
                "revision": rendering.revision.after,
                "stack": target.group.stack_name,
                "simulated": rendering.provider.status.simulated,
            }
        )
        async with AsyncExitStack() as stack:
            look = await self._look(obj, cluster, target, stack, progress)
            return await self._step(look, _wanted(obj.spec), progress)

    def render(self, obj: NodePool) -> Rendering:
        """Return what the newest group would become, at the size that the spec asks for."""
        _check_management(obj)
        cluster = self._cluster(obj)
        target = self._groups.target(obj, cluster)
        stacks = self._world.stacks
        former = stacks.get(obj.metadata.namespace, target.group.stack_name)
        size = size_of(former) if former is not None else Size()
        size = replace(size, count=_wanted(obj.spec).target)
        return self._groups.rendering(target, size)

    async def release(self, obj: NodePool, progress: Progress[NodePoolStatus]) -> Outcome:
        """Empty the nodes while the cluster lives, then take down the servers, unless retained.

        In a cluster that goes itself there is nowhere to move; but what others have in it needs
        nodes until it is gone.
        """
        cluster = await self._lasting_cluster(obj)
        stacks = self._groups.of(obj)
        retained = obj.spec.deletion_policy is DeletionPolicy.RETAIN
        async with AsyncExitStack() as context:
            nodes: ClusterNodes | None = None
            if cluster is not None:
                look = await self._look(obj, cluster, None, context, progress)
                nodes = look.nodes
                if look.seen and nodes is not None and not retained:
                    nobody = Wanted(replicas=0, heal_after=None)
                    limit = timedelta(seconds=obj.spec.rollout.drain_timeout_seconds)
                    return await self._step(look, replace(nobody, drain_timeout=limit), progress)
            for stack in stacks:
                await self._groups.remove(stack, obj.spec.deletion_policy)
            if stacks:
                usual = "Its servers are being deleted."
                found = mirrored(stacks[0].condition("Ready"), usual)
                return found if stacks[0].deleting else waiting(usual)
            if nodes is not None and not retained:
                for member in obj.status.members:
                    await nodes.delete_node(member.name)
            await JoinTokens(self._world, obj).end(nodes, progress)
        return done()

    def _known_cluster(self, pool: NodePool) -> Cluster | None:
        return self._world.clusters.get(pool.metadata.namespace, pool.spec.cluster)

    async def _lasting_cluster(self, pool: NodePool) -> Cluster | None:
        """Return the cluster that is there after the pool.

        Raises:
            DeletionBlocked: It goes as well, and something of others is in it.
        """
        cluster = self._known_cluster(pool)
        if cluster is None or cluster.spec.deletion_policy is DeletionPolicy.RETAIN:
            return cluster
        if not await self._world.ends(cluster):
            return cluster
        ClusterProvider(self._world, cluster).require_free()
        return None

    def _cluster(self, pool: NodePool) -> Cluster:
        cluster, name = self._known_cluster(pool), pool.spec.cluster
        if cluster is None:
            raise NotYet(f"spec.cluster: there is no Cluster {name!r} in this namespace.")
        if not cluster.status.bootstrapped:
            raise NotYet(f"spec.cluster: Cluster {name!r} is not up yet.")
        return cluster

    async def _look(
        self,
        pool: NodePool,
        cluster: Cluster,
        target: Target | None,
        context: AsyncExitStack,
        progress: Progress[NodePoolStatus],
    ) -> Look:
        """See what there is, and go on emptying what is being emptied."""
        nodes, found = await self._nodes(cluster, context)
        stacks = self._groups.of(pool)
        groups = [group_view(stack, target) for stack in stacks if not stack.deleting]
        seen = see(groups, found, pool.status.members, progress.now)
        left = gone(groups, pool.status.members)
        show([s.shown for s in seen], left, progress)
        drained = await _drained(seen, nodes)
        seen = tuple(with_message(s, drained.get(key(s))) for s in seen)
        show([s.shown for s in seen], left, progress)
        return Look(
            pool=pool,
            target=target,
            stacks=stacks,
            seen=seen,
            left=left,
            nodes=nodes,
            drained=drained,
        )

    async def _nodes(
        self, cluster: Cluster, context: AsyncExitStack
    ) -> tuple[ClusterNodes | None, tuple[ClusterNode, ...] | None]:
        try:
            nodes = await context.enter_async_context(opened(self._world, cluster))
            return nodes, await nodes.nodes()
        except (NotYet, Unavailable):
            return None, None

    async def _step(
        self, look: Look, wanted: Wanted, progress: Progress[NodePoolStatus]
    ) -> Outcome:
        busy = next((stack for stack in look.stacks if not settled(stack)), None)
        if look.nodes is not None and look.target is not None:
            tokens = JoinTokens(self._world, look.pool)
            await tokens.keep(look.nodes, look.seen, progress, making=busy is not None)
        if busy is not None:
            usual = f"Servers are being added or removed; Stack {busy.metadata.name} shows how far."
            found = mirrored(busy.condition("Ready"), usual)
            current = busy.condition("Ready")
            fresh = current and current.observed_generation == busy.metadata.generation
            return replace(found if fresh else waiting(usual), after=_SOON)
        await self._forget(look, progress)
        if await self._follow(look):
            return waiting("Its servers are being changed in place.", after=_SOON)
        members = await self._members(look, wanted, progress)
        step = next_step(wanted, members, progress.now)
        if look.leaving or isinstance(step, Grow):
            add = step.count if isinstance(step, Grow) else 0
            return await self._resize(look, add, progress)
        return await self._take(look, step, progress)

    async def _forget(self, look: Look, progress: Progress[NodePoolStatus]) -> None:
        """Have the cluster forget the nodes whose servers are gone."""
        if look.nodes is None or not look.left:
            return
        for member in look.left:
            await look.nodes.delete_node(member.name)
        show([s.shown for s in look.seen], (), progress)

    async def _follow(self, look: Look) -> bool:
        """Bring the newest group up to what can be changed in place; tell whether it was not."""
        if look.target is None:
            return False
        name = look.target.group.stack_name
        former = next((stack for stack in look.stacks if stack.metadata.name == name), None)
        if former is None:
            return False
        now = await self._groups.write(look.target, size_of(former))
        return now.metadata.generation != former.metadata.generation

    async def _members(
        self, look: Look, wanted: Wanted, progress: Progress[NodePoolStatus]
    ) -> list[Member]:
        staying = [s for s in look.seen if s.shown.phase is not MemberPhase.REMOVING]
        choosing = len(staying) > wanted.target or any(not s.current for s in staying)
        members: list[Member] = []
        for one in staying:
            known = look.drained.get(key(one))
            pods = known.pods if known is not None else 0
            if choosing and known is None and look.nodes is not None and one.node is not None:
                with suppress(IsthmusError):  # Only who is chosen first depends on it.
                    found = await look.nodes.pods(one.node.name)
                    pods = sum(1 for pod in found if pod.in_the_way)
            empty = known is not None and known.empty
            members.append(for_planner(one, progress.now, empty=empty, pods=pods))
        return members

    async def _resize(self, look: Look, add: int, progress: Progress[NodePoolStatus]) -> Outcome:
        """Take away the servers that were noted, and add new ones to the newest group."""
        name = look.target.group.stack_name if look.target is not None else ""
        tokens = JoinTokens(self._world, look.pool)
        if add and look.target is not None and look.target.needs_token:
            if look.nodes is None:
                raise Unavailable("spec.cluster: it does not answer, so no node can join it.")
            await tokens.issue(look.nodes, look.seen, progress)
        there = False
        for stack in look.stacks:
            remove = frozenset(
                s.shown.index for s in look.leaving if s.shown.stack == stack.metadata.name
            )
            size = size_of(stack)
            if add and look.target is not None and stack.metadata.name == name:
                there = True
                await self._groups.write(look.target, size.changed(remove=remove, add=add))
            elif remove:
                await self._groups.shrink(look.pool, stack, size.changed(remove=remove))
        if add and not there and look.target is not None:
            await self._groups.write(look.target, Size(count=add))
        return waiting("Servers are being added or removed.", after=_SOON)

    async def _take(self, look: Look, step: Step, progress: Progress[NodePoolStatus]) -> Outcome:
        match step:
            case Remove(members=members, why=why):
                return mark(look, members, MemberPhase.REMOVING, why, progress)
            case Drain(members=members):
                return mark(look, members, MemberPhase.DRAINING, "It is being emptied.", progress)
            case Keep(members=members):
                return await self._keep(look, members, progress)
            case Settled():
                return await self._settle(look, progress)
            case _:
                return self._wait(look, step, progress)

    async def _keep(
        self, look: Look, members: tuple[Member, ...], progress: Progress[NodePoolStatus]
    ) -> Outcome:
        kept = {member.key for member in members}
        for one in look.seen:
            if key(one) in kept and one.node is not None and look.nodes is not None:
                try:
                    await look.nodes.uncordon(one.node.name)
                except NotFound:
                    continue
        states = {m.key: MemberPhase(m.state.value) for m in members}
        shown = [
            s.shown.model_copy(
                update={"phase": states[key(s)], "since": progress.now, "message": ""}
            )
            if key(s) in kept
            else s.shown
            for s in look.seen
        ]
        show(shown, look.remembered, progress)
        return waiting("Nodes that were being emptied are kept after all.", after=NOW)

    async def _settle(self, look: Look, progress: Progress[NodePoolStatus]) -> Outcome:
        if look.nodes is not None:
            await JoinTokens(self._world, look.pool).revoke(look.nodes, progress)
        return _failure(look) or done(after=_LOOK)

    def _wait(self, look: Look, step: Step, progress: Progress[NodePoolStatus]) -> Outcome:
        assert isinstance(step, Wait)
        progress.reached("Provisioned")
        after = _SOON
        if step.until is not None:
            after = min(max(step.until - progress.now, NOW), _SOON)
        blocked = next((s.shown for s in look.seen if s.shown.message), None)
        words = f" {blocked.name}: {blocked.message}" if blocked is not None else ""
        failed = _failure(look)
        return replace(failed, after=after) if failed else waiting(step.why + words, after=after)


async def _drained(seen: Sequence[Seen], nodes: ClusterNodes | None) -> dict[Key, Drained]:
    """Go on emptying what is being emptied, all at once: one may be slow."""
    if nodes is None:
        return {}
    chosen = [s for s in seen if s.shown.phase is MemberPhase.DRAINING]
    there = [s for s in chosen if s.node is not None]
    found = await asyncio.gather(*(drain(nodes, s.node) for s in there if s.node is not None))
    known = dict(zip(map(key, there), found, strict=True))
    return {key(s): known.get(key(s), Drained()) for s in chosen}


def _check_management(pool: NodePool) -> None:
    """Refuse what has no meaning: a pool's servers are made, counted and replaced by it alone."""
    if pool.spec.management is not Management.MANAGE or pool.spec.adopt is not None:
        raise InvalidSpec(
            "spec.management: a NodePool makes its own servers, so it can only be Manage; servers "
            "that are there already join by their own means, or are adopted as Machines."
        )


def _wanted(spec: NodePoolSpec) -> Wanted:
    return Wanted(
        replicas=spec.replicas,
        minimum=spec.min,
        maximum=spec.max,
        max_surge=spec.rollout.max_surge,
        max_unavailable=spec.rollout.max_unavailable,
        drain_timeout=timedelta(seconds=spec.rollout.drain_timeout_seconds),
        heal_after=timedelta(seconds=spec.heal.after_seconds) or None,
        join_within=timedelta(seconds=spec.heal.join_seconds) or None,
        heal_at_once=spec.heal.at_once,
    )


def _failure(look: Look) -> Waiting | None:
    failed = next((stack for stack in look.stacks if not stack.ready), None)
    return mirrored(failed.condition("Ready"), "Its stack failed.") if failed is not None else None
