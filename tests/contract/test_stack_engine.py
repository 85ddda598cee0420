"""What every StackEngine promises, whatever the cloud behind it.

A driver joins with a ``Subject``: an engine, and a native stack to be changed in the usual ways.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import (
    TAG_INSTALLATION,
    TAG_NAME,
    TAG_NAMESPACE,
    TAG_UID,
    NativeStack,
    Observed,
    StackName,
    Verb,
    digest,
)
from isthmus.drivers.fake import FakeCloud, driver
from isthmus.errors import AlreadyExists, ApprovalRequired, Forbidden
from isthmus.ports import Driver, Endpoint, StackEngine
from isthmus.runtime.clock import SystemClock
from tests import openstack_lab
from tests.kubernetes_home import kubernetes_subject, serving
from tests.kubernetes_plane import MARKS
from tests.polling import accepted

SECONDS = 180.0
"""How long an engine may take: ten times what it does where nothing else runs."""


class Subject(Protocol):
    """What the promises are tried on."""

    engine: StackEngine
    installation: str
    stateful: tuple[str, ...]
    """What an offering would have to name so that its replacement needs approval."""

    def template(self, *, size: int = 10, name: str = "one", secret: bool = False) -> Json:
        """A stack with one resource: ``size`` updates it, another ``name`` replaces its data."""
        ...

    def break_creation(self, template: Json) -> Json:
        """Return a template whose creation or update fails at a resource named ``Bad``."""
        ...


@dataclass
class FakeSubject:
    engine: StackEngine
    installation: str = "test"
    stateful: tuple[str, ...] = ()

    def template(self, *, size: int = 10, name: str = "one", secret: bool = False) -> Json:
        properties: Json = {"size": size, "name": name}
        if secret:
            properties["word"] = {"parameter": "Word"}
        jobs = {
            "type": "Fake::Queue",
            "stateful": True,
            "replaceOn": ["name"],
            "properties": properties,
        }
        return {"resources": {"Jobs": jobs}, "outputs": {"Id": "${Jobs.id}"}}

    def break_creation(self, template: Json) -> Json:
        bad = {"type": "Fake::Topic", "failWith": "no luck"}
        return template | {"resources": template["resources"] | {"Bad": bad}}


@dataclass
class AwsSubject:
    engine: StackEngine
    lab: Any
    installation: str
    stateful: tuple[str, ...] = ()

    def template(self, *, size: int = 10, name: str = "one", secret: bool = False) -> Json:
        properties: Json = {"QueueName": f"{name}-queue", "VisibilityTimeout": size}
        template: Json = {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Resources": {"Jobs": {"Type": "AWS::SQS::Queue", "Properties": properties}},
            "Outputs": {"Id": {"Value": {"Ref": "Jobs"}}},
        }
        if secret:
            template["Parameters"] = {"Word": {"Type": "String", "NoEcho": True}}
            properties["Tags"] = [{"Key": "word", "Value": {"Ref": "Word"}}]
        return template

    def break_creation(self, template: Json) -> Json:
        self.lab.faults(
            {
                "effect": "error",
                "type": "AWS::SNS::Topic",
                "logical_id": "Bad",
                "message": "no luck",
                "times": -1,
            }
        )
        bad = {"Type": "AWS::SNS::Topic", "DependsOn": "Jobs", "Properties": {}}
        return template | {"Resources": template["Resources"] | {"Bad": bad}}


@dataclass
class HeatSubject:
    engine: StackEngine
    installation: str
    stateful: tuple[str, ...] = ("Jobs",)

    def template(self, *, size: int = 10, name: str = "one", secret: bool = False) -> Json:
        properties: Json = {"value": str(size), "update_replace_value": name}
        template: Json = {
            "heat_template_version": "2021-04-16",
            "resources": {"Jobs": {"type": "OS::Heat::TestResource", "properties": properties}},
            "outputs": {"Id": {"value": {"get_resource": "Jobs"}}},
        }
        if secret:
            template["parameters"] = {"Word": {"type": "string", "hidden": True}}
            properties["value"] = {"get_param": "Word"}
        return template

    def break_creation(self, template: Json) -> Json:
        bad = {
            "type": "OS::Neutron::Net",
            "depends_on": "Jobs",
            "properties": {"value_specs": {"no luck": "1"}},
        }
        return template | {"resources": template["resources"] | {"Bad": bad}}


@asynccontextmanager
async def opened(chosen: Driver, endpoint: Endpoint) -> AsyncIterator[StackEngine]:
    async with chosen.open(endpoint) as connection:
        yield connection.engine


HEAT = pytest.param("openstack", marks=(pytest.mark.labs, pytest.mark.openstack))


REAL_CLUSTER = pytest.param("real cluster", marks=MARKS)


@pytest.fixture(params=["fake", "kubernetes", REAL_CLUSTER, "aws", HEAT])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    if request.param == "fake":
        cloud = FakeCloud(SystemClock(), latency_seconds=0.05)
        endpoint = Endpoint(provider="here", region="", settings={}, installation="test")
        async with opened(driver(lambda _: cloud), endpoint) as engine:
            yield FakeSubject(engine)
        return
    if request.param == "kubernetes":
        async with serving(tmp_path) as config, kubernetes_subject(config) as cluster:
            yield cluster
        return
    if request.param == "real cluster":
        config = request.getfixturevalue("kubernetes_plane")
        async with kubernetes_subject(config) as cluster:
            yield cluster
        return
    if request.param == "openstack":
        endpoint = request.getfixturevalue("openstack_lab").endpoint()
        from isthmus.drivers.openstack import DRIVER as OPENSTACK

        async with OPENSTACK.open(endpoint) as connection:
            yield HeatSubject(connection.engine, endpoint.installation)
            await openstack_lab.sweep(connection)
        return
    lab = request.getfixturevalue("aws_lab")
    from isthmus.drivers.aws import DRIVER

    async with opened(DRIVER, lab.endpoint()) as engine:
        yield AwsSubject(engine, lab, f"test-{lab.account}")


def stack_of(subject: Subject, template: Json | None = None, **changes: Any) -> NativeStack:
    uid = str(uuid.uuid4())
    native = NativeStack(
        name=StackName(f"isthmus-contract-{uid}"),
        template=template or subject.template(),
        stateful=subject.stateful,
        tags={
            TAG_UID: uid,
            TAG_NAMESPACE: "team-a",
            TAG_NAME: "contract",
            TAG_INSTALLATION: subject.installation,
        },
    )
    return changed(replace(native, **changes), native.template)


def changed(native: NativeStack, template: Json) -> NativeStack:
    made = digest(template, dict(native.parameters))
    return replace(native, template=template, digest=made)


async def settled(engine: StackEngine, native: NativeStack) -> Observed:
    deadline = monotonic() + SECONDS
    while (observed := await engine.observe(native.name)).phase is Phase.WORKING:
        assert monotonic() < deadline, observed
        await asyncio.sleep(0.02)
    return observed


async def applied(engine: StackEngine, native: NativeStack) -> Observed:
    await accepted(lambda: engine.apply(native), within=SECONDS)
    return await settled(engine, native)


async def deleted(engine: StackEngine, native: NativeStack) -> Observed:
    deadline = monotonic() + SECONDS
    while True:
        await engine.delete(native)
        observed = await settled(engine, native)
        if observed.phase is Phase.ABSENT or observed.blockers:
            return observed
        assert monotonic() < deadline, observed


async def test_a_stack_lives_from_absent_to_absent(subject: Subject) -> None:
    engine, native = subject.engine, stack_of(subject)
    assert (await engine.observe(native.name)).phase is Phase.ABSENT
    await engine.apply(native)
    assert (await engine.observe(native.name)).phase in (Phase.WORKING, Phase.READY)
    first = await settled(engine, native)
    assert (first.phase, first.digest) == (Phase.READY, native.digest)
    assert first.owner_uid == native.tags[TAG_UID]
    assert first.native_id
    assert first.native_status
    assert first.outputs["Id"]
    assert [r.logical_id for r in first.resources] == ["Jobs"]
    assert [e.time for e in first.events] == sorted(e.time for e in first.events)
    assert len({e.id for e in first.events}) == len(first.events)

    other = changed(native, subject.template(size=20))
    second = await applied(engine, other)
    assert (second.phase, second.digest) == (Phase.READY, other.digest)
    assert [r.physical_id for r in second.resources] == [r.physical_id for r in first.resources]
    assert (await deleted(engine, other)).phase is Phase.ABSENT
    await engine.delete(other)


async def test_applying_twice_is_applying_once(subject: Subject) -> None:
    native = stack_of(subject)
    await subject.engine.apply(native)
    await subject.engine.apply(native)
    first = await settled(subject.engine, native)
    again = await applied(subject.engine, native)
    assert [e.id for e in again.events] == [e.id for e in first.events]


async def test_a_preview_says_what_would_be_and_leaves_nothing(subject: Subject) -> None:
    native = stack_of(subject)
    changes = await subject.engine.preview(native)
    assert [(c.verb, c.logical_id) for c in changes.changes] == [(Verb.CREATE, "Jobs")]
    assert changes.digest == native.digest
    assert (await subject.engine.observe(native.name)).phase is Phase.ABSENT
    await applied(subject.engine, native)
    replacing = changed(native, subject.template(name="two"))
    (change,) = (await subject.engine.preview(replacing)).changes
    assert change.verb is Verb.REPLACE
    assert change.stateful
    assert (await subject.engine.observe(native.name)).digest == native.digest


async def test_data_is_lost_with_approval_only(subject: Subject) -> None:
    engine, native = subject.engine, stack_of(subject)
    before = await applied(engine, native)
    replacing = changed(native, subject.template(name="two"))
    with pytest.raises(ApprovalRequired, match="Jobs"):
        await engine.apply(replacing)
    assert (await settled(engine, native)).digest == native.digest
    after = await applied(engine, replace(replacing, replacement_approved=True))
    assert (after.phase, after.digest) == (Phase.READY, replacing.digest)
    assert after.resources[0].physical_id != before.resources[0].physical_id


async def test_a_failed_creation_names_its_cause_and_can_be_made_again(subject: Subject) -> None:
    engine = subject.engine
    good = subject.template()
    native = stack_of(subject, subject.break_creation(good))
    failed = await applied(engine, native)
    assert (failed.phase, failed.digest) == (Phase.FAILED, native.digest)
    assert "Bad" in failed.message
    assert "no luck" in failed.message
    mended, deadline = changed(native, good), monotonic() + SECONDS
    while (seen := await applied(engine, mended)).phase is not Phase.READY:
        assert monotonic() < deadline, seen
    assert seen.digest == mended.digest


async def test_a_failed_update_is_rolled_back_and_remembered(subject: Subject) -> None:
    engine, native = subject.engine, stack_of(subject)
    first = await applied(engine, native)
    worse = changed(native, subject.break_creation(subject.template(size=30)))
    failed = await applied(engine, worse)
    assert (failed.phase, failed.digest) == (Phase.FAILED, worse.digest)
    assert "no luck" in failed.message
    assert [r.physical_id for r in failed.resources if r.logical_id == "Jobs"] == [
        r.physical_id for r in first.resources
    ]
    back = await applied(engine, native)
    assert (back.phase, back.digest) == (Phase.READY, native.digest)


async def test_what_is_not_ours_stays(subject: Subject) -> None:
    engine, native = subject.engine, stack_of(subject)
    await applied(engine, native)
    foreign = replace(native, tags={**native.tags, TAG_UID: str(uuid.uuid4())}, digest="0" * 64)
    with pytest.raises(AlreadyExists):
        await engine.apply(foreign)
    with pytest.raises(Forbidden):
        await engine.delete(foreign)
    assert (await settled(engine, native)).digest == native.digest


async def test_everything_of_ours_is_listed(subject: Subject) -> None:
    native = stack_of(subject)
    assert not any(o.uid == native.tags[TAG_UID] for o in await subject.engine.owned())
    await applied(subject.engine, native)
    owned = [o for o in await subject.engine.owned() if o.name == native.name]
    assert [(o.uid, o.namespace, o.object_name) for o in owned] == [
        (native.tags[TAG_UID], "team-a", "contract")
    ]
    await deleted(subject.engine, native)
    assert not any(o.name == native.name for o in await subject.engine.owned())


async def test_a_deletion_may_come_while_it_is_created(subject: Subject) -> None:
    native = stack_of(subject)
    await subject.engine.apply(native)
    assert (await deleted(subject.engine, native)).phase is Phase.ABSENT


async def test_secret_values_are_never_shown(subject: Subject) -> None:
    native = stack_of(
        subject,
        subject.template(secret=True),
        parameters={"Word": "hunter2"},
        secret_parameters=frozenset({"Word"}),
    )
    observed = await applied(subject.engine, native)
    assert observed.phase is Phase.READY, observed.message
    assert "hunter2" not in repr(observed)
    assert "hunter2" not in repr(native)
