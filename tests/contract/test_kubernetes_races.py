"""What others do in a cluster between two requests of ours."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from isthmus.api.v1alpha1 import Phase
from isthmus.apiserver import ApiServer, ServerConfig
from isthmus.drivers.kubernetes.engine import Cluster
from isthmus.drivers.kubernetes.kube import Kube, Ref
from isthmus.errors import Conflict
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.transport import Answer, AsgiTransport, Request
from tests.kubernetes_home import CRDS, config_map, queue_definition
from tests.kubernetes_stacks import a_stack
from tests.polling import eventually

Deed = Callable[[], Awaitable[object]]


@dataclass
class Disturbed:
    """The way to an API on which somebody does something before certain requests of ours."""

    inner: AsgiTransport
    before: str = "nothing"
    """What such a request's method, path and query have in them."""
    deed: Deed | None = None
    times: int = 1

    async def request(self, request: Request) -> Answer:
        words = f"{request.method} {request.path} {request.query}"
        if self.deed is not None and self.times and self.before in words:
            self.times -= 1
            await self.deed()
        return await self.inner.request(request)

    def stream(self, request: Request) -> None:
        raise AssertionError(request)

    async def close(self) -> None:
        await self.inner.close()


@dataclass
class Place:
    way: Disturbed
    engine: Cluster
    others: Kube
    """Somebody else's view, which nothing disturbs."""

    def disturb(self, before: str, deed: Deed, times: int = 1) -> None:
        self.way.before, self.way.deed, self.way.times = before, deed, times


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    server = await ApiServer.open(ServerConfig(data_dir=tmp_path))
    inner = AsgiTransport(server.app, token=server.issue_token("tester", ["system:masters"]))
    way = Disturbed(inner)
    engine = Cluster(Kube(way), "default", "test", SystemClock(), timedelta(minutes=10))
    yield Place(way, engine, Kube(inner))
    await server.close()


ONE = Ref("v1", "ConfigMap", "default", "one")
A_TRY = "dryRun"


def a_note(place: Place) -> Deed:
    """A controller writes an annotation, another one each time."""

    async def deed() -> None:
        note = {"annotations": {"example.com/revision": uuid.uuid4().hex}}
        await place.others.merge(ONE, {"metadata": note})

    return deed


async def test_what_a_controller_writes_meanwhile_is_no_change_of_ours(place: Place) -> None:
    native = a_stack(config_map("one", a="1"))
    await place.engine.apply(native)
    place.disturb(A_TRY, a_note(place))

    assert (await place.engine.preview(native)).changes == ()


async def test_what_a_controller_writes_meanwhile_is_no_drift(place: Place) -> None:
    native = a_stack(config_map("one", a="1"))
    await place.engine.apply(native)
    place.disturb(A_TRY, a_note(place))

    await place.engine.check_drift(native.name)

    drift = (await place.engine.observe(native.name)).drift
    assert drift is not None
    assert not drift.drifted, drift


async def test_an_object_that_is_written_all_the_time_is_tried_later(place: Place) -> None:
    native = a_stack(config_map("one", a="1"))
    await place.engine.apply(native)
    place.disturb(A_TRY, a_note(place), times=100)

    with pytest.raises(Conflict, match="one"):
        await place.engine.preview(native)


async def test_an_object_that_became_another_one_is_tried_later(place: Place) -> None:
    native = a_stack(config_map("one", a="1"))
    await place.engine.apply(native)

    async def made_anew() -> None:
        live = await place.others.get(ONE)
        assert live is not None
        await place.others.delete(ONE, str(live["metadata"]["uid"]), policy="Background")
        await place.others.apply(ONE, config_map("one") | {"data": {"a": "theirs"}})

    place.disturb(A_TRY, made_anew)

    with pytest.raises(Conflict, match="one"):
        await place.engine.preview(replace(native, digest="0" * 64))


@pytest.fixture
async def passing(place: Place) -> Deed:
    """A kind, and what makes it go."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = await place.others.send("POST", path, body=queue_definition())
    ref = Ref(CRDS.group_version, made["kind"], "", made["metadata"]["name"])

    async def gone() -> bool:
        return await place.others.get(ref) is None

    async def goes() -> None:
        await place.others.delete(ref, made["metadata"]["uid"], policy="Background")
        await eventually(gone)

    return goes


async def test_a_kind_that_goes_meanwhile_has_nothing_of_ours(place: Place, passing: Deed) -> None:
    place.disturb("/queues", passing)

    assert await place.engine.owned() == ()
    assert place.way.times == 0


async def test_a_kind_that_goes_meanwhile_keeps_no_namespace(place: Place, passing: Deed) -> None:
    native = a_stack({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ours"}})
    await place.engine.apply(native)
    place.disturb("/queues", passing)

    async def is_gone() -> bool:
        await place.engine.delete(native)
        return (await place.engine.observe(native.name)).phase is Phase.ABSENT

    await eventually(is_gone)
    assert place.way.times == 0
