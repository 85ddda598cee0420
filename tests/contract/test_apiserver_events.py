"""Events are one set of objects, and two groups serve them under names of their own."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver_client import Client, JsonObject, running
from tests.unit.test_apiserver_decoders import chunk, envelope, number

OLD = "/api/v1/namespaces/default/events"
NEW = "/apis/events.k8s.io/v1/namespaces/default/events"
MERGE = "application/merge-patch+json"
WHEN = "2026-01-01T00:00:00.123456Z"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    async with running(tmp_path / "data") as (_, client):
        yield client


def modern(name: str = "new", **changes: Any) -> JsonObject:
    """What a recorder of client-go sends."""
    event: JsonObject = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name},
        "eventTime": WHEN,
        "reportingController": "example.com/painter",
        "reportingInstance": "painter-1",
        "action": "Paint",
        "reason": "Painted",
        "regarding": {"kind": "Widget", "namespace": "default", "name": "a"},
        "note": "blue",
        "type": "Normal",
    }
    return {name: value for name, value in (event | changes).items() if value is not None}


def legacy(name: str = "old", **changes: Any) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name},
        "involvedObject": {"kind": "Widget", "namespace": "default", "name": "a"},
        "reason": "Dried",
        "message": "slowly ",
        "type": "Warning",
        "source": {"component": "sun", "host": "sky"},
        "count": 3,
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:05:00Z",
        **changes,
    }


def bare(obj: JsonObject) -> JsonObject:
    return {name: part for name, part in obj.items() if name != "metadata"}


async def test_new_event_is_an_old_one_as_well(api: Client) -> None:
    made = await api("POST", NEW, modern())

    assert made.code == 201
    assert bare(made.json) == bare(modern()) | {
        "deprecatedSource": {}, "deprecatedFirstTimestamp": None, "deprecatedLastTimestamp": None,
    }  # fmt: skip
    assert (await api("GET", NEW)).json["items"] == [made.json]
    old = (await api("GET", f"{OLD}/new")).json
    assert old["metadata"] == made.json["metadata"]
    assert bare(old) == {
        "apiVersion": "v1", "kind": "Event", "eventTime": WHEN, "action": "Paint",
        "reason": "Painted", "type": "Normal", "message": "blue", "source": {},
        "involvedObject": modern()["regarding"], "reportingComponent": "example.com/painter",
        "reportingInstance": "painter-1", "firstTimestamp": None, "lastTimestamp": None,
    }  # fmt: skip


async def test_old_event_is_a_new_one_as_well(api: Client) -> None:
    await api("POST", OLD, legacy())

    listed = (await api("GET", NEW)).json

    assert (listed["apiVersion"], listed["kind"]) == ("events.k8s.io/v1", "EventList")
    assert bare(listed["items"][0]) == {
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "eventTime": None, "reason": "Dried",
        "regarding": legacy()["involvedObject"], "note": "slowly ", "type": "Warning",
        "deprecatedSource": {"component": "sun", "host": "sky"}, "deprecatedCount": 3,
        "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z",
        "deprecatedLastTimestamp": "2026-01-01T00:05:00Z",
    }  # fmt: skip


async def test_both_watches_tell_each_others_events(api: Client) -> None:
    async with (
        api.watch(f"{NEW}?watch=1") as new,
        api.watch(f"{OLD}?watch=1", accept=TABLE) as old,
    ):
        await api("POST", OLD, legacy())
        seen = await new.next()
        row = await old.next()

    assert (seen["type"], seen["object"]["note"]) == ("ADDED", "slowly ")
    assert seen["object"]["apiVersion"] == "events.k8s.io/v1"
    assert row["object"]["rows"][0]["cells"][3] == "widget/a"


@pytest.mark.parametrize("path", [OLD, NEW])
async def test_both_print_the_same(api: Client, path: str) -> None:
    series = {"count": 7, "lastObservedTime": "2026-01-01T00:09:00.000000Z"}
    await api("POST", NEW, modern(series=series))
    await api("POST", OLD, legacy())

    rows = (await api("GET", path, accept=TABLE)).json["rows"]

    new, old = (row["cells"] for row in rows)
    assert new[1:4] == ["Normal", "Painted", "widget/a"]
    assert new[5:7] == ["example.com/painter, painter-1", "blue"]
    assert new[8:] == [7, "new"]
    assert old[5:7] == ["sun, sky", "slowly"]
    assert old[8:] == [3, "old"]
    assert all(cells[0].endswith("d") and cells[7].endswith("d") for cells in (new, old))


@pytest.mark.parametrize(
    ("path", "selector", "names"),
    [
        (NEW, "regarding.kind=Widget,reportingController=example.com/painter", ["new"]),
        (NEW, "type=Warning", ["old"]),
        (OLD, "source=sun", ["old"]),
        (OLD, "source=example.com/painter", ["new"]),
        (OLD, "involvedObject.name=a,reason!=Dried", ["new"]),
    ],
)
async def test_selectors_use_the_names_of_the_group(
    api: Client, path: str, selector: str, names: list[str]
) -> None:
    await api("POST", NEW, modern())
    await api("POST", OLD, legacy())

    found = (await api("GET", f"{path}?fieldSelector={selector}")).json["items"]

    assert [event["metadata"]["name"] for event in found] == names


async def test_selectors_do_not_use_those_of_the_other(api: Client) -> None:
    assert (await api("GET", f"{NEW}?fieldSelector=involvedObject.kind=Widget")).code == 400
    assert (await api("GET", f"{OLD}?fieldSelector=regarding.kind=Widget")).code == 400


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"eventTime": None}, {"eventTime"}),
        ({"type": "Odd"}, {"type"}),
        ({"deprecatedCount": 4, "deprecatedSource": {"host": "h"}}, {"count", "source"}),
        ({"deprecatedFirstTimestamp": "2026-01-01T00:00:00Z"}, {"firstTimestamp"}),
        ({"series": {"count": 1}}, {"series.count", "series.lastObservedTime"}),
        ({"reportingController": None}, {"reportingController"}),
        ({"reportingController": "a b"}, {"reportingController"}),
        ({"action": "x" * 129, "note": "x" * 1025}, {"action", "message"}),
        ({"reportingInstance": None}, {"reportingInstance"}),
        ({"regarding": {"kind": "W", "namespace": "kube-system"}, "eventTime": None},
         {"involvedObject.namespace", "eventTime"}),
    ],
)  # fmt: skip
async def test_new_events_must_be_whole(api: Client, changes: JsonObject, fields: set[str]) -> None:
    refused = await api("POST", NEW, modern(**changes))

    assert refused.code == 422
    assert {cause["field"] for cause in refused.json["details"]["causes"]} == fields


async def test_of_a_new_event_only_the_series_changes(api: Client) -> None:
    await api("POST", NEW, modern())
    series = {"count": 2, "lastObservedTime": "2026-01-01T00:01:00.000000Z"}

    longer = await api("PATCH", f"{NEW}/new", {"series": series}, kind=MERGE)
    refused = await api("PATCH", f"{NEW}/new", {"note": "red"}, kind=MERGE)

    assert longer.json["series"] == series
    assert refused.code == 422
    assert 'message: Invalid value: "red": field is immutable' in refused.json["message"]


async def test_fields_of_the_other_group_are_unknown(api: Client) -> None:
    warned = await api("POST", NEW, modern(message="red"))
    strict = await api("POST", f"{NEW}?fieldValidation=Strict", modern("x", message="red"))

    assert 'unknown field \\"message\\"' in warned.headers["warning"]
    assert warned.json["note"] == "blue"
    assert strict.code == 400


async def test_owners_name_the_fields_as_their_group_does(api: Client) -> None:
    made = await api("POST", NEW, modern())
    (entry,) = made.json["metadata"]["managedFields"]
    assert entry["apiVersion"] == "events.k8s.io/v1"
    assert set(entry["fieldsV1"]) == {f"f:{name}" for name in modern() if name not in (
        "apiVersion", "kind", "metadata")}  # fmt: skip

    changed = await api("PATCH", f"{OLD}/new", {"message": "red"}, kind=MERGE)

    assert [
        (e["apiVersion"], e["fieldsV1"]) for e in changed.json["metadata"]["managedFields"]
    ] == [("v1", {"f:message": {}})]


async def test_server_side_apply_in_both_groups(api: Client) -> None:
    apply = "application/apply-patch+yaml"
    made = await api("PATCH", f"{NEW}/new?fieldManager=x", modern(), kind=apply)
    again = await api("PATCH", f"{NEW}/new?fieldManager=x", modern(), kind=apply)
    other = await api("PATCH", f"{NEW}/new?fieldManager=y", modern(note="red"), kind=apply)

    assert made.code == 201
    assert again.json == made.json
    assert other.code == 409
    assert other.json["details"]["causes"][0]["field"] == ".note"


async def test_recorder_that_speaks_protobuf(api: Client) -> None:
    """client-go sends built-in kinds so, if it is told to."""
    regarding = chunk(1, b"Widget") + chunk(2, b"default") + chunk(3, b"a")
    time = number(1, 1767225600) + number(2, 500_000_000)
    parts = {
        1: chunk(1, b"pb"), 2: time, 4: b"example.com/c", 5: b"c-1", 6: b"Paint", 7: b"Painted",
        8: regarding, 10: b"blue", 11: b"Normal", 12: b"", 13: b"", 14: b"",
    }  # fmt: skip
    body = envelope(
        "events.k8s.io/v1", "Event", b"".join(chunk(field, part) for field, part in parts.items())
    )

    made = await api("POST", NEW, body, kind="application/vnd.kubernetes.protobuf")

    assert made.code == 201, made.json
    assert made.json["eventTime"] == "2026-01-01T00:00:00.500000Z"
    assert made.json["regarding"]["name"] == "a"


async def test_rights_are_those_of_the_group(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, admin):
        tenant = Client(server, server.issue_token("tina", []))
        rule = {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["list"]}
        roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
        await admin("POST", f"{roles}/roles", {"metadata": {"name": "r"}, "rules": [rule]})
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
        subject = {"kind": "User", "name": "tina"}
        binding = {"metadata": {"name": "r"}, "roleRef": reference, "subjects": [subject]}
        await admin("POST", f"{roles}/rolebindings", binding)

        assert (await tenant("GET", NEW)).code == 200
        assert (await tenant("GET", OLD)).code == 403
