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


async def test_a_namespace_waits_for_finalizers_of_its_own(api: Client) -> None:
    body = {"metadata": {"name": "team"}, "spec": {"finalizers": ["example.com/hold"]}}
    made = (await api("POST", NAMESPACES, body)).json
    assert made["spec"]["finalizers"] == ["example.com/hold", "kubernetes"]

    await api("DELETE", f"{NAMESPACES}/team")

    def empty(answer: Any) -> bool:
        return answer.json["spec"] == {"finalizers": ["example.com/hold"]}

    left = (await eventually(api, f"{NAMESPACES}/team", empty)).json
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


async def test_a_later_policy_takes_the_place_of_an_earlier_one(api: Client) -> None:
    await owned(api, (await api("POST", WIDGETS, widget())).json, blocking=True)
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    await api("PATCH", f"{CONFIG_MAPS}/c", held, kind=MERGE)
    await api("DELETE", f"{WIDGETS}/a", {"propagationPolicy": "Foreground"})

    told = await api("DELETE", f"{WIDGETS}/a?dryRun=All", {"propagationPolicy": "Background"})
    assert told.json["status"] == "Success"
    assert (await api("DELETE", f"{WIDGETS}/a")).json["kind"] == "Widget"
    await api("DELETE", f"{WIDGETS}/a", {"propagationPolicy": "Background"})

    assert (await api("GET", f"{WIDGETS}/a")).code == 404


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


def reference(kind: str, name: str, uid: str, version: str = "v1", **more: Any) -> Any:
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, **more}


async def settled(api: Client) -> None:
    """Wait until the collector has looked at everything: what is made last goes last."""
    body = {
        "metadata": {"name": "last", "ownerReferences": [reference("ConfigMap", "no", "no-uid")]}
    }
    assert (await api("POST", CONFIG_MAPS, body)).code == 201
    await eventually(api, f"{CONFIG_MAPS}/last", gone)


async def holding(api: Client, path: str, name: str, *owners: Any) -> Any:
    body = {"metadata": {"name": name, "ownerReferences": list(owners)}}
    made = await api("POST", path, body)
    assert made.code == 201, made.body
    return made.json


async def test_an_owner_of_a_kind_that_is_not_served_keeps_its_dependents(api: Client) -> None:
    strange = reference("Thing", "x", "u1", "nosuch.io/v1")
    await holding(api, CONFIG_MAPS, "a", strange)
    await holding(api, CONFIG_MAPS, "b", reference("Widget", "x", "u2", "example.com/v9"))
    await holding(api, CONFIG_MAPS, "c", strange, reference("Widget", "x", "u4", "example.com/v1"))
    await settled(api)

    for name in "abc":
        assert (await api("GET", f"{CONFIG_MAPS}/{name}")).code == 200


