"""Server-side apply, and how it lives with the other ways to write."""

from typing import Any

import orjson
import pytest

from tests.apiserver_client import WIDGETS, Answer, Client, widget

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


async def apply(api: Client, manager: str, body: Any, more: str = "") -> Answer:
    name = body["metadata"]["name"]
    return await api("PATCH", f"{WIDGETS}/{name}?fieldManager={manager}{more}", body, kind=APPLY)


def owners(answer: Answer) -> dict[str, Any]:
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in answer.json["metadata"]["managedFields"]
    }


async def test_apply_creates_and_owns(api: Client) -> None:
    made = await apply(api, "x", widget(size=3))

    assert made.code == 201
    assert owners(made) == {("x", "Apply"): {"f:spec": {"f:size": {}}}}
    assert made.json["spec"]["color"] == "red"


async def test_applying_again_writes_nothing(api: Client) -> None:
    made = await apply(api, "x", widget(tags=["a", "b"]))

    again = await apply(api, "x", widget(tags=["a", "b"]))

    assert again.code == 200
    assert again.json == made.json


async def test_conflict_and_force(api: Client) -> None:
    await api("POST", WIDGETS, widget(size=1))

    refused = await apply(api, "x", widget(size=2))
    assert refused.code == 409
    assert refused.json["details"]["causes"][0] == {
        "reason": "FieldManagerConflict",
        "message": refused.json["details"]["causes"][0]["message"],
        "field": ".spec.size",
    }

    forced = await apply(api, "x", widget(size=2), "&force=true")
    assert forced.json["spec"]["size"] == 2
    assert "f:size" not in owners(forced).get(("test", "Update"), {}).get("f:spec", {})


async def test_shared_lists_are_merged_by_key(api: Client) -> None:
    await apply(api, "x", widget(ports=[{"name": "http", "port": 80}], tags=["x"]))
    both = await apply(api, "y", widget(ports=[{"name": "https", "port": 443}], tags=["y"]))
    assert [port["name"] for port in both.json["spec"]["ports"]] == ["http", "https"]
    assert both.json["spec"]["tags"] == ["x", "y"]

    left = await apply(api, "x", widget())

    assert left.json["spec"]["ports"] == [{"name": "https", "port": 443}]
    assert left.json["spec"]["tags"] == ["y"]


async def test_field_that_two_own_stays_until_both_let_go(api: Client) -> None:
    await apply(api, "x", widget(text="same"))
    await apply(api, "y", widget(text="same"))

    assert (await apply(api, "x", widget())).json["spec"]["text"] == "same"
    assert "text" not in (await apply(api, "y", widget())).json["spec"]


async def test_removed_default_comes_back_as_default(api: Client) -> None:
    await apply(api, "x", widget(color="green"))

    assert (await apply(api, "x", widget())).json["spec"]["color"] == "red"


async def test_status_is_applied_apart(api: Client) -> None:
    await apply(api, "x", widget())
    body = {**widget(size=9), "status": {"ready": True}}

    after = await api("PATCH", f"{WIDGETS}/a/status?fieldManager=ctl", body, kind=APPLY)

    assert after.json["status"] == {"ready": True}
    assert after.json["spec"]["size"] == 1


async def test_controllers_status_writes_are_no_conflict_for_appliers(api: Client) -> None:
    made = (await apply(api, "x", widget(size=1))).json
    made["status"] = {"n": 1}
    await api("PUT", f"{WIDGETS}/a/status", made)

    assert (await apply(api, "x", widget(size=2))).code == 200


async def test_invalid_result_is_refused_and_nothing_changes(api: Client) -> None:
    await apply(api, "x", widget(size=1))

    assert (await apply(api, "x", widget(size=0))).code == 422
    assert (await api("GET", f"{WIDGETS}/a")).json["spec"]["size"] == 1


