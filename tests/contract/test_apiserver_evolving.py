"""Definitions that change under their objects, and versions whose schemas differ."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver_client import DEFINITIONS, Client, JsonObject, running
from tests.polling import eventually

SHAPES = "/apis/evolving.example.com/v1/namespaces/default/shapes"
MERGE = "application/merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def string(**more: Any) -> JsonObject:
    return {"type": "string", **more}


def version(name: str, *, storage: bool = True, **fields: JsonObject) -> JsonObject:
    """A version whose objects have these fields in their spec."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": fields},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "C", "type": "string", "jsonPath": ".spec.came"}],
        "selectableFields": [{"jsonPath": f".spec.{name}"} for name in ("came",) if name in fields],
    }


def definition(*versions: JsonObject, plural: str = "shapes", **names: Any) -> JsonObject:
    kind = names.pop("kind", plural.removesuffix("s").title())
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.evolving.example.com"},
        "spec": {
            "group": "evolving.example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, **names},
            "versions": list(versions) or [version("v1")],
        },
    }


def shape(name: str, api: str = "v1", **spec: Any) -> JsonObject:
    return {
        "apiVersion": f"evolving.example.com/{api}",
        "kind": "Shape",
        "metadata": {"name": name},
        "spec": spec,
    }


OLD = version("v1", kept=string(), gone=string(), none=string(nullable=True))
NEW = version("v1", kept=string(), came=string(default="new"), none=string())


async def declare(client: Client, *versions: JsonObject) -> int:
    """Make the kind consist of these versions; the definition's resourceVersion."""
    wanted = definition(*versions)
    answer = await client("POST", DEFINITIONS, wanted)
    if answer.code == 409:
        path = f"{DEFINITIONS}/{wanted['metadata']['name']}"
        answer = await client("PATCH", path, {"spec": wanted["spec"]}, kind=MERGE)
    assert answer.code in (200, 201), answer.body
    return int(answer.json["metadata"]["resourceVersion"])


async def make(client: Client, name: str, **spec: Any) -> JsonObject:
    answer = await client("POST", SHAPES, shape(name, **spec))
    assert answer.code == 201, answer.body
    return answer.json