async def test_dependents_go_once_the_kind_of_their_absent_owner_is_served(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        await holding(api, CONFIG_MAPS, "c", reference("Widget", "x", "u", "example.com/v1"))
        await settled(api)
        assert (await api("GET", f"{CONFIG_MAPS}/c")).code == 200

        await api("POST", DEFINITIONS, widget_definition())

        await eventually(api, f"{CONFIG_MAPS}/c", gone)


async def test_what_objects_of_a_kind_owned_goes_with_the_kind(api: Client) -> None:
    for number in range(2):
        owner = (await api("POST", WIDGETS, widget(f"w{number}"))).json
        await asyncio.gather(*(owned(api, owner, name=f"c{number}-{n}") for n in range(210)))

    await api("DELETE", f"{DEFINITIONS}/widgets.example.com")

    await eventually(api, f"{DEFINITIONS}/widgets.example.com", gone)
    await eventually(api, CONFIG_MAPS, lambda a: not a.json["items"])


async def test_a_namespace_that_names_an_owner_in_a_namespace_stays(api: Client) -> None:
    owner = (await api("POST", WIDGETS, widget())).json
    there = reference("Widget", "a", owner["metadata"]["uid"], "example.com/v1")
    await holding(api, NAMESPACES, "team", there)
    await holding(api, NAMESPACES, "other", reference("Widget", "never", "u", "example.com/v1"))
    await settled(api)

    await api("DELETE", f"{WIDGETS}/a")
    await settled(api)

    for name in ("team", "other"):
        found = (await api("GET", f"{NAMESPACES}/{name}")).json
        assert found["status"]["phase"] == "Active"
    events = (await api("GET", "/api/v1/namespaces/default/events")).json["items"]
    assert [(e["type"], e["reason"], e["involvedObject"]["name"]) for e in events] == [
        ("Warning", "OwnerRefInvalidNamespace", "team")
    ]
    assert events[0]["message"].endswith('does not exist in namespace ""')


@pytest.mark.parametrize("wrong", [{"name": "other"}, {"kind": "Secret"}, {"uid": "other"}])
async def test_a_reference_that_names_something_else_names_nobody(api: Client, wrong: Any) -> None:
    owner = await holding(api, CONFIG_MAPS, "owner")
    good = reference("ConfigMap", "owner", owner["metadata"]["uid"])

    await holding(api, CONFIG_MAPS, "kept", good)
    await holding(api, CONFIG_MAPS, "lost", {**good, **wrong})

    await eventually(api, f"{CONFIG_MAPS}/lost", gone)
    assert (await api("GET", f"{CONFIG_MAPS}/kept")).code == 200


async def test_an_owner_in_another_namespace_is_none(api: Client) -> None:
    await api("POST", NAMESPACES, {"metadata": {"name": "team"}})
    owner = await holding(api, CONFIG_MAPS, "owner")
    inside = CONFIG_MAPS.replace("default", "team")

    await holding(api, inside, "c", reference("ConfigMap", "owner", owner["metadata"]["uid"]))

    await eventually(api, f"{inside}/c", gone)
    events = (await api("GET", "/api/v1/namespaces/team/events")).json["items"]
    assert [e["reason"] for e in events] == ["OwnerRefInvalidNamespace"]


async def test_an_owner_of_the_whole_cluster_is_one_everywhere(api: Client) -> None:
    default = (await api("GET", f"{NAMESPACES}/default")).json
    owner = reference("Namespace", "default", default["metadata"]["uid"])
    await holding(api, NAMESPACES, "team", owner)
    await holding(api, CONFIG_MAPS, "c", owner)
    await settled(api)

    assert (await api("GET", f"{CONFIG_MAPS}/c")).code == 200
    assert (await api("GET", f"{NAMESPACES}/team")).json["status"]["phase"] == "Active"


async def test_foreground_spares_what_others_own_too(api: Client) -> None:
    first = (await api("POST", WIDGETS, widget())).json
    second = (await api("POST", WIDGETS, widget("b"))).json
    await owned(api, first, second, blocking=True)

    await api("DELETE", f"{WIDGETS}/a", {"propagationPolicy": "Foreground"})

    await eventually(api, f"{WIDGETS}/a", gone)
    left = (await api("GET", f"{CONFIG_MAPS}/c")).json["metadata"]
    assert [owner["name"] for owner in left["ownerReferences"]] == ["b"]
    assert "deletionTimestamp" not in left


async def test_many_held_dependents_hold_nobody_else_up(api: Client) -> None:
    owner = (await api("POST", WIDGETS, widget())).json
    mine = reference("Widget", "a", owner["metadata"]["uid"], "example.com/v1")
    held = {"finalizers": ["example.com/hold"], "ownerReferences": [mine]}
    for number in range(210):
        await api("POST", CONFIG_MAPS, {"metadata": {"name": f"c{number}", **held}})

    await api("DELETE", f"{WIDGETS}/a")

    await settled(api)


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

    await eventually(api, inside, all_leave)
    released = {"metadata": {"finalizers": None}}
    for name in names:
        await api("PATCH", f"{inside}/{name}", released, kind="application/merge-patch+json")
    await eventually(api, "/api/v1/namespaces/team", gone)


async def test_owners_that_block_each_other_in_a_circle_go(api: Client) -> None:
    first = (await api("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})).json["metadata"]
    of_first = reference("ConfigMap", "a", first["uid"], blockOwnerDeletion=True)
    second = await holding(api, CONFIG_MAPS, "b", of_first)
    of_second = reference("ConfigMap", "b", second["metadata"]["uid"], blockOwnerDeletion=True)
    change = {"metadata": {"ownerReferences": [of_second]}}
    assert (await api("PATCH", f"{CONFIG_MAPS}/a", change, kind=MERGE)).code == 200

    await api("DELETE", f"{CONFIG_MAPS}/a", {"propagationPolicy": "Foreground"})

    await eventually(api, f"{CONFIG_MAPS}/a", gone)
    await eventually(api, f"{CONFIG_MAPS}/b", gone)
