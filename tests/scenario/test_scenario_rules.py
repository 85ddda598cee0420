"""What users may and may not do, each rule as they meet it."""

from datetime import timedelta
from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import (
    Offering,
    OfferingRevision,
    Provider,
    ServiceInstance,
    Stack,
)
from isthmus.controllers.offering import UNUSED_KEPT
from isthmus.runtime.kinds import SECRETS, api_of
from tests.world import (
    OFFERING,
    PARAMETERS,
    TEAM,
    Scene,
    a_provider,
    an_instance,
    an_offering,
    scene,
)

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def database(**changes: Any) -> Json:
    """The template of the offering with other values in its database."""
    stack: Json = OFFERING["stacks"]["fake"]
    resources = stack["template"]["resources"]
    changed = resources["Database"] | changes
    template = stack["template"] | {"resources": resources | {"Database": changed}}
    return {"fake": stack | {"template": template}}


async def test_an_immutable_parameter_is_refused_by_name() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        await here.apply(an_instance(parameters={"engine": "17"}))
        message = await here.refused(ServiceInstance, "db", "InvalidSpec")
        assert "spec.parameters.engine" in message
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")


async def test_an_unknown_parameter_plan_offering_or_provider_is_named() -> None:
    async with scene() as here:
        for field, value, reason in (
            ("parameters", {"sice": 1}, "InvalidSpec"),
            ("plan", "huge", "InvalidSpec"),
            ("offering", "nothing", "DependencyNotReady"),
            ("provider", "nowhere", "DependencyNotReady"),
        ):
            name = f"db-{field}"
            await here.apply(an_instance(name, **{field: value}))
            message = await here.refused(ServiceInstance, name, reason)
            assert f"spec.{field}" in message
        assert here.cloud.stacks == {}


async def test_what_comes_later_is_taken_up() -> None:
    async with scene() as here:
        await here.apply(an_instance(offering="later", provider="later"))
        await here.refused(ServiceInstance, "db", "DependencyNotReady")
        await here.apply(an_offering("later"))
        await here.apply(a_provider("later"))
        await here.ready(ServiceInstance, "db", within=30)


async def test_an_edited_offering_changes_nobody_until_its_revision_is_taken() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.apply(an_instance("auto", revisionPolicy="Automatic"))
        first = await here.ready(ServiceInstance, "db")
        await here.ready(ServiceInstance, "auto")
        await here.apply(an_offering(stacks=database(stateful=False, type="Fake::Newer")))
        await here.until(
            ServiceInstance,
            "auto",
            lambda i: i and i.ready and i.status.revision != first.status.revision,
        )
        kept = await here.until(
            ServiceInstance,
            "db",
            lambda i: i and (c := i.condition("RevisionCurrent")) and c.status == "False",
        )
        assert kept is not None
        assert kept.ready
        assert kept.status.revision == first.status.revision
        offering = await here.get(Offering, "database")
        assert offering is not None
        revisions = await here.store.list(api_of(OfferingRevision))
        assert len(revisions.items) == 2
        newest = offering.status.revision
        await here.apply(an_instance(revision=newest))
        taken = await here.until(
            ServiceInstance, "db", lambda i: i and i.ready and i.status.revision == newest
        )
        assert taken is not None


async def test_of_the_revisions_that_nobody_uses_the_newest_are_kept() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        published = [(await here.ready(ServiceInstance, "db")).status.revision]
        for number in range(UNUSED_KEPT + 4):
            await here.nothing_for(1)
            await here.apply(an_offering(title=f"Edition {number}"))
            offering = await here.until(
                Offering, "database", lambda o: o and o.status.revision not in published
            )
            assert offering is not None
            published.append(offering.status.revision)
        listed = await here.store.list(api_of(OfferingRevision))
        kept = {revision["metadata"]["name"] for revision in listed.items}
        assert kept == {published[0], *published[-1 - UNUSED_KEPT :]}


async def test_offerings_and_providers_are_for_the_namespaces_that_they_select() -> None:
    async with scene() as here:
        closed = {"matchLabels": {"team": "b"}}
        await here.apply(a_provider("closed", namespaceSelector=closed))
        await here.apply(an_offering("closed", namespaceSelector=closed))
        await here.apply(an_instance("one", provider="closed"))
        await here.apply(an_instance("two", offering="closed"))
        await here.apply(an_instance("three"))
        assert "closed" in await here.refused(ServiceInstance, "one", "Forbidden")
        assert "closed" in await here.refused(ServiceInstance, "two", "Forbidden")
        assert (await here.ready(ServiceInstance, "three")).status.provider == "here"
        body = {"provider": "closed", "template": {"resources": {}}}
        meta = {"name": "sly", "namespace": TEAM}
        await here.apply(Stack.model_validate({"metadata": meta, "spec": body}))
        await here.refused(Stack, "sly", "Forbidden")
        assert len(here.cloud.stacks) == 1


