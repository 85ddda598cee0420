"""Create, read, update, patch and delete, as any Kubernetes client expects them."""

import pytest

from tests.apiserver_client import WIDGETS, Client, widget

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


async def test_created_object_is_defaulted_stamped_and_read_back(api: Client) -> None:
    made = await api("POST", WIDGETS, widget())

    assert made.code == 201
    assert made.json["spec"] == {"size": 1, "color": "red"}
    assert made.json["metadata"]["generation"] == 1
    assert (await api("GET", f"{WIDGETS}/a")).json == made.json


async def test_update_with_an_old_version_is_a_conflict(api: Client) -> None:
    made = (await api("POST", WIDGETS, widget())).json
    await api("PATCH", f"{WIDGETS}/a", {"spec": {"size": 2}}, kind=MERGE)

    assert (await api("PUT", f"{WIDGETS}/a", made)).code == 409


async def test_status_and_spec_are_written_apart(api: Client) -> None:
    made = (await api("POST", WIDGETS, {**widget(), "status": {"lost": True}})).json
    assert "status" not in made
    made["status"], made["spec"]["size"] = {"ready": True}, 9

    after = (await api("PUT", f"{WIDGETS}/a/status", made)).json

    assert (after["status"], after["spec"]["size"]) == ({"ready": True}, 1)
    assert after["metadata"]["generation"] == 1


async def test_update_that_changes_nothing_writes_nothing(api: Client) -> None:
    made = (await api("POST", WIDGETS, widget())).json

    again = (await api("PUT", f"{WIDGETS}/a", made)).json

    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_finalizer_holds_a_deleted_object(api: Client) -> None:
    held = widget()
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await api("POST", WIDGETS, held)

    marked = (await api("DELETE", f"{WIDGETS}/a")).json
    assert marked["metadata"]["deletionTimestamp"]
    assert (await api("GET", f"{WIDGETS}/a")).code == 200

    await api("PATCH", f"{WIDGETS}/a", {"metadata": {"finalizers": None}}, kind=MERGE)
    assert (await api("GET", f"{WIDGETS}/a")).code == 404


async def test_invalid_object_names_its_fields(api: Client) -> None:
    refused = await api("POST", WIDGETS, widget(size="big", color="blue"))

    assert refused.code == 422
    fields = {cause["field"] for cause in refused.json["details"]["causes"]}
    assert fields == {"spec.size", "spec.color"}


async def test_no_object_grows_beyond_what_is_stored(api: Client) -> None:
    """Neither at once nor by many patches; one that is too large may still shrink."""
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}}
    events = "/api/v1/namespaces/default/events"
    refused = await api("POST", events, {**event, "message": "x" * 1_600_000})
    assert (refused.code, refused.json["reason"]) == (413, "RequestEntityTooLarge")
    assert (await api("POST", events, {**event, "message": "x" * 900_000})).code == 201

    merge = "application/merge-patch+json"
    grown = await api("PATCH", f"{events}/e", {"reason": "x" * 900_000}, kind=merge)

    assert grown.code == 413
    assert "at most 1572864 are stored" in grown.json["message"]
    assert (await api("PATCH", f"{events}/e", {"message": "x"}, kind=merge)).code == 200


async def test_writers_under_ever_new_names_share_one_entry(api: Client) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    made = await api("POST", path, {"metadata": {"name": "m", "labels": {"a": "b"}}})
    assert made.code == 201
    merge = "application/merge-patch+json"

    for number in range(30):
        body = {"data": {f"k{number}": "v"}}
        await api("PATCH", f"{path}/m?fieldManager=m{number:02}", body, kind=merge)

    managers = (await api("GET", f"{path}/m")).json["metadata"]["managedFields"]
    assert len(managers) == 10
    assert "ancient-changes" in {m["manager"] for m in managers}
    owned = {name for m in managers for name in m["fieldsV1"].get("f:data", {})}
    assert owned >= {f"f:k{number}" for number in range(30)}


@pytest.mark.parametrize("by", ["POST", "PATCH"])
async def test_nulls_in_maps_of_strings_are_empty_strings(api: Client, by: str) -> None:
    maps = "/api/v1/namespaces/default/configmaps"
    metadata = {"name": "m", "labels": {"app": None}, "annotations": {"note": None}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": None}}
    if by == "POST":
        made = await api("POST", maps, body)
    else:
        made = await api("PATCH", f"{maps}/m?fieldManager=x", body, kind=APPLY)

    assert made.code == 201
    assert made.json["data"] == {"a": ""}
    assert made.json["metadata"]["labels"] == {"app": ""}
    assert made.json["metadata"]["annotations"] == {"note": ""}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (MERGE, b'{"spec":{"size":2,"size":3}}'),
        (
            "application/json-patch+json",
            b'[{"op":"remove","op":"add","path":"/spec/size","value":3}]',
        ),
    ],
)
async def test_a_patch_that_says_a_field_twice_is_told_or_refused(
    api: Client, kind: str, body: bytes
) -> None:
    await api("POST", WIDGETS, widget())

    refused = await api("PATCH", f"{WIDGETS}/a?fieldValidation=Strict", body, kind=kind)
    warned = await api("PATCH", f"{WIDGETS}/a", body, kind=kind)

    assert refused.code == 422
    assert "duplicate field" in refused.json["message"]
    assert warned.code == 200
    assert "duplicate field" in warned.headers["warning"]
