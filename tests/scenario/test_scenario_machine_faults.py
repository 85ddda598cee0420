"""Every kind of outward call in the life of a network and a machine fails once: nothing is left."""

import pytest

from isthmus.api.v1alpha1 import Machine, Network, Operation, OperationPhase, Stack
from isthmus.errors import Unavailable
from isthmus.runtime.memory import MemoryStore
from tests.outward import Outward
from tests.scenario.test_scenario_claims import MACHINES, a_machine
from tests.world import TEAM, LoopClock, Scene, an_offering, an_operation, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

HOUR = 60 * 60.0
NETWORKS = {
    "category": "network",
    "parameters": {
        "type": "object",
        "properties": {"cidr": {"type": "string", "default": "", "x-updatable": True}},
    },
    "plans": [{"name": "routed", "title": "Routed"}],
    "binding": None,
    "stacks": {
        "fake": {
            "template": {
                "resources": {
                    "Net": {"type": "Fake::Network", "properties": {"cidr": "${cidr}"}}
                },
                "outputs": {"NetworkId": "${Net.id}"},
            }
        }
    },
    "actions": [],
}  # fmt: skip


def a_network(cidr: str) -> Network:
    return Network.model_validate(
        {"metadata": {"name": "net", "namespace": TEAM}, "spec": {"cidr": cidr}}
    )


async def live(here: Scene) -> None:
    """Create both, act, change both, delete both; check the world after each."""
    await here.apply(an_offering("network", **NETWORKS))
    await here.apply(an_offering("machine", **MACHINES))
    await here.apply(a_network("10.0.0.0/24"))
    await here.apply(a_machine("m"))
    await here.ready(Network, "net", within=HOUR)
    await here.ready(Machine, "m", within=HOUR)
    assert len(here.cloud.stacks) == 2

    await here.apply(an_operation(target={"kind": "Machine", "name": "m"}))
    acted = await here.ready(Operation, "stop-it", within=HOUR)
    assert acted.status.phase is OperationPhase.SUCCEEDED
    assert len(here.cloud.started) == 1

    await here.apply(a_network("10.1.0.0/24"))
    await here.apply(a_machine("m", image="debian-13"))
    await here.ready(Network, "net", within=HOUR)
    await here.ready(Machine, "m", within=HOUR)
    assert len(here.cloud.stacks) == 2
    actual = {
        str(value)
        for stack in here.cloud.stacks.values()
        for one in stack.resources.values()
        for value in one.actual.values()
    }
    assert {"10.1.0.0/24", "debian-13"} <= actual

    for kind, name in ((Machine, "m"), (Network, "net")):
        await here.delete(kind, name)
        await here.gone(kind, name, within=HOUR)
    assert here.cloud.stacks == {}
    for name in ("machine-m", "network-net"):
        assert await here.get(Stack, name) is None


async def life(outward: Outward) -> None:
    async with scene(store=MemoryStore(LoopClock()), outward=outward) as here:
        here.cloud.latency_seconds = 2
        await live(here)


@pytest.mark.parametrize("lost_answer", [False, True], ids=["refused", "answer lost"])
async def test_each_kind_of_call_fails_once(lost_answer: bool) -> None:
    """The first call of each name, and one in the midst of them."""
    quiet = Outward()
    await life(quiet)
    assert {"apply", "delete", "start", "observe"} <= set(quiet.calls)
    for name in sorted(set(quiet.calls)):
        numbers = [n for n, called in enumerate(quiet.calls, 1) if called == name]
        for number in {numbers[0], numbers[len(numbers) // 2]}:
            struck = Outward(
                strike=number, lost_answer=lost_answer, error=lambda: Unavailable("struck")
            )
            try:
                await life(struck)
            except AssertionError as exc:
                raise AssertionError(f"at call {number}, {name}: {exc}") from exc