async def test_several_fitting_providers_must_be_chosen_from() -> None:
    async with scene() as here:
        await here.apply(a_provider("there"))
        await here.ready(Provider, "there")
        await here.apply(an_instance())
        message = await here.refused(ServiceInstance, "db", "InvalidSpec")
        assert "here, there" in message


async def test_losing_data_needs_the_approval_of_that_very_change() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        (stack,) = here.cloud.stacks.values()
        before = stack.resources["Database"].physical_id
        await here.apply(an_instance(parameters={"encoding": "latin1"}))
        message = await here.refused(ServiceInstance, "db", "ApprovalRequired")
        assert "Database" in message
        digest = message.rpartition("=")[2]
        assert f"kubectl annotate serviceinstance db isthmus.dev/approve-replacement={digest}" in (
            message
        )
        await here.annotate(ServiceInstance, "db", approve_replacement="0123456789ab")
        assert await here.refused(ServiceInstance, "db", "ApprovalRequired")
        assert stack.resources["Database"].physical_id == before
        await here.annotate(ServiceInstance, "db", approve_replacement=digest)
        await here.ready(ServiceInstance, "db")
        assert stack.resources["Database"].physical_id != before


async def test_a_failed_creation_names_the_resource_and_is_made_again_when_changed() -> None:
    async with scene() as here:
        await here.apply(an_offering("bad", stacks=database(failWith="no capacity left")))
        await here.apply(an_instance(offering="bad"))
        message = await here.refused(ServiceInstance, "db", "StackFailed")
        assert "Database (Fake::Database): no capacity left" in message
        applied = here.cloud.calls["apply"]
        told = [e["message"] for e in await here.events("db") if e["type"] == "Warning"]
        assert any("no capacity left" in text for text in told)
        await here.apply(an_offering("bad"))
        offering = await here.until(
            Offering, "bad", lambda o: o and o.ready and o.metadata.generation == 2
        )
        assert offering is not None
        assert here.cloud.calls["apply"] == applied
        await here.apply(an_instance(offering="bad", revision=offering.status.revision))
        await here.ready(ServiceInstance, "db")
        assert len(here.cloud.stacks) == 1


async def test_a_blocked_deletion_names_the_blocker_and_goes_on_without_it() -> None:
    async with scene() as here:
        await here.apply(an_offering("full", stacks=database(undeletable="it is not empty")))
        await here.apply(an_instance(offering="full"))
        await here.ready(ServiceInstance, "db")
        await here.delete(ServiceInstance, "db")
        message = await here.refused(ServiceInstance, "db", "DeletionBlocked")
        assert "Database (Fake::Database): it is not empty" in message
        (stack,) = here.cloud.stacks.values()
        stack.resources["Database"].undeletable = ""
        await here.gone(ServiceInstance, "db", within=300)
        assert here.cloud.stacks == {}


async def test_what_blocks_a_deletion_stays_named_while_it_is_tried_again() -> None:
    async with scene() as here:
        here.cloud.latency_seconds = 20
        await here.apply(an_offering("full", stacks=database(undeletable="it is not empty")))
        await here.apply(an_instance(offering="full"))
        await here.ready(ServiceInstance, "db")
        await here.delete(ServiceInstance, "db")
        await here.refused(ServiceInstance, "db", "DeletionBlocked")
        for _ in range(200):
            message = await here.refused(ServiceInstance, "db", "DeletionBlocked", within=0)
            assert "Database (Fake::Database): it is not empty" in message
            await here.nothing_for(1)
        assert here.cloud.calls["delete"] <= 30
        (stack,) = here.cloud.stacks.values()
        stack.resources["Database"].undeletable = ""
        await here.gone(ServiceInstance, "db", within=300)


async def test_a_pre_delete_step_clears_the_way() -> None:
    async with scene() as here:
        stacks = database(undeletable="it is not empty")
        stacks["fake"]["preDelete"] = [{"step": "unblock", "resource": "Database"}]
        await here.apply(an_offering("full", stacks=stacks))
        await here.apply(an_instance(offering="full"))
        await here.ready(ServiceInstance, "db")
        await here.delete(ServiceInstance, "db")
        await here.gone(ServiceInstance, "db")


async def test_retain_leaves_the_native_stack_even_if_said_at_the_last_moment() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        await here.annotate(ServiceInstance, "db", paused="true")
        await here.apply(an_instance(deletionPolicy="Retain"))
        await here.delete(ServiceInstance, "db")
        await here.annotate(ServiceInstance, "db", paused=None)
        await here.gone(ServiceInstance, "db")
        assert len(here.cloud.stacks) == 1
        assert here.cloud.calls["delete"] == 0