async def test_stale_version_in_applied_object_is_a_conflict(api: Client) -> None:
    await apply(api, "x", widget(size=1))
    stale = widget(size=2)
    stale["metadata"]["resourceVersion"] = "1"

    assert (await apply(api, "x", stale)).code == 409


@pytest.mark.parametrize(
    ("query", "change", "code"),
    [
        ("", {}, 422),
        ("?fieldManager=x", {"kind": "Other"}, 400),
        ("?fieldManager=x", {"apiVersion": "example.com/v9"}, 400),
        ("?fieldManager=x", {"metadata": {"name": "other"}}, 400),
        ("?fieldManager=x", {"metadata": {"name": "a", "managedFields": [{}]}}, 400),
        ("?fieldManager=x", {"metadata": []}, 400),
    ],
)
async def test_what_apply_refuses(api: Client, query: str, change: Any, code: int) -> None:
    refused = await api("PATCH", f"{WIDGETS}/a{query}", {**widget(), **change}, kind=APPLY)

    assert refused.code == code


async def test_dry_run_tells_and_keeps_nothing(api: Client) -> None:
    told = await apply(api, "x", widget(size=5), "&dryRun=All")

    assert (told.code, told.json["spec"]["size"]) == (201, 5)
    assert (await api("GET", f"{WIDGETS}/a")).code == 404


async def test_unknown_field_in_apply_is_named(api: Client) -> None:
    refused = await apply(api, "x", widget(odd=1))

    assert refused.code == 400
    assert ".spec.odd: field not declared in schema" in refused.json["message"]


async def test_yaml_is_applied(api: Client) -> None:
    text = b"apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: a}\nspec:\n  size: 4\n"

    made = await api("PATCH", f"{WIDGETS}/a?fieldManager=x", text, kind=APPLY)

    assert made.json["spec"]["size"] == 4


LAST = "kubectl.kubernetes.io/last-applied-configuration"


async def applied_by_kubectl_itself(api: Client) -> None:
    """As kubectl does it without the server's help."""
    said = orjson.dumps(widget(size=1)).decode()
    body = widget(size=1)
    body["metadata"]["annotations"] = {LAST: said}
    await api("POST", f"{WIDGETS}?fieldManager=kubectl-client-side-apply", body)


async def test_apply_by_kubectl_writes_on_what_it_applied_itself(api: Client) -> None:
    await applied_by_kubectl_itself(api)

    await apply(api, "kubectl", widget(size=2, text="<a>"))

    metadata = (await api("GET", f"{WIDGETS}/a")).json["metadata"]
    assert metadata["annotations"][LAST].endswith('"spec":{"size":2,"text":"\\u003ca\\u003e"}}\n')


async def test_apply_by_others_leaves_what_kubectl_applied(api: Client) -> None:
    await applied_by_kubectl_itself(api)

    answer = await apply(api, "other", widget(size=2), "&force=true")

    assert orjson.loads(answer.json["metadata"]["annotations"][LAST]) == widget(size=1)


async def test_kubectl_takes_only_what_is_as_it_applied_it(api: Client) -> None:
    await applied_by_kubectl_itself(api)
    await api("PATCH", f"{WIDGETS}/a?fieldManager=other", {"spec": {"size": 5}}, kind=MERGE)

    refused = await apply(api, "kubectl", widget(size=2))

    assert [cause["field"] for cause in refused.json["details"]["causes"]] == [".spec.size"]


async def test_only_an_apply_can_be_forced(api: Client) -> None:
    await api("POST", WIDGETS, widget())

    refused = await api("PATCH", f"{WIDGETS}/a?force=true", {"spec": {"size": 2}}, kind=MERGE)

    assert refused.code == 422
    assert refused.json["details"]["causes"][0]["field"] == "force"


async def test_an_apply_that_creates_ignores_a_version(api: Client) -> None:
    body = widget()
    body["metadata"]["resourceVersion"] = "1"

    assert (await apply(api, "x", body)).code == 201
