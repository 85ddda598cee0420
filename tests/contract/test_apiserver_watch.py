"""The promises of a watch: order, resumption, expiry, bookmarks, selection."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver.config import Limits
from tests.apiserver_client import DEFINITIONS, WIDGETS, Client, running, widget, widget_definition

MERGE = "application/merge-patch+json"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    limits = Limits(history_events=16, bookmark_seconds=0.05)
    async with running(tmp_path / "data", limits=limits) as (_, client):
        await client("POST", DEFINITIONS, widget_definition())
        yield client


async def version(api: Client) -> str:
    return (await api("GET", WIDGETS)).json["metadata"]["resourceVersion"]


def seen(event: Any) -> tuple[str, str]:
    return event["type"], event["object"]["metadata"].get("name", "")


async def test_watch_follows_a_list_without_gap_or_repetition(api: Client) -> None:
    await api("POST", WIDGETS, widget("before"))
    start = await version(api)

    async with api.watch(f"{WIDGETS}?watch=true&resourceVersion={start}") as stream:
        await api("POST", WIDGETS, widget("a"))
        await api("PATCH", f"{WIDGETS}/a", {"spec": {"size": 2}}, kind=MERGE)
        await api("DELETE", f"{WIDGETS}/a")

        events = [await stream.next() for _ in range(3)]

    assert [seen(e) for e in events] == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
    assert versions == sorted(set(versions))


@pytest.mark.parametrize("flag", ["watch", "watch=", "watch=maybe", "watch=TRUE"])
async def test_a_watch_is_what_does_not_say_no(api: Client, flag: str) -> None:
    async with api.watch(f"{WIDGETS}?{flag}") as stream:
        await api("POST", WIDGETS, widget("a"))
        assert seen(await stream.next()) == ("ADDED", "a")


async def test_one_object_is_read_whatever_is_said_of_watching(api: Client) -> None:
    await api("POST", WIDGETS, widget("a"))

    assert (await api("GET", f"{WIDGETS}/a?watch=true")).json["kind"] == "Widget"
    older = WIDGETS.replace("/v1/", "/v1/watch/") + "/a"
    async with api.watch(older) as stream:
        assert seen(await stream.next()) == ("ADDED", "a")


async def test_a_version_that_is_yet_to_come_sends_the_watcher_to_list(api: Client) -> None:
    """As after a backup was restored, when clients know versions that the server does not."""
    async with api.watch(f"{WIDGETS}?watch=1&resourceVersion=999999") as stream:
        event = await stream.next()

    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert event["object"]["message"].startswith("too large resource version: 999999, current: ")


async def test_watch_resumes_where_it_was(api: Client) -> None:
    start = await version(api)
    for name in ("a", "b", "c"):
        await api("POST", WIDGETS, widget(name))

    async with api.watch(f"{WIDGETS}?watch=1&resourceVersion={start}") as stream:
        first = await stream.next()
    resumed = first["object"]["metadata"]["resourceVersion"]
    async with api.watch(f"{WIDGETS}?watch=1&resourceVersion={resumed}") as stream:
        rest = [await stream.next() for _ in range(2)]

    assert [seen(e) for e in rest] == [("ADDED", "b"), ("ADDED", "c")]


async def test_watch_from_the_forgotten_past_is_expired(api: Client) -> None:
    start = await version(api)
    for number in range(40):
        await api("POST", WIDGETS, widget(f"w{number}"))

    async with api.watch(f"{WIDGETS}?watch=1&resourceVersion={start}") as stream:
        event = await stream.next()

    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_watch_from_before_a_restart_is_expired_unless_nothing_was_missed(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as (_, api):
        await api("POST", DEFINITIONS, widget_definition())
        old = await version(api)
        await api("POST", WIDGETS, widget("a"))
        newest = await version(api)
    async with running(tmp_path) as (_, api):
        async with api.watch(f"{WIDGETS}?watch=1&resourceVersion={old}") as stream:
            assert (await stream.next())["object"]["code"] == 410
        async with api.watch(f"{WIDGETS}?watch=1&resourceVersion={newest}") as stream:
            await api("POST", WIDGETS, widget("b"))
            assert seen(await stream.next()) == ("ADDED", "b")


async def test_quiet_watch_gets_bookmarks_that_move_on(api: Client) -> None:
    start = await version(api)
    await api("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "other"}})

    path = f"{WIDGETS}?watch=1&allowWatchBookmarks=true&resourceVersion={start}"
    async with api.watch(path) as stream:
        mark = await stream.next()

    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["kind"] == "Widget"
    assert int(mark["object"]["metadata"]["resourceVersion"]) > int(start)


async def test_initial_events_end_with_a_marked_bookmark(api: Client) -> None:
    await api("POST", WIDGETS, widget("a"))

    path = f"{WIDGETS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    async with api.watch(path + "&allowWatchBookmarks=true") as stream:
        events = [await stream.next(), await stream.next()]

    assert seen(events[0]) == ("ADDED", "a")
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_selection_turns_changes_into_coming_and_going(api: Client) -> None:
    start = await version(api)
    path = f"{WIDGETS}?watch=1&labelSelector=show%3Dyes&resourceVersion={start}"
    async with api.watch(path) as stream:
        await api("POST", WIDGETS, widget("hidden"))
        await api("POST", WIDGETS, widget("a"))
        for label in ("yes", None):
            change = {"metadata": {"labels": {"show": label}}}
            await api("PATCH", f"{WIDGETS}/a", change, kind=MERGE)
        events = [await stream.next(), await stream.next()]

    assert [seen(e) for e in events] == [("ADDED", "a"), ("DELETED", "a")]


async def test_watch_sees_its_own_namespace_only(api: Client) -> None:
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "other"}})
    start = await version(api)
    async with api.watch(f"{WIDGETS}?watch=1&resourceVersion={start}") as stream:
        await api("POST", WIDGETS.replace("default", "other"), widget("foreign"))
        await api("POST", WIDGETS, widget("own"))
        assert seen(await stream.next()) == ("ADDED", "own")


async def test_watch_ends_after_its_time(api: Client) -> None:
    path = f"{WIDGETS}?watch=1&timeoutSeconds=1"
    async with asyncio.timeout(60):
        answer = await api("GET", path, forever=True)

    assert answer.code == 200


async def test_watchers_see_nothing_that_is_not_committed(api: Client) -> None:
    start = await version(api)
    async with api.watch(f"{WIDGETS}?watch=1&resourceVersion={start}") as stream:
        await api("POST", f"{WIDGETS}?dryRun=All", widget("dry"))
        await api("POST", WIDGETS, widget("wet"))
        assert seen(await stream.next()) == ("ADDED", "wet")