async def test_paused_nothing_is_changed_not_even_deleted() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        await here.annotate(ServiceInstance, "db", paused="true")
        await here.until(
            ServiceInstance,
            "db",
            lambda i: i and (c := i.condition("Paused")) and c.status == "True",
        )
        await here.apply(an_instance(parameters={"size": 7}))
        await here.delete(ServiceInstance, "db")
        calls = dict(here.cloud.calls)
        await here.nothing_for(30)
        assert here.cloud.calls["apply"] == calls["apply"]
        assert here.cloud.calls["delete"] == 0
        await here.annotate(ServiceInstance, "db", paused=None)
        await here.gone(ServiceInstance, "db")


async def test_ignored_fields_are_neither_applied_nor_reset() -> None:
    async with scene() as here:
        ignored = ["resources.Database.properties.size"]
        await here.apply(an_instance(ignoreFields=ignored))
        await here.ready(ServiceInstance, "db")
        (stack,) = here.cloud.stacks.values()
        here.cloud.tamper(stack.name, "Database", "size", 99)
        applied = here.cloud.calls["apply"]
        await here.apply(an_instance(ignoreFields=ignored, parameters={"size": 4}))
        await here.ready(ServiceInstance, "db")
        assert here.cloud.calls["apply"] == applied
        assert stack.resources["Database"].actual["size"] == 99


async def test_drift_is_shown_and_told() -> None:
    async with scene(drift_every=timedelta(minutes=1)) as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        (stack,) = here.cloud.stacks.values()
        here.cloud.tamper(stack.name, "Database", "size", 99)
        drifted = await here.until(
            Stack,
            "db",
            lambda s: s and (c := s.condition("Drifted")) and c.status == "True",
            within=300,
        )
        assert drifted is not None
        assert drifted.ready
        assert drifted.status.drift is not None
        assert drifted.status.drift.resources == ("Database: size",)
        assert any(e["reason"] == "Drifted" for e in await here.events("db"))


async def test_a_secret_parameter_is_resolved_only_for_the_engine() -> None:
    async with scene() as here:
        wanted = {"licence": {"secretKeyRef": {"name": "keys", "key": "licence"}}}
        await here.apply(an_instance(parameters=wanted))
        message = await here.refused(ServiceInstance, "db", "DependencyNotReady")
        assert "'keys'" in message
        await here.secret("keys", licence="hunter2")
        await here.ready(ServiceInstance, "db")
        (stack,) = here.cloud.stacks.values()
        assert stack.resources["Database"].actual["licence"] == "hunter2"
        for kind in (ServiceInstance, Stack):
            raw = await here.store.list(api_of(kind))
            assert "hunter2" not in str(raw)
        found = await here.store.get(SECRETS, TEAM, "keys")
        assert found is not None
        await here.store.replace(SECRETS, found | {"data": {"licence": "aHVudGVyMw=="}})
        await here.until(
            Stack, "db", lambda _: stack.resources["Database"].actual["licence"] == "hunter3"
        )
        assert "hunter3" not in str(await here.store.list(api_of(Stack)))


async def test_a_provider_in_use_names_its_users() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        await here.delete(Provider, "here")
        assert f"{TEAM}/db" in await here.refused(Provider, "here", "InUse")
        await here.delete(ServiceInstance, "db")
        await here.gone(Provider, "here", within=30)


async def test_an_unknown_setting_of_a_provider_is_refused_by_name() -> None:
    async with scene() as here:
        await here.apply(a_provider("typo", settings={"latency": "1"}))
        message = await here.refused(Provider, "typo", "InvalidSpec")
        assert "spec.settings.latency" in message


async def test_a_broken_schema_of_an_offering_is_refused() -> None:
    async with scene() as here:
        await here.apply(an_offering("odd", parameters=PARAMETERS | {"type": 5}))
        assert "spec.parameters" in await here.refused(Offering, "odd", "InvalidSpec")


async def test_an_observed_stack_is_never_touched() -> None:
    async with scene() as here:
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        (name,) = here.cloud.stacks
        seen = {"management": "Observe", "adopt": {"externalName": name}}
        await here.apply(an_instance("watcher", parameters={"size": 8}, **seen))
        found = await here.ready(ServiceInstance, "watcher")
        assert found.status.outputs["Stack"] == name
        await here.delete(ServiceInstance, "watcher")
        await here.gone(ServiceInstance, "watcher")
        assert here.cloud.stacks[name].resources["Database"].actual["size"] == 1
        assert here.cloud.calls["apply"] == 1
        assert here.cloud.calls["delete"] == 0


async def test_a_tidy_life_writes_each_change_once() -> None:
    async with scene() as here:
        here.cloud.latency_seconds = 40
        await writes_settle(here)
        start = here.writes
        await here.apply(an_instance())
        await here.ready(ServiceInstance, "db")
        await writes_settle(here)
        # The object, its finalizer, its stack; each waiting, then ready; three Events.
        assert here.writes - start <= 10


async def writes_settle(here: Scene) -> None:
    await here.manager.events.flush()
    await here.nothing_for(5)
