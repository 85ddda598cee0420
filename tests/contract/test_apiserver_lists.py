"""Lists: selection, pages of one moment, tables, partial objects."""

from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.apiserver_client import DEFINITIONS, WIDGETS, Client, running, widget, widget_definition

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    async with running(tmp_path / "data") as (_, client):
        await client("POST", DEFINITIONS, widget_definition())
        for name, color in (("a", "red"), ("b", "green"), ("c", "red"), ("d", "green")):
            body = widget(name, color=color)
            body["metadata"]["labels"] = {"color": color, "name": name}
            await client("POST", WIDGETS, body)
        yield client


async def names(api: Client, query: str) -> list[str]:
    answer = await api("GET", f"{WIDGETS}?{query}")
    assert answer.code == 200, answer.body
    return [item["metadata"]["name"] for item in answer.json["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("labelSelector=" + quote("color=red"), ["a", "c"]),
        ("labelSelector=" + quote("name in (a,d),color!=red"), ["d"]),
        ("fieldSelector=" + quote("metadata.name=b"), ["b"]),
        ("fieldSelector=" + quote("metadata.name!=b,spec.color=green"), ["d"]),
        ("fieldSelector=" + quote("metadata.namespace=other"), []),
        ("fieldSelector=" + quote("metadata.name=zz"), []),
        ("labelSelector=&fieldSelector=&continue=", ["a", "b", "c", "d"]),
        ("watch=False", ["a", "b", "c", "d"]),
    ],
)
async def test_selection(api: Client, query: str, expected: list[str]) -> None:
    assert await names(api, query) == expected


