"""Every request of a stack's whole life fails once in turn: it converges, and nothing is left.

A request fails before its effect (nobody answers) or after it (the answer is lost).
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from isthmus.api.v1alpha1 import Phase
from isthmus.apiserver import ApiServer, ServerConfig
from isthmus.core.stacks import (
    NativeStack,
)
from isthmus.drivers.kubernetes.engine import Cluster
from isthmus.drivers.kubernetes.kube import Kube, Ref
from isthmus.errors import Retryable, Unavailable
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.transport import Answer, AsgiTransport, Request
from tests.kubernetes_home import config_map, queue, queue_definition
from tests.kubernetes_stacks import a_stack, changed

SECONDS = 30.0
PARTS = 4


@dataclass
class Row:
    """The row of requests to a real API, and which of them is struck."""

    inner: AsgiTransport
    strike: int = 0
    lost_answer: bool = False
    requests: list[str] = field(default_factory=list[str])

    async def request(self, request: Request) -> Answer:
        self.requests.append(f"{request.method} {request.path}")
        if len(self.requests) != self.strike:
            return await self.inner.request(request)
        if self.lost_answer:
            await self.inner.request(request)
        raise Unavailable("struck")

    def stream(self, request: Request) -> None:
        raise AssertionError(request)

    async def close(self) -> None:
        await self.inner.close()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ApiServer]:
    opened = await ApiServer.open(ServerConfig(data_dir=tmp_path))
    yield opened
    await opened.close()


def a_cluster(kube: Kube) -> Cluster:
    return Cluster(kube, "default", "test", SystemClock(), timedelta(minutes=10))


async def applied(engine: Cluster, native: NativeStack) -> None:
    """As the controller does it: look, and go on until the engine has it."""
    seen: list[object] = []
    deadline = monotonic() + SECONDS
    while monotonic() < deadline:
        await asyncio.sleep(0.02)  # The API's own collector runs beside us.
        try:
            await engine.apply(native)
            observed = await engine.observe(native.name)
        except Retryable as exc:
            seen.append(exc)
            continue
        seen.append(observed)
        if observed.digest == native.digest and observed.phase is Phase.READY:
            return
    raise AssertionError(f"{native.name} does not converge: {seen}")


async def deleted(engine: Cluster, native: NativeStack) -> None:
    seen: list[object] = []
    deadline = monotonic() + SECONDS
    while monotonic() < deadline:
        await asyncio.sleep(0.02)  # The API's own collector runs beside us.
        try:
            await engine.delete(native)
            observed = await engine.observe(native.name)
        except Retryable as exc:
            seen.append(exc)
            continue
        seen.append(observed.message)
        if observed.phase is Phase.ABSENT:
            return
    raise AssertionError(f"{native.name} does not go: {seen}")


async def live(row: Row) -> None:
    """Create, change with a prune, look for drift, delete; check the cluster after each."""
    kube = Kube(row)
    engine = a_cluster(kube)
    first = a_stack(queue_definition(), queue("jobs", size=1), config_map("one", a="1"))
    await applied(engine, first)
    second = changed(first, queue_definition(), queue("jobs", size=2), config_map("two"))
    await applied(engine, second)
    look = Kube(row.inner)
    assert (await look.get(ref("jobs", "Queue", "shop.example.com/v1")) or {})["spec"] == {
        "size": 2
    }
    assert await look.get(ref("one")) is None
    assert await look.get(ref("two")) is not None
    await deleted(engine, second)
    assert await look.get(ref("two")) is None
    assert await look.get(ref(second.name)) is None
    crd = Ref("apiextensions.k8s.io/v1", "CustomResourceDefinition", "", "queues.shop.example.com")
    assert await look.get(crd) is None
    assert await a_cluster(look).owned() == ()


def ref(name: str, kind: str = "ConfigMap", api_version: str = "v1") -> Ref:
    return Ref(api_version, kind, "default", name)


def a_row(server: ApiServer, **strike: int | bool) -> Row:
    token = server.issue_token("tester", ["system:masters"])
    return Row(AsgiTransport(server.app, token=token), **strike)  # type: ignore[arg-type]


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("lost_answer", [False, True], ids=["unanswered", "answer lost"])
async def test_each_request_fails_once(server: ApiServer, lost_answer: bool, part: int) -> None:
    quiet = a_row(server)
    await live(quiet)
    numbers = [
        number
        for number, request in enumerate(quiet.requests, 1)
        if not (lost_answer and request.startswith("GET"))  # Unanswered is the same for these.
    ]
    for number in numbers[part::PARTS]:
        struck = a_row(server, strike=number, lost_answer=lost_answer)
        try:
            await live(struck)
        except AssertionError as exc:
            raise AssertionError(f"at {number}, {struck.requests[number - 1]}: {exc}") from exc


async def test_a_settled_stack_is_left_alone(server: ApiServer) -> None:
    row = a_row(server)
    engine = a_cluster(Kube(row))
    native = a_stack(config_map("one"))
    await applied(engine, native)
    before = len(row.requests)
    await engine.apply(native)
    assert all(request.startswith("GET") for request in row.requests[before:])
