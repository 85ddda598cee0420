"""Who owns what: dependents go with their last owner, or stay, or hold it until they are gone."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

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


def reference(kind: str, name: str, uid: str, version: str = "v1", **more: Any) -> Any:
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, **more}


async def holding(api: Client, path: str, name: str, *owners: Any) -> Any:
    body = {"metadata": {"name": name, "ownerReferences": list(owners)}}
    made = await api("POST", path, body)
    assert made.code == 201, made.body
    return made.json


async def settled(api: Client) -> None:
    """Wait until the collector has looked at everything: what is made last goes last."""
    body = {
        "metadata": {"name": "last", "ownerReferences": [reference("ConfigMap", "no", "no-uid")]}
    }
    assert (await api("POST", CONFIG_MAPS, body)).code == 201
    await until(api, f"{CONFIG_MAPS}/last", gone)


async def test_dependents_go_with_their_only_owner(api: Client) -> None:
    owner = (await api("POST", WIDGETS, widget())).json
    await owned(api, owner)

    await api("DELETE", f"{WIDGETS}/a")

    await until(api, f"{CONFIG_MAPS}/c", gone)


async def test_dependents_stay_with_their_other_owner(api: Client) -> None:
    first = (await api("POST", WIDGETS, widget())).json
    second = (await api("POST", WIDGETS, widget("b"))).json
    await owned(api, first, second)

    await api("DELETE", f"{WIDGETS}/a")

    def one_left(answer: Any) -> bool:
        return len(answer.json["metadata"]["ownerReferences"]) == 1

    left = await until(api, f"{CONFIG_MAPS}/c", one_left)
    assert left.json["metadata"]["ownerReferences"][0]["name"] == "b"


async def test_orphans_lose_their_owner_only(api: Client) -> None:
    await owned(api, (await api("POST", WIDGETS, widget())).json)

    await api("DELETE", f"{WIDGETS}/a", {"propagationPolicy": "Orphan"})

    await until(api, f"{WIDGETS}/a", gone)
    left = (await api("GET", f"{CONFIG_MAPS}/c")).json
    assert not left["metadata"].get("ownerReferences")


async def test_foreground_waits_for_blocking_dependents(api: Client) -> None:
    await owned(api, (await api("POST", WIDGETS, widget())).json, blocking=True)
    held = {"metadata": {"finalizers": ["example.com/hold"]}}
    await api("PATCH", f"{CONFIG_MAPS}/c", held, kind=MERGE)

    marked = await api("DELETE", f"{WIDGETS}/a", {"propagationPolicy": "Foreground"})

    assert marked.json["metadata"]["finalizers"] == ["foregroundDeletion"]
    await until(api, f"{CONFIG_MAPS}/c", lambda a: "deletionTimestamp" in a.json["metadata"])
    assert (await api("GET", f"{WIDGETS}/a")).code == 200
    await api("PATCH", f"{CONFIG_MAPS}/c", {"metadata": {"finalizers": None}}, kind=MERGE)
    await until(api, f"{WIDGETS}/a", gone)


async def test_object_of_an_owner_that_never_was_is_collected(api: Client) -> None:
    await owned(api, {"metadata": {"name": "x", "uid": "no-such-uid"}})

    await until(api, f"{CONFIG_MAPS}/c", gone)


async def test_many_dependents_are_collected(api: Client) -> None:
    owner = (await api("POST", WIDGETS, widget())).json
    await asyncio.gather(*(owned(api, owner, name=f"c{n}") for n in range(450)))

    await api("DELETE", f"{WIDGETS}/a")

    await until(
        api, CONFIG_MAPS, lambda a: not [i for i in a.json["items"] if i["metadata"]["name"] != "x"]
    )


async def test_collection_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        await api("POST", DEFINITIONS, widget_definition())
        owner = (await api("POST", WIDGETS, widget())).json
        await asyncio.gather(*(owned(api, owner, name=f"c{n}") for n in range(300)))
        await api("DELETE", f"{WIDGETS}/a")
    async with running(tmp_path) as (_, api):
        await until(api, CONFIG_MAPS, lambda a: not a.json["items"])


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

        await until(api, f"{CONFIG_MAPS}/c", gone)


async def test_what_objects_of_a_kind_owned_goes_with_the_kind(api: Client) -> None:
    for number in range(2):
        owner = (await api("POST", WIDGETS, widget(f"w{number}"))).json
        await asyncio.gather(*(owned(api, owner, name=f"c{number}-{n}") for n in range(210)))

    await api("DELETE", f"{DEFINITIONS}/widgets.example.com")

    await until(api, f"{DEFINITIONS}/widgets.example.com", gone)
    await until(api, CONFIG_MAPS, lambda a: not a.json["items"])


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

    await until(api, f"{CONFIG_MAPS}/lost", gone)
    assert (await api("GET", f"{CONFIG_MAPS}/kept")).code == 200


async def test_an_owner_in_another_namespace_is_none(api: Client) -> None:
    await api("POST", NAMESPACES, {"metadata": {"name": "team"}})
    owner = await holding(api, CONFIG_MAPS, "owner")
    inside = CONFIG_MAPS.replace("default", "team")

    await holding(api, inside, "c", reference("ConfigMap", "owner", owner["metadata"]["uid"]))

    await until(api, f"{inside}/c", gone)
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

    await until(api, f"{WIDGETS}/a", gone)
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


async def test_owners_that_block_each_other_in_a_circle_go(api: Client) -> None:
    first = (await api("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})).json["metadata"]
    of_first = reference("ConfigMap", "a", first["uid"], blockOwnerDeletion=True)
    second = await holding(api, CONFIG_MAPS, "b", of_first)
    of_second = reference("ConfigMap", "b", second["metadata"]["uid"], blockOwnerDeletion=True)
    change = {"metadata": {"ownerReferences": [of_second]}}
    assert (await api("PATCH", f"{CONFIG_MAPS}/a", change, kind=MERGE)).code == 200

    await api("DELETE", f"{CONFIG_MAPS}/a", {"propagationPolicy": "Foreground"})

    await until(api, f"{CONFIG_MAPS}/a", gone)
    await until(api, f"{CONFIG_MAPS}/b", gone)
