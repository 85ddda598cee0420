"""What deletion sets going, and how it ends."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver.config import Limits
from tests.apiserver_client import DEFINITIONS, WIDGETS, Client, running, widget, widget_definition

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
NAMESPACES = "/api/v1/namespaces"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    async with running(tmp_path / "data") as (_, client):
        await client("POST", DEFINITIONS, widget_definition())
        yield client


async def eventually(api: Client, path: str, holds: Callable[[Any], bool]) -> Any:
    """Wait until the answer to a GET is as wanted."""
    async with asyncio.timeout(10):
        while True:
            answer = await api("GET", path)
            if holds(answer):
                return answer
            await asyncio.sleep(0.01)


def gone(answer: Any) -> bool:
    return answer.code == 404


async def owned(api: Client, *owners: Any, blocking: bool = False, name: str = "c") -> None:
    references = [
        {
            "apiVersion": "example.com/v1",
            "kind": "Widget",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
            "blockOwnerDeletion": blocking,
        }
        for owner in owners
    ]
    body = {"metadata": {"name": name, "ownerReferences": references}}
    assert (await api("POST", CONFIG_MAPS, body)).code == 201


async def test_dependents_go_with_their_only_owner(api: Client) -> None:
    owner = (await api("POST", WIDGETS, widget())).json
    await owned(api, owner)

    await api("DELETE", f"{WIDGETS}/a")

    await eventually(api, f"{CONFIG_MAPS}/c", gone)


async def test_dependents_stay_with_their_other_owner(api: Client) -> None:
    first = (await api("POST", WIDGETS, widget())).json
    second = (await api("POST", WIDGETS, widget("b"))).json
    await owned(api, first, second)

    await api("DELETE", f"{WIDGETS}/a")

    def one_left(answer: Any) -> bool:
        return len(answer.json["metadata"]["ownerReferences"]) == 1

    left = await eventually(api, f"{CONFIG_MAPS}/c", one_left)
    assert left.json["metadata"]["ownerReferences"][0]["name"] == "b"


async def test_orphans_lose_their_owner_only(api: Client) -> None:
    await owned(api, (await api("POST", WIDGETS, widget())).json)

    await api("DELETE", f"{WIDGETS}/a", {"propagationPolicy": "Orphan"})

    await eventually(api, f"{WIDGETS}/a", gone)
    left = (await api("GET", f"{CONFIG_MAPS}/c")).json
    assert not left["metadata"].get("ownerReferences")


async def test_foreground_waits_for_blocking_dependents(api: Client) -> None:
    await owned(api, (await api("POST", WIDGETS, widget())).json, blocking=True)
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    await api("PATCH", f"{CONFIG_MAPS}/c", held, kind=MERGE)

    marked = await api("DELETE", f"{WIDGETS}/a", {"propagationPolicy": "Foreground"})

    assert marked.json["metadata"]["finalizers"] == ["foregroundDeletion"]
    await eventually(api, f"{CONFIG_MAPS}/c", lambda a: "deletionTimestamp" in a.json["metadata"])
    assert (await api("GET", f"{WIDGETS}/a")).code == 200
    await api("PATCH", f"{CONFIG_MAPS}/c", {"metadata": {"finalizers": None}}, kind=MERGE)
    await eventually(api, f"{WIDGETS}/a", gone)


async def test_object_of_an_owner_that_never_was_is_collected(api: Client) -> None:
    await owned(api, {"metadata": {"name": "x", "uid": "no-such-uid"}})

    await eventually(api, f"{CONFIG_MAPS}/c", gone)


async def test_many_dependents_are_collected(api: Client) -> None:
    owner = (await api("POST", WIDGETS, widget())).json
    await asyncio.gather(*(owned(api, owner, name=f"c{n}") for n in range(450)))

    await api("DELETE", f"{WIDGETS}/a")

    await eventually(
        api, CONFIG_MAPS, lambda a: not [i for i in a.json["items"] if i["metadata"]["name"] != "x"]
    )


async def test_collection_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        await api("POST", DEFINITIONS, widget_definition())
        owner = (await api("POST", WIDGETS, widget())).json
        await asyncio.gather(*(owned(api, owner, name=f"c{n}") for n in range(300)))
        await api("DELETE", f"{WIDGETS}/a")
    async with running(tmp_path) as (_, api):
        await eventually(api, CONFIG_MAPS, lambda a: not a.json["items"])


async def test_namespace_goes_with_its_contents(api: Client) -> None:
    await api("POST", NAMESPACES, {"metadata": {"name": "team"}})
    inside = CONFIG_MAPS.replace("default", "team")
    held = {"metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
    await api("POST", inside, held)

    marked = (await api("DELETE", f"{NAMESPACES}/team")).json
    assert marked["status"]["phase"] == "Terminating"
    refused = await api("POST", inside, {"metadata": {"name": "late"}})
    assert refused.code == 403
    assert "being terminated" in refused.json["message"]

    await eventually(api, f"{inside}/c", lambda a: "deletionTimestamp" in a.json["metadata"])
    await api("PATCH", f"{inside}/c", {"metadata": {"finalizers": None}}, kind=MERGE)
    await eventually(api, f"{NAMESPACES}/team", gone)


async def test_events_are_forgotten_after_their_time(tmp_path: Path) -> None:
    path = "/api/v1/namespaces/default/events"
    event = {
        "metadata": {"name": "old"},
        "involvedObject": {"name": "x"},
        "lastTimestamp": "2020-01-01T00:00:00Z",
    }
    async with running(tmp_path) as (_, api):
        await api("POST", path, event)
        await api("POST", path, {**event, "metadata": {"name": "new"}, "lastTimestamp": None})
    async with running(tmp_path, limits=Limits(event_seconds=2)) as (_, api):
        await eventually(api, f"{path}/old", gone)
        assert (await api("POST", path, {**event, "metadata": {"name": "fresh"}})).code == 201
        await eventually(api, path, lambda a: not a.json["items"])


async def test_some_namespaces_are_always_there(api: Client) -> None:
    refused = await api("DELETE", f"{NAMESPACES}/default")

    assert refused.code == 403


async def test_kind_goes_with_its_objects(api: Client) -> None:
    await api("POST", WIDGETS, widget())

    await api("DELETE", f"{DEFINITIONS}/widgets.example.com")

    await eventually(api, f"{DEFINITIONS}/widgets.example.com", gone)
    assert (await api("GET", WIDGETS)).code == 404
    await api("POST", DEFINITIONS, widget_definition())
    assert (await api("GET", WIDGETS)).json["items"] == []


async def test_kind_that_is_going_takes_nothing_new(api: Client) -> None:
    held = widget()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api("POST", WIDGETS, held)
    await api("DELETE", f"{DEFINITIONS}/widgets.example.com")

    assert (await api("POST", WIDGETS, widget("late"))).code == 403
    await api("PATCH", f"{WIDGETS}/a", {"metadata": {"finalizers": None}}, kind=MERGE)
    await eventually(api, f"{DEFINITIONS}/widgets.example.com", gone)


async def test_collection_of_a_selection(api: Client) -> None:
    for name, label in (("a", "x"), ("b", "y")):
        body = widget(name)
        body["metadata"]["labels"] = {"l": label}
        await api("POST", WIDGETS, body)

    deleted = await api("DELETE", f"{WIDGETS}?labelSelector=l%3Dx")

    assert [item["metadata"]["name"] for item in deleted.json["items"]] == ["a"]
    left = (await api("GET", WIDGETS)).json["items"]
    assert [item["metadata"]["name"] for item in left] == ["b"]


@pytest.mark.parametrize("precondition", [{"uid": "other"}, {"resourceVersion": "1"}])
async def test_deletion_checks_its_preconditions(api: Client, precondition: Any) -> None:
    await api("POST", WIDGETS, widget())

    refused = await api("DELETE", f"{WIDGETS}/a", {"preconditions": precondition})

    assert refused.code == 409
    assert (await api("GET", f"{WIDGETS}/a")).code == 200
