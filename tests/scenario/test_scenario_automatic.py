"""A cluster whose balancer is chosen by what its cloud has: once, whatever comes or goes later."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, Provider, Stack
from isthmus.core.compose.rendered import rendered_from
from isthmus.errors import Unavailable
from isthmus.faces.planning import Caller, Planner
from isthmus.ports import Api
from isthmus.runtime.memory import MemoryStore
from tests.cluster_world import BLUEPRINT, Clusters, a_cluster, clusters
from tests.outward import Outward
from tests.world import TEAM, LoopClock, a_provider, an_offering

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

OCTAVIA = frozenset({"load-balancer"})
BALANCER: Json = {
    "type": "string",
    "enum": ["auto", "keepalived", "octavia"],
    "default": "auto",
    "x-auto": {
        "service": "load-balancer",
        "there": "octavia",
        "absent": "keepalived",
        "when": {"controlPlaneReplicas": 3},
    },
    "x-updatable": False,
}
HOUR = 60 * 60.0
TELLING = ("list stacks", "probe", "replace providers status", "create stacks", "observe", "apply")
"""Calls by which the choice is made, recorded, or carried out."""


def a_blueprint() -> Json:
    """The usual one, whose network shows what was chosen."""
    properties = BLUEPRINT["parameters"]["properties"] | {"apiBalancer": BALANCER}
    template = BLUEPRINT["stacks"]["fake"]["template"]
    network = {"type": "Fake::Network", "properties": {"balancer": "${apiBalancer}"}}
    resources = template["resources"] | {"Network": network}
    fake = BLUEPRINT["stacks"]["fake"] | {"template": template | {"resources": resources}}
    parameters = BLUEPRINT["parameters"] | {"properties": properties}
    return BLUEPRINT | {"parameters": parameters, "stacks": {"fake": fake}}


def three(**parameters: Any) -> Cluster:
    return a_cluster(controlPlane={"replicas": 3}, parameters=parameters)


@asynccontextmanager
async def world(services: frozenset[str], **options: Any) -> AsyncGenerator[Clusters]:
    async with clusters(furnish=False, **options) as here:
        here.machines.boot_seconds = 4
        here.here.cloud.services = services
        await here.here.namespace(TEAM, team="a")
        await here.here.apply(a_provider())
        await here.here.apply(an_offering("kubernetes", **a_blueprint()))
        yield here


async def chosen(there: Clusters) -> str:
    """What the Stack records; the cloud must have been given the same."""
    stack = await there.here.ready(Stack, "cluster-c", within=HOUR)
    origin = rendered_from(stack)
    assert origin is not None
    (native,) = there.here.cloud.stacks.values()
    network = native.resources["Network"]
    assert network.properties == {"balancer": origin.values["apiBalancer"]}
    return str(origin.values["apiBalancer"])


async def has(there: Clusters, services: frozenset[str]) -> None:
    """Change what the cloud has, and have its Provider looked at."""
    there.here.cloud.services = services
    await there.here.annotate(Provider, "here", look=f"{sorted(services)}")
    wanted = tuple(sorted(services))
    await there.here.until(
        Provider, "here", lambda p: p is not None and p.status.services == wanted, within=HOUR
    )


async def plan(there: Clusters, cluster: Cluster) -> Any:
    planner = Planner(_Allowing(there.here.store), there.here.planning)
    return await planner.plan_apply(Caller("anna"), cluster.dump())


class _Allowing:
    """A store in whose API everybody may do all."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def create(self, api: Api, obj: Json) -> Json:
        assert api.plural == "subjectaccessreviews"
        return obj | {"status": {"allowed": True}}