@pytest.mark.parametrize(
    "query",
    ["labelSelector=a%3D%3D%3Db", "fieldSelector=spec.text%3Dx", "fieldSelector=x", "limit=many",
     "limit=", "continue=nonsense", "resourceVersion=x", "watch=1&resourceVersion=x"],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(api: Client, query: str) -> None:
    assert (await api("GET", f"{WIDGETS}?{query}")).code == 400


@pytest.mark.parametrize(
    ("selector", "expected"),
    [("x>1", ["ten"]), ("x<10", ["one"]), ("x > 0 , x<100", ["one", "ten"]), ("x>10", list[str]())],
)
async def test_labels_are_compared_as_whole_numbers(
    api: Client, selector: str, expected: list[str]
) -> None:
    for name, value in (("one", "1"), ("ten", "10"), ("word", "9a"), ("huge", "9" * 20)):
        body = widget(name)
        body["metadata"]["labels"] = {"x": value}
        await api("POST", WIDGETS, body)

    assert await names(api, f"labelSelector={quote(selector)}") == expected


@pytest.mark.parametrize("bound", ["a", "", "1.5", "9" * 20])
async def test_labels_are_compared_with_whole_numbers(api: Client, bound: str) -> None:
    refused = await api("GET", f"{WIDGETS}?labelSelector={quote(f'x>{bound}')}")

    assert refused.code == 400
    assert "the value must be an integer" in refused.json["message"]


META = "g=meta.k8s.io"


@pytest.mark.parametrize(
    ("path", "accept", "code"),
    [
        ("", f"application/json;as=Foo;v=v1;{META}", 406),
        ("", f"application/json;as=Table;v=v2;{META}", 406),
        ("", "application/json;as=Table;v=v1;g=nowhere", 406),
        ("", f"application/json;as=Foo;v=v1;{META},application/json", 200),
        ("", f"application/json;as=PartialObjectMetadata;v=v1;{META}", 406),
        ("/a", f"application/json;as=PartialObjectMetadataList;v=v1;{META}", 406),
        ("?includeObject=Foo", f"application/json;as=Table;v=v1;{META}", 400),
        ("?includeObject=Foo", "application/json", 200),
        ("?watch=1&includeObject=Foo", f"application/json;as=Table;v=v1;{META}", 400),
        ("?watch=1", f"application/json;as=Foo;v=v1;{META}", 406),
        ("?watch=1", "application/yaml", 406),
    ],
)
async def test_forms_that_are_not_served(api: Client, path: str, accept: str, code: int) -> None:
    answer = await api("GET", WIDGETS + path, accept=accept)

    assert answer.code == code
    if accept == "application/yaml":
        assert answer.headers["content-type"] == "application/yaml"
        assert b"application/json;stream=watch" in answer.body


@pytest.mark.parametrize("form", ["Table", "PartialObjectMetadataList"])
async def test_a_form_is_answered_in_the_version_that_was_asked_for(api: Client, form: str) -> None:
    for version in ("v1", "v1beta1"):
        accept = f"application/json;as={form};v={version};{META}"
        answer = await api("GET", WIDGETS, accept=accept)
        assert (answer.json["kind"], answer.json["apiVersion"]) == (form, f"meta.k8s.io/{version}")


async def test_every_page_shows_the_moment_of_the_first(api: Client) -> None:
    first = (await api("GET", f"{WIDGETS}?limit=1")).json
    assert first["metadata"]["remainingItemCount"] == 3

    await api("DELETE", f"{WIDGETS}/b")
    await api("POST", WIDGETS, widget("bb"))
    await api("PATCH", f"{WIDGETS}/c", {"spec": {"size": 99}}, kind=MERGE)
    seen = list(first["items"])
    token = first["metadata"]["continue"]
    while token:
        page = (await api("GET", f"{WIDGETS}?limit=2&continue={quote(token)}")).json
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        seen += page["items"]
        token = page["metadata"].get("continue")

    assert [item["metadata"]["name"] for item in seen] == ["a", "b", "c", "d"]
    assert all(item["spec"]["size"] == 1 for item in seen)


@pytest.mark.parametrize("selector", ["", "&labelSelector=color%3Dred"], ids=["all", "some"])
@pytest.mark.parametrize("limit", [1, 3, 7, 50])
async def test_pages_are_the_list_whatever_is_written_between(
    api: Client, limit: int, selector: str
) -> None:
    for number in range(20):
        body = widget(f"n{number:02}", size=number)
        body["metadata"]["labels"] = {"color": "red" if number % 3 else "blue"}
        await api("POST", WIDGETS, body)
    whole = (await api("GET", f"{WIDGETS}?{selector}")).json
    seen: list[object] = []
    query, turn = f"limit={limit}{selector}", 0
    while query:
        page = (await api("GET", f"{WIDGETS}?{query}")).json
        seen += page["items"]
        left = page["metadata"].get("remainingItemCount", 0)
        assert left == (0 if selector else len(whole["items"]) - len(seen))
        token = page["metadata"]["continue"]
        query = f"limit={limit}{selector}&continue={quote(token)}" if token else ""
        await api("DELETE", f"{WIDGETS}/n{turn % 20:02}")
        await api("DELETE", f"{WIDGETS}/n{19 - turn % 20:02}")
        await api("POST", WIDGETS, widget(f"n{turn:02}-new"))
        await api("PATCH", f"{WIDGETS}/n{turn + 1:02}", {"spec": {"size": 99}}, kind=MERGE)
        turn += 1

    assert seen == whole["items"]


async def test_all_namespaces(api: Client) -> None:
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "aaa"}})
    await api("POST", WIDGETS.replace("default", "aaa"), widget("z"))

    listed = (await api("GET", "/apis/example.com/v1/widgets")).json

    places = [(i["metadata"]["namespace"], i["metadata"]["name"]) for i in listed["items"]]
    assert places == [("aaa", "z"), *(("default", name) for name in "abcd")]


async def test_table_has_the_declared_columns(api: Client) -> None:
    table = (await api("GET", WIDGETS, accept=TABLE)).json

    assert table["kind"] == "Table"
    heads = [(c["name"], c["priority"]) for c in table["columnDefinitions"]]
    assert heads == [("Name", 0), ("Size", 0), ("Color", 1)]
    assert table["rows"][0]["cells"] == ["a", 1, "red"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_partial_objects_have_metadata_only(api: Client) -> None:
    listed = (await api("GET", WIDGETS, accept=PARTIAL)).json

    assert listed["kind"] == "PartialObjectMetadataList"
    assert set(listed["items"][0]) == {"kind", "apiVersion", "metadata"}


async def test_list_newer_than_the_server_is_refused(api: Client) -> None:
    refused = await api("GET", f"{WIDGETS}?resourceVersion=999999")

    assert refused.code == 504
    assert refused.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_protobuf_is_answered_as_json(api: Client) -> None:
    accept = "application/vnd.kubernetes.protobuf,application/json"

    answer = await api("GET", "/api/v1/namespaces", accept=accept)

    assert answer.headers["content-type"] == "application/json"
