"""Whatever users and the cloud do, in any order: it converges, with no duplicate and no orphan.

Hypothesis plays users and a cloud that fails; after each game the wanted state must be reached.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

import looptime
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from isthmus.api.v1alpha1 import ServiceBinding, ServiceInstance
from isthmus.core.orphans import orphans
from isthmus.drivers.fake.engine import FakeEngine
from isthmus.errors import CapacityExhausted, Throttled, Unavailable
from isthmus.runtime.kinds import api_of
from tests.world import Scene, a_binding, an_instance, scene

NAMES = st.sampled_from(["db", "other"])
CALLS = st.sampled_from(["observe", "apply", "delete", "grant", "revoke", "probe"])
ERRORS = st.sampled_from([Throttled("slow"), Unavailable("down"), CapacityExhausted("full")])
HOURS = 4 * 3600.0


class Life(RuleBasedStateMachine):
    """Users create, change, bind, rotate, pause and delete; the cloud fails, lags and drifts."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = looptime.new_event_loop()
        self.wanted: dict[str, int] = {}
        self.bound: set[str] = set()
        self.rotations = 0
        self.context = scene()
        self.here: Scene = self.run(self.context.__aenter__())
        self.run(self.here.nothing_for(5))

    def run(self, step: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(step)

    @rule(name=NAMES, size=st.integers(1, 5))
    def create_or_change(self, name: str, size: int) -> None:
        found = self.run(self.here.get(ServiceInstance, name))
        if found is not None and found.deleting:
            return
        self.run(self.here.apply(an_instance(name, parameters={"size": size})))
        self.wanted[name] = size

    @precondition(lambda self: self.wanted.keys() - self.bound)
    @rule()
    def bind(self) -> None:
        name = min(self.wanted.keys() - self.bound)
        if self.run(self.here.get(ServiceBinding, f"app-{name}")) is None:
            self.run(self.here.apply(a_binding(f"app-{name}", instance=name)))
            self.bound.add(name)

    @precondition(lambda self: self.bound)
    @rule()
    def rotate(self) -> None:
        self.rotations += 1
        name = f"app-{min(self.bound)}"
        self.run(self.here.annotate(ServiceBinding, name, rotate=str(self.rotations)))

    @precondition(lambda self: self.bound)
    @rule()
    def unbind(self) -> None:
        name = self.bound.pop()
        self.run(self.here.delete(ServiceBinding, f"app-{name}"))

    @precondition(lambda self: self.wanted.keys() - self.bound)
    @rule()
    def remove(self) -> None:
        name = min(self.wanted.keys() - self.bound)
        self.run(self.here.delete(ServiceInstance, name))
        del self.wanted[name]

    @rule(call=CALLS, errors=st.lists(ERRORS, min_size=1, max_size=3))
    def fail(self, call: str, errors: list[Exception]) -> None:
        self.here.cloud.fail_next(call, *errors)  # pyright: ignore[reportArgumentType]

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0]))
    def lag(self, seconds: float) -> None:
        self.here.cloud.latency_seconds = seconds

    @rule(seconds=st.sampled_from([0.1, 2.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.run(self.here.nothing_for(seconds))

    @rule()
    def restart(self) -> None:
        """The controllers end, wherever they are, and start anew with the same store and cloud."""
        store, cloud = self.here.store, self.here.cloud
        self.run(self.context.__aexit__(None, None, None))
        self.context = scene(store=store, cloud=cloud, furnish=False)
        self.here = self.run(self.context.__aenter__())

    def teardown(self) -> None:
        try:
            self.run(self._converges())
        finally:
            self.run(self.context.__aexit__(None, None, None))
            self.loop.close()
            asyncio.set_event_loop(None)

    async def _converges(self) -> None:
        here = self.here
        for name in self.wanted:
            await here.ready(ServiceInstance, name, within=HOURS)
        for name in self.bound:
            await here.until(
                ServiceBinding,
                f"app-{name}",
                lambda b: b is not None and b.ready and not b.status.former,
                within=HOURS,
            )
        for name in {"db", "other"} - self.wanted.keys():
            await here.gone(ServiceInstance, name, within=HOURS)
        for name in {"db", "other"} - self.bound:
            await here.gone(ServiceBinding, f"app-{name}", within=HOURS)
        sizes = [s.resources["Database"].actual["size"] for s in here.cloud.stacks.values()]
        assert sorted(sizes) == sorted(self.wanted.values())
        assert len(here.cloud.users) == len(self.bound)
        known = set[str]()
        for kind in (ServiceInstance, ServiceBinding):
            listing = await here.store.list(api_of(kind))
            known |= {item["metadata"]["uid"] for item in listing.items}
        owned = await FakeEngine(here.cloud, "test").owned()
        assert orphans([("here", one) for one in owned], known) == ()


Life.TestCase.settings = settings(
    max_examples=15,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLife = Life.TestCase