@pytest.mark.parametrize(
    ("services", "value", "other"),
    [(OCTAVIA, "octavia", frozenset[str]()), (frozenset[str](), "keepalived", OCTAVIA)],
    ids=["octavia", "keepalived"],
)
async def test_what_is_chosen_is_planned_made_and_kept(
    services: frozenset[str], value: str, other: frozenset[str]
) -> None:
    async with world(services) as there:
        await there.here.ready(Provider, "here")
        foreseen = await plan(there, three())
        assert {p.name: p.after for p in foreseen.parameters}["apiBalancer"] == value
        assert f"apiBalancer: auto is {value}: the cloud" in foreseen.notes[0]
        await there.here.apply(three())
        await there.here.ready(Cluster, "c", within=HOUR)
        assert await chosen(there) == value
        before = there.here.cloud.calls["apply"]

        await has(there, other)
        await there.here.annotate(Cluster, "c", look="again")
        await there.here.nothing_for(15 * 60)
        assert await chosen(there) == value
        assert there.here.cloud.calls["apply"] == before
        later = await plan(there, three())
        assert not later.parameters
        assert not later.changes
        (note,) = later.notes
        assert f"auto stays {value}, as it was made" in note

        # What is written later is the same, or it is refused.
        await there.here.apply(three(apiBalancer=value))
        await there.here.ready(Cluster, "c", within=HOUR)
        wrong = "octavia" if value == "keepalived" else "keepalived"
        await there.here.apply(three(apiBalancer=wrong))
        said = await there.here.refused(Cluster, "c", "InvalidSpec", within=HOUR)
        assert said.startswith("spec.parameters.apiBalancer: cannot be changed")
        assert await chosen(there) == value


async def test_one_control_plane_needs_no_balancer() -> None:
    async with world(OCTAVIA) as there:
        await there.here.apply(a_cluster())
        await there.here.ready(Cluster, "c", within=HOUR)
        assert await chosen(there) == "keepalived"


async def test_octavia_where_there_is_none_waits_for_nobody_and_makes_nothing() -> None:
    async with world(frozenset()) as there:
        await there.here.ready(Provider, "here")
        foreseen = await plan(there, three(apiBalancer="octavia"))
        assert not foreseen.allowed
        await there.here.apply(three(apiBalancer="octavia"))
        said = await there.here.refused(Cluster, "c", "InvalidSpec")
        assert said == foreseen.checks[-1].message
        assert said.startswith("spec.parameters.apiBalancer: octavia is not possible")
        assert there.here.cloud.stacks == {}
        await has(there, OCTAVIA)
        await there.here.ready(Cluster, "c", within=HOUR)
        assert await chosen(there) == "octavia"


async def test_a_cluster_waits_until_its_cloud_has_spoken() -> None:
    async with clusters(furnish=False) as there:
        there.machines.boot_seconds = 4
        there.here.cloud.services = OCTAVIA
        there.here.cloud.fail_next("probe", *[Unavailable("not now")] * 5)
        await there.here.namespace(TEAM, team="a")
        await there.here.apply(a_provider())
        await there.here.apply(an_offering("kubernetes", **a_blueprint()))
        await there.here.apply(three())
        said = await there.here.refused(Cluster, "c", "DependencyNotReady")
        assert "has not said yet which services" in said
        assert there.here.cloud.stacks == {}
        await there.here.ready(Cluster, "c", within=HOUR)
        assert await chosen(there) == "octavia"


async def test_another_process_goes_on_with_what_was_chosen() -> None:
    """The first one ends while the stack is made, and Octavia comes before the next one begins."""
    store = MemoryStore(LoopClock())
    async with world(frozenset(), store=store) as there:
        cloud = there.here.cloud
        await there.here.apply(three())
        await there.here.until(Stack, "cluster-c", lambda s: s is not None and bool(cloud.stacks))
    async with clusters(furnish=False, store=store, cloud=cloud) as there:
        await has(there, OCTAVIA)
        await there.here.ready(Cluster, "c", within=HOUR)
        assert await chosen(there) == "keepalived"


async def _life(outward: Outward) -> None:
    """Begun where there is no Octavia; it comes before anything is ready."""
    async with world(frozenset(), outward=outward) as there:
        await there.here.apply(three())
        await there.here.until(Stack, "cluster-c", lambda stack: stack is not None, within=HOUR)
        await has(there, OCTAVIA)
        await there.here.ready(Cluster, "c", within=HOUR)
        assert await chosen(there) == "keepalived"


@pytest.mark.parametrize("lost_answer", [False, True], ids=["refused", "answer lost"])
async def test_no_failed_call_makes_it_another(lost_answer: bool) -> None:
    quiet = Outward()
    await _life(quiet)
    for name in TELLING:
        strike = quiet.calls.index(name) + 1
        await _life(Outward(strike=strike, lost_answer=lost_answer))
