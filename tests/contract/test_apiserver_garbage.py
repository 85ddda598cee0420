"""What deletion sets going, and how it ends: of namespaces, kinds, collections and old events."""

from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver.config import Limits
from tests.apiserver_client import (
    DEFINITIONS,
    WIDGETS,
    Client,
    gone,
    running,
    until,
    widget,
    widget_definition,
)

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
NAMESPACES = "/api/v1/namespaces"
MERGE = "application/merge-patch+json"


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

    await until(api, f"{inside}/c", lambda a: "deletionTimestamp" in a.json["metadata"])
    await api("PATCH", f"{inside}/c", {"metadata": {"finalizers": None}}, kind=MERGE)
    await until(api, f"{NAMESPACES}/team", gone)


async def test_a_namespace_waits_for_finalizers_of_its_own(api: Client) -> None:
    body = {"metadata": {"name": "team"}, "spec": {"finalizers": ["example.com/hold"]}}
    made = (await api("POST", NAMESPACES, body)).json
    assert made["spec"]["finalizers"] == ["example.com/hold", "kubernetes"]

    await api("DELETE", f"{NAMESPACES}/team")

    def empty(answer: Any) -> bool:
        return answer.json["spec"] == {"finalizers": ["example.com/hold"]}

    left = (await until(api, f"{NAMESPACES}/team", empty)).json
    conditions = {c["type"]: c["reason"] for c in left["status"]["conditions"]}
    assert conditions["NamespaceContentRemaining"] == "ContentRemoved"
    assert conditions["NamespaceFinalizersRemaining"] == "ContentHasNoFinalizers"
    again = await api("POST", NAMESPACES, {"metadata": {"name": "team"}})
    assert again.json["message"].startswith("object is being deleted: ")

    freed = {"metadata": {"name": "team"}, "spec": {}}
    assert (await api("PUT", f"{NAMESPACES}/team/finalize", freed)).code == 200
    assert (await api("GET", f"{NAMESPACES}/team")).code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "", {"metadata": {"name": "x"}, "spec": {"finalizers": ["bare"]}},
         "spec.finalizers"),
        ("PUT", "/default/finalize", {"metadata": {"name": "default"},
         "spec": {"finalizers": ["kubernetes", "a b/c"]}}, "spec.finalizers[1]"),
        ("PUT", "/default/status", {"metadata": {"name": "default"},
         "status": {"phase": "Terminating"}}, "status.Phase"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_namespace_is_said(
    api: Client, method: str, path: str, body: Any, field: str
) -> None:
    answer = await api(method, NAMESPACES + path, body)

    assert answer.code == 422
    assert {cause["field"] for cause in answer.json["details"]["causes"]} == {field}


async def test_a_dry_deletion_shows_what_would_be_left(api: Client) -> None:
    held = {"metadata": {"name": "c", "finalizers": ["example.com/hold"]}}
    await api("POST", CONFIG_MAPS, held)

    shown = await api("DELETE", f"{CONFIG_MAPS}/c?dryRun=All")

    assert "deletionTimestamp" in shown.json["metadata"]
    assert "deletionTimestamp" not in (await api("GET", f"{CONFIG_MAPS}/c")).json["metadata"]


@pytest.mark.parametrize(
    ("query", "body", "code"),
    [
        ("", {"orphanDependents": "x"}, 400),
        ("", {"propagationPolicy": 7}, 400),
        ("", {"propagationPolicy": ""}, 422),
        ("", {"preconditions": {"uid": 7}}, 400),
        ("", {"gracePeriodSeconds": True}, 400),
        ("", {"dryRun": ["Foo"]}, 422),
        ("", {"kind": "ConfigMap", "apiVersion": "v1"}, 400),
        ("?gracePeriodSeconds=x", None, 400),
        ("?orphanDependents=true&propagationPolicy=Orphan", None, 422),
    ],
)
async def test_options_of_a_deletion_that_cannot_be_meant(
    api: Client, query: str, body: Any, code: int
) -> None:
    await api("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})

    assert (await api("DELETE", f"{CONFIG_MAPS}/c{query}", body)).code == code
    assert (await api("GET", f"{CONFIG_MAPS}/c")).code == 200


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ({"deletionTimestamp": "2020-01-01T00:00:00Z"}, 422),
        ({"deletionGracePeriodSeconds": 3}, 422),
        ({"creationTimestamp": "foo"}, 422),
        ({"creationTimestamp": "2020-01-01T00:00:00Z"}, 200),
        ({"name": None}, 400),
        ({"generateName": "x"}, 200),
    ],
)
async def test_what_of_the_metadata_a_patch_may_say(api: Client, metadata: Any, code: int) -> None:
    made = (await api("POST", CONFIG_MAPS, {"metadata": {"name": "c"}})).json["metadata"]

    patched = await api("PATCH", f"{CONFIG_MAPS}/c", {"metadata": metadata}, kind=MERGE)

    assert patched.code == code
    left = (await api("GET", f"{CONFIG_MAPS}/c")).json["metadata"]
    assert left["creationTimestamp"] == made["creationTimestamp"]
    assert "deletionTimestamp" not in left


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
        await until(api, f"{path}/old", gone)
        assert (await api("POST", path, {**event, "metadata": {"name": "fresh"}})).code == 201
        await until(api, path, lambda a: not a.json["items"])


async def test_some_namespaces_are_always_there(api: Client) -> None:
    refused = await api("DELETE", f"{NAMESPACES}/default")

    assert refused.code == 403


async def test_kind_goes_with_its_objects(api: Client) -> None:
    await api("POST", WIDGETS, widget())

    await api("DELETE", f"{DEFINITIONS}/widgets.example.com")

    await until(api, f"{DEFINITIONS}/widgets.example.com", gone)
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
    await until(api, f"{DEFINITIONS}/widgets.example.com", gone)


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


async def test_all_that_is_in_a_namespace_is_asked_to_go(api: Client) -> None:
    """Also what comes after many objects that wait for something."""
    inside = "/api/v1/namespaces/team/configmaps"
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    names = [f"c{number:03}" for number in range(230)]
    for name in names:
        await api("POST", inside, {"metadata": {"name": name, "finalizers": ["example.com/a"]}})
    await api("DELETE", "/api/v1/namespaces/team")

    def all_leave(answer: Any) -> bool:
        found = [o["metadata"] for o in answer.json["items"]]
        return [m["name"] for m in found if "deletionTimestamp" in m] == names

    await until(api, inside, all_leave)
    released = {"metadata": {"finalizers": None}}
    for name in names:
        await api("PATCH", f"{inside}/{name}", released, kind="application/merge-patch+json")
    await until(api, "/api/v1/namespaces/team", gone)
