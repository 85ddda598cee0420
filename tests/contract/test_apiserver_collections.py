"""What may be deleted at once, and from where: never more than a caller can have meant."""

from typing import Any

import pytest

from tests.apiserver_client import WIDGETS, Client, widget

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
NAMESPACES = "/api/v1/namespaces"


async def names(api: Client, path: str) -> list[str]:
    return [item["metadata"]["name"] for item in (await api("GET", path)).json["items"]]


async def test_namespaces_are_not_deleted_all_at_once(api: Client) -> None:
    await api("POST", NAMESPACES, {"metadata": {"name": "a-team"}})
    inside = CONFIG_MAPS.replace("default", "a-team")
    await api("POST", inside, {"metadata": {"name": "kept"}})

    for query in ("", "?dryRun=All", "?labelSelector=x%3Dy"):
        refused = await api("DELETE", NAMESPACES + query)
        assert (refused.code, refused.json["reason"]) == (405, "MethodNotAllowed")

    team = (await api("GET", f"{NAMESPACES}/a-team")).json
    assert team["status"]["phase"] == "Active"
    assert await names(api, inside) == ["kept"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/apis/example.com/v1/widgets", 404),
        ("/api/v1/configmaps", 405),
        ("/api/v1/secrets", 405),
        ("/apis/events.k8s.io/v1/events", 405),
        ("/apis/rbac.authorization.k8s.io/v1/roles", 405),
    ],
)
async def test_nothing_is_emptied_across_namespaces(api: Client, path: str, code: int) -> None:
    await api("POST", WIDGETS, widget())
    await api("POST", CONFIG_MAPS, {"metadata": {"name": "kept"}})

    assert (await api("DELETE", path)).code == code
    assert (await api("DELETE", f"{path}?dryRun=All")).code == code
    assert (await api("POST", path, {"metadata": {"name": "x"}})).code == code

    assert await names(api, WIDGETS) == ["a"]
    assert await names(api, CONFIG_MAPS) == ["kept"]


async def test_discovery_tells_what_can_be_done_with_namespaces(api: Client) -> None:
    found = (await api("GET", "/api/v1")).json["resources"]
    verbs = {entry["name"]: entry["verbs"] for entry in found}
    assert "deletecollection" not in verbs["namespaces"]
    assert "deletecollection" in verbs["configmaps"]
    assert verbs["namespaces/finalize"] == ["update"]


@pytest.mark.parametrize("condition", ["uid", "resourceVersion"])
async def test_a_condition_that_one_object_does_not_meet_spares_all(
    api: Client, condition: str
) -> None:
    first = (await api("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})).json
    await api("POST", CONFIG_MAPS, {"metadata": {"name": "b"}})

    wanted = {"preconditions": {condition: first["metadata"][condition]}}
    refused = await api("DELETE", CONFIG_MAPS, wanted)

    assert (refused.code, refused.json["details"]["name"]) == (409, "b")
    assert await names(api, CONFIG_MAPS) == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "Foo", "apiVersion": "v2"},
        {"kind": "Status"},
        {"gracePeriodSeconds": "x"},
        {"preconditions": [1]},
        {"dryRun": "All"},
        [],
    ],
)
@pytest.mark.parametrize("path", [CONFIG_MAPS, f"{CONFIG_MAPS}/a"])
async def test_a_body_that_is_no_delete_options_deletes_nothing(
    api: Client, path: str, body: Any
) -> None:
    await api("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})

    assert (await api("DELETE", path, body)).code == 400

    assert await names(api, CONFIG_MAPS) == ["a"]


async def test_a_body_leaves_the_parameters_unread(api: Client) -> None:
    held = {"metadata": {"name": "a", "finalizers": ["example.com/hold"]}}
    await api("POST", CONFIG_MAPS, held)

    query = "?propagationPolicy=Nothing&gracePeriodSeconds=x"
    marked = await api("DELETE", f"{CONFIG_MAPS}/a{query}", {"orphanDependents": False})

    assert marked.code == 202
    assert marked.json["metadata"]["finalizers"] == ["example.com/hold"]


@pytest.mark.parametrize("body", [None, {}, {"dryRun": ["All"]}])
async def test_who_asks_for_a_dry_run_gets_one(api: Client, body: Any) -> None:
    await api("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})

    assert (await api("DELETE", f"{CONFIG_MAPS}/a?dryRun=All", body)).code == 200

    assert await names(api, CONFIG_MAPS) == ["a"]


@pytest.mark.parametrize(
    ("query", "code"), [("uid=x", 409), ("resourceVersion=1", 409), ("dryRun=Some", 422),
                        ("propagationPolicy=", 422)]
)  # fmt: skip
async def test_parameters_alone_are_options(api: Client, query: str, code: int) -> None:
    await api("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})

    assert (await api("DELETE", f"{CONFIG_MAPS}/a?{query}")).code == code

    assert await names(api, CONFIG_MAPS) == ["a"]