async def test_objects_are_shown_by_the_present_definition(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        await declare(client, OLD)
        made = await make(client, "a", kept="k", gone="g", none=None)
        await declare(client, NEW)

        got = await client("GET", f"{SHAPES}/a")
        listed = await client("GET", f"{SHAPES}?fieldSelector=spec.came%3Dnew")
        table = await client("GET", SHAPES, accept=TABLE)
        async with client.watch(f"{SHAPES}?watch=true") as watch:
            event = await watch.next()

    shown = {**made, "spec": {"kept": "k", "came": "new"}}
    assert got.json == shown
    assert listed.json["items"] == [shown]
    assert table.json["rows"][0]["cells"] == ["a", "new"]
    assert event == {"type": "ADDED", "object": shown}


async def test_nothing_is_stored_until_something_is_written(tmp_path: Path) -> None:
    """A field that comes back is there again, except where an object was written meanwhile."""
    async with running(tmp_path) as (_, client):
        await declare(client, OLD)
        await make(client, "a", kept="k", gone="g")
        await make(client, "b", kept="k", gone="g")
        await declare(client, NEW)
        await client("GET", SHAPES)
        change = {"metadata": {"labels": {"x": "y"}}}
        changed = await client("PATCH", f"{SHAPES}/b?fieldValidation=Strict", change, kind=MERGE)
        await declare(client, OLD)
        listed = await client("GET", SHAPES)

    assert (changed.code, changed.json["metadata"]["generation"]) == (200, 1)
    assert "warning" not in changed.headers
    assert [item["spec"] for item in listed.json["items"]] == [
        {"kept": "k", "gone": "g"},
        {"kept": "k"},
    ]


async def test_objects_are_shown_so_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        await declare(client, OLD)
        await make(client, "a", gone="g")
        await declare(client, NEW)
    async with running(tmp_path) as (_, client):
        got = await client("GET", f"{SHAPES}/a")
        listed = await client("GET", SHAPES)

    assert got.json["spec"] == {"came": "new"}
    assert listed.json["items"] == [got.json]


async def test_a_write_that_changes_nothing_stores_what_is_shown_once(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        await declare(client, OLD)
        made = await make(client, "a", gone="g")
        await declare(client, NEW)
        first = await client("PATCH", f"{SHAPES}/a", {}, kind=MERGE)
        second = await client("PATCH", f"{SHAPES}/a", {}, kind=MERGE)
        await declare(client, OLD)
        got = await client("GET", f"{SHAPES}/a")

    assert first.json["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    assert first.json["metadata"]["generation"] == 1
    assert second.json == first.json
    assert got.json["spec"] == {}


async def test_a_changed_definition_ends_watches_and_they_begin_with_a_list(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as (_, client):
        await declare(client, OLD)
        made = await make(client, "a", gone="g")
        began = made["metadata"]["resourceVersion"]
        watching = asyncio.create_task(client("GET", f"{SHAPES}?watch=true", forever=True))
        await asyncio.sleep(0)
        since = await declare(client, NEW)
        ended = await asyncio.wait_for(watching, 60)
        late = await client("GET", f"{SHAPES}?watch=true&resourceVersion={began}", forever=True)
        async with client.watch(f"{SHAPES}?watch=true&resourceVersion={since}") as watch:
            await client("DELETE", f"{SHAPES}/a")
            event = await watch.next()

    assert b'"ADDED"' in ended.body
    assert b'"ERROR"' not in ended.body
    assert late.json["object"]["code"] == 410
    assert event["type"] == "DELETED"
    assert event["object"]["spec"] == {"came": "new"}


async def test_a_definition_that_only_gets_a_label_ends_no_watch(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        await declare(client, OLD)
        async with client.watch(f"{SHAPES}?watch=true") as watch:
            path = f"{DEFINITIONS}/shapes.evolving.example.com"
            await client("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)
            await make(client, "a", gone="g")
            event = await watch.next()

    assert event["object"]["spec"] == {"gone": "g"}


async def test_pages_of_one_list_show_objects_by_the_present_definition(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        await declare(client, OLD)
        for name in ("a", "b"):
            await make(client, name, gone="g")
        page = await client("GET", f"{SHAPES}?limit=1")
        await client("PATCH", f"{SHAPES}/b", {"spec": {"kept": "k"}}, kind=MERGE)
        await declare(client, NEW)
        more = page.json["metadata"]["continue"]
        rest = await client("GET", f"{SHAPES}?limit=1&continue={more}")

    assert [item["spec"] for item in rest.json["items"]] == [{"came": "new"}]


async def test_writes_under_way_meet_the_new_definition(tmp_path: Path) -> None:
    """Those that are on their way to the disk with the definition are shown by it afterwards."""
    async with running(tmp_path) as (_, client):
        await declare(client, OLD)
        await asyncio.gather(
            *(make(client, f"a{number}", gone="g") for number in range(9)),
            declare(client, NEW),
            *(make(client, f"b{number}", gone="g") for number in range(9)),
        )
        listed = await client("GET", SHAPES)

    assert [item["spec"] for item in listed.json["items"]] == [{"came": "new"}] * 18


V1 = version("v1", both=string(), first=string(), filled=string(default="by-v1"))
V2 = version("v2", storage=False, both=string(), second=string(default="by-v2"), filled=string())


async def test_versions_show_what_their_own_schemas_know(tmp_path: Path) -> None:
    other = SHAPES.replace("/v1/", "/v2/")
    async with running(tmp_path) as (_, client):
        await declare(client, V1, V2)
        made = await client("POST", other, shape("a", "v2", both="b", second="s"))
        await make(client, "b", both="b", first="f")
        first = await client("GET", SHAPES)
        second = await client("GET", other)
        await client("PATCH", f"{other}/b", {"metadata": {"labels": {"x": "y"}}}, kind=MERGE)
        written = await client("GET", f"{SHAPES}/b")

    assert made.json["apiVersion"] == "evolving.example.com/v2"
    assert made.json["spec"] == {"both": "b", "filled": "by-v1"}
    assert [item["spec"] for item in first.json["items"]] == [
        {"both": "b", "filled": "by-v1"},
        {"both": "b", "first": "f", "filled": "by-v1"},
    ]
    assert {item["apiVersion"] for item in second.json["items"]} == {"evolving.example.com/v2"}
    assert [item["spec"] for item in second.json["items"]] == [
        {"both": "b", "filled": "by-v1"},
        {"both": "b", "filled": "by-v1"},
    ]
    assert written.json["spec"] == {"both": "b", "filled": "by-v1"}


async def test_what_another_version_stored_is_read_by_that_version(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        await declare(client, V1, V2)
        await make(client, "a", both="b", first="f")
        await declare(client, {**V1, "storage": False}, {**V2, "storage": True})
        before = await client("GET", f"{SHAPES}/a")
        after = await client("PATCH", f"{SHAPES}/a", {}, kind=MERGE)

    assert before.json["spec"] == {"both": "b", "first": "f", "filled": "by-v1"}
    assert after.json["spec"] == {"both": "b", "filled": "by-v1"}


# --- names ----------------------------------------------------------------------------------------


async def conditions(client: Client, plural: str) -> JsonObject:
    crd = (await client("GET", f"{DEFINITIONS}/{plural}.evolving.example.com")).json
    return {
        c["type"]: (c["status"], c["reason"], c["message"]) for c in crd["status"]["conditions"]
    }


async def is_established(client: Client, plural: str) -> bool:
    return (await conditions(client, plural))["Established"][0] == "True"


@pytest.mark.parametrize(
    ("names", "reason", "message"),
    [
        ({"kind": "Shape"}, "ListKindConflict", '"ShapeList" is already in use'),
        ({"kind": "Shape", "listKind": "Ls"}, "KindConflict", '"Shape" is already in use'),
        ({"singular": "shapes"}, "SingularConflict", '"shapes" is already in use'),
        (
            {"shortNames": ["x", "sh", "shape"]},
            "ShortNamesConflict",
            '["sh" is already in use, "shape" is already in use]',
        ),
    ],
)
async def test_a_name_that_is_taken_keeps_a_definition_from_being_served(
    tmp_path: Path, names: JsonObject, reason: str, message: str
) -> None:
    async with running(tmp_path) as (_, client):
        await client("POST", DEFINITIONS, definition(shortNames=["sh"]))
        await client("POST", DEFINITIONS, definition(plural="others", **names))
        told = await conditions(client, "others")
        listed = await client("GET", SHAPES.replace("shapes", "others"))
        await client("DELETE", f"{DEFINITIONS}/shapes.evolving.example.com")
        await eventually(lambda: is_established(client, "others"), within=60)
        later = await client("GET", SHAPES.replace("shapes", "others"))
        accepted = await conditions(client, "others")

    assert told == {
        "NamesAccepted": ("False", reason, message),
        "Established": ("False", "NotAccepted", "not all names are accepted"),
    }
    assert listed.code == 404
    assert later.code == 200
    assert accepted == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": (
            "True",
            "InitialNamesAccepted",
            "the initial names have been accepted",
        ),
    }


async def test_a_definition_that_asks_for_a_taken_name_later_is_served_as_before(
    tmp_path: Path,
) -> None:
    path = f"{DEFINITIONS}/others.evolving.example.com"
    async with running(tmp_path) as (_, client):
        await client("POST", DEFINITIONS, definition(shortNames=["sh"]))
        await client("POST", DEFINITIONS, definition(plural="others", shortNames=["ot"]))
        change = {"spec": {"names": {"shortNames": ["sh"]}}}
        changed = await client("PATCH", path, change, kind=MERGE)
        told = await conditions(client, "others")
        served = (await client("GET", "/apis/evolving.example.com/v1")).json["resources"]

    assert changed.json["status"]["acceptedNames"]["shortNames"] == ["ot"]
    assert told["NamesAccepted"] == ("False", "ShortNamesConflict", '"sh" is already in use')
    assert told["Established"][0] == "True"
    assert {r["name"]: r.get("shortNames") for r in served if "/" not in r["name"]} == {
        "shapes": ["sh"],
        "others": ["ot"],
    }


async def test_names_are_judged_after_a_restart_too(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client):
        await client("POST", DEFINITIONS, definition())
        await client("POST", DEFINITIONS, definition(plural="others", kind="Shape"))
    async with running(tmp_path) as (_, client):
        listed = await client("GET", SHAPES.replace("shapes", "others"))
        await client("DELETE", f"{DEFINITIONS}/shapes.evolving.example.com")
        await eventually(lambda: is_established(client, "others"), within=60)

    assert listed.code == 404
