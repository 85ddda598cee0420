"""A check for drift that takes its time: nobody takes what is looked at for not ready."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from isthmus.api.v1alpha1 import Cluster, NodePool, Stack
from tests.cluster_world import Clusters, a_cluster, a_pool, clusters

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


@asynccontextmanager
async def slowly_checked() -> AsyncGenerator[tuple[Clusters, NodePool]]:
    """A cluster and its pool, Ready, in a cloud that takes its time to look."""
    async with clusters(drift_every=timedelta(minutes=5)) as world:
        world.here.cloud.check_seconds = 90
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=300)
        await world.here.apply(a_pool())
        pool = await world.here.ready(NodePool, "workers", within=300)
        yield world, pool


async def test_a_cluster_and_its_pool_stay_ready_while_they_are_checked() -> None:
    async with slowly_checked() as (world, pool):
        native = world.here.cloud.stacks[next(n for n in world.here.cloud.stacks if "work" in n)]
        next(iter(native.resources.values())).actual["note"] = "changed by hand"
        checks: set[str] = set()
        drifted: list[bool] = []
        for _ in range(130):
            await world.here.nothing_for(10)
            for kind, name in (
                (Cluster, "c"), (NodePool, "workers"), (Stack, "cluster-c"),
                (Stack, pool.status.stack),
            ):  # fmt: skip
                seen = await world.here.get(kind, name)
                assert seen is not None
                assert seen.ready, (kind, seen.status.conditions)
                if isinstance(seen, Stack):
                    checks.add(seen.status.native_status)
            stack = await world.here.get(Stack, pool.status.stack)
            assert stack is not None
            drifted.append(stack.status.drift is not None and stack.status.drift.drifted)
        assert "CHECK_IN_PROGRESS" in checks
        assert drifted == sorted(drifted), "what a check has found stays while the next one looks"
        assert drifted.index(True) <= 48, "it is known soon after the check has ended"


async def test_what_is_changed_meanwhile_waits_for_the_check() -> None:
    async with slowly_checked() as (world, pool):
        await world.here.until(
            Stack,
            pool.status.stack,
            lambda s: s is not None and s.status.native_status == "CHECK_IN_PROGRESS",
            within=900,
        )
        await world.here.apply(a_pool(replicas=3))
        await world.here.until(
            NodePool,
            "workers",
            lambda p: p is not None and p.ready and p.status.ready == 3,
            within=300,
        )
