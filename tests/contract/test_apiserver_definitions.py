"""CustomResourceDefinitions of anybody: served, refused with reasons, versioned, scaled."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver_client import DEFINITIONS, WIDGETS, Client, running, widget, widget_definition

MERGE = "application/merge-patch+json"


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    async with running(tmp_path / "data") as (_, client):
        yield client


def changed(path: str, value: Any) -> dict[str, Any]:
    """The definition with one value replaced, by a dotted path."""
    definition = widget_definition()
    place: Any = definition
    *above, last = path.split(".")
    for part in above:
        place = place[int(part) if part.isdecimal() else part]
    place[last] = value
    return definition


SCHEMA = "spec.versions.0.schema"


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("metadata.name", "things.example.com", "metadata.name"),
        ("spec.group", "example", "spec.group"),
        ("spec.scope", "Galaxy", "spec.scope"),
        ("spec.versions", [], "spec.versions"),
        ("spec.versions.0.storage", False, "spec.versions"),
        ("spec.versions.0.name", "V_1", "spec.versions[0].name"),
        (SCHEMA, {}, "spec.validation.openAPIV3Schema"),
        (f"{SCHEMA}.openAPIV3Schema", {"type": "string"},
         "spec.validation.openAPIV3Schema.type"),
        (f"{SCHEMA}.openAPIV3Schema.properties.kind", {"type": "integer"},
         "spec.validation.openAPIV3Schema.properties[kind].type"),
        (f"{SCHEMA}.openAPIV3Schema.properties.spec", {"description": "no type"},
         "spec.validation.openAPIV3Schema.properties[spec].type"),
        (f"{SCHEMA}.openAPIV3Schema.properties.spec", {"type": "object", "$ref": "#/x"},
         "spec.validation.openAPIV3Schema.properties[spec].$ref"),
        (f"{SCHEMA}.openAPIV3Schema.properties.spec.x-kubernetes-validations",
         [{"rule": "self =="}],
         "spec.validation.openAPIV3Schema.properties[spec]"
         ".x-kubernetes-validations[0].rule"),
        (f"{SCHEMA}.openAPIV3Schema.properties.spec.x-kubernetes-validations",
         [{"rule": "true", "messageExpression": "string(self.size) + '!'"}],
         "spec.validation.openAPIV3Schema.properties[spec]"
         ".x-kubernetes-validations[0].messageExpression"),
        ("spec.conversion", {"strategy": "Webhook"}, "spec.conversion.strategy"),
    ],
)  # fmt: skip
async def test_wrong_definition_names_its_field(
    api: Client, path: str, value: Any, field: str
) -> None:
    refused = await api("POST", DEFINITIONS, changed(path, value))

    assert refused.code == 422, refused.body
    assert field in {cause["field"] for cause in refused.json["details"]["causes"]}


async def test_definition_is_served_at_once_and_established(api: Client) -> None:
    made = await api("POST", DEFINITIONS, widget_definition())

    conditions = {c["type"]: c["status"] for c in made.json["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    assert (await api("POST", WIDGETS, widget())).code == 201
    listed = (await api("GET", "/apis/example.com/v1")).json["resources"]
    assert [r["name"] for r in listed] == ["widgets", "widgets/status", "widgets/scale"]


async def test_definition_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        await api("POST", DEFINITIONS, widget_definition())
        made = (await api("POST", WIDGETS, widget())).json
    async with running(tmp_path) as (_, api):
        assert (await api("GET", f"{WIDGETS}/a")).json == made


async def test_versions_differ_in_their_name_only(api: Client) -> None:
    definition = widget_definition()
    old = {**definition["spec"]["versions"][0], "name": "v1beta1", "storage": False,
           "deprecated": True}  # fmt: skip
    definition["spec"]["versions"].append(old)
    await api("POST", DEFINITIONS, definition)
    beta = WIDGETS.replace("v1", "v1beta1")

    made = await api("POST", beta, {**widget(), "apiVersion": "example.com/v1beta1"})

    assert made.json["apiVersion"] == "example.com/v1beta1"
    assert "deprecated" in made.headers["warning"]
    assert (await api("GET", f"{WIDGETS}/a")).json["apiVersion"] == "example.com/v1"
    listed = (await api("GET", beta)).json
    assert listed["apiVersion"] == "example.com/v1beta1"
    assert listed["items"][0]["apiVersion"] == "example.com/v1beta1"
    groups = (await api("GET", "/apis")).json["groups"]
    preferred = {g["name"]: g["preferredVersion"]["version"] for g in groups}
    assert preferred["example.com"] == "v1"


async def test_version_that_is_not_served_is_absent(api: Client) -> None:
    await api("POST", DEFINITIONS, widget_definition(served=False))

    assert (await api("GET", WIDGETS)).code == 404


async def test_scale(api: Client) -> None:
    await api("POST", DEFINITIONS, widget_definition())
    await api("POST", WIDGETS, widget(replicas=1))

    scale = (await api("GET", f"{WIDGETS}/a/scale")).json
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 1})
    scale["spec"]["replicas"] = 5
    assert (await api("PUT", f"{WIDGETS}/a/scale", scale)).json["spec"] == {"replicas": 5}
    of_another = {**scale, "metadata": {"name": "b"}}
    assert (await api("PUT", f"{WIDGETS}/a/scale", of_another)).code == 400
    change = {"spec": {"replicas": 2}}
    await api("PATCH", f"{WIDGETS}/a/scale", change, kind="application/merge-patch+json")

    assert (await api("GET", f"{WIDGETS}/a")).json["spec"]["replicas"] == 2


async def test_rules_are_enforced_through_the_api(api: Client) -> None:
    definition = changed(
        f"{SCHEMA}.openAPIV3Schema.properties.spec.x-kubernetes-validations",
        [{"rule": "self.size >= oldSelf.size", "message": "may only grow"}],
    )
    assert (await api("POST", DEFINITIONS, definition)).code == 201
    await api("POST", WIDGETS, widget(size=5))

    change = {"spec": {"size": 4}}
    kind = "application/merge-patch+json"
    refused = await api("PATCH", f"{WIDGETS}/a", change, kind=kind)

    assert refused.code == 422
    assert "may only grow" in refused.json["message"]


@pytest.mark.parametrize(
    ("mode", "code", "warned"),
    [("Strict", 400, False), ("Warn", 201, True), ("Ignore", 201, False)],
)
async def test_unknown_fields(api: Client, mode: str, code: int, warned: bool) -> None:
    await api("POST", DEFINITIONS, widget_definition())
    body = widget(odd=1)
    body["metadata"]["strange"] = True

    answer = await api("POST", f"{WIDGETS}?fieldValidation={mode}", body)

    assert answer.code == code
    assert ('unknown field \\"spec.odd\\"' in answer.headers.get("warning", "")) is warned
    if code == 201:
        assert "odd" not in answer.json["spec"]
        assert "strange" not in answer.json["metadata"]


async def test_unknown_field_in_a_strict_patch(api: Client) -> None:
    await api("POST", DEFINITIONS, widget_definition())
    await api("POST", WIDGETS, widget())
    kind = "application/merge-patch+json"

    path = f"{WIDGETS}/a?fieldValidation=Strict"
    refused = await api("PATCH", path, {"spec": {"odd": 1}}, kind=kind)

    assert refused.code == 422
    assert 'unknown field "spec.odd"' in refused.json["message"]


async def test_stricter_schema_does_not_block_what_was_there(api: Client) -> None:
    made = (await api("POST", DEFINITIONS, widget_definition())).json
    old = (await api("POST", WIDGETS, widget(size=1))).json
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"][
        "size"
    ]["minimum"] = 5
    assert (await api("PUT", f"{DEFINITIONS}/widgets.example.com", made)).code == 200

    old["status"] = {"ready": True}
    assert (await api("PUT", f"{WIDGETS}/a/status", old)).code == 200
    kind = "application/merge-patch+json"
    assert (await api("PATCH", f"{WIDGETS}/a", {"spec": {"text": "x"}}, kind=kind)).code == 200
    assert (await api("PATCH", f"{WIDGETS}/a", {"spec": {"size": 2}}, kind=kind)).code == 422


async def test_aggregated_discovery_lists_everything_at_once(api: Client) -> None:
    await api("POST", DEFINITIONS, widget_definition())
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

    answer = await api("GET", "/apis", accept=accept)

    found = {item["metadata"]["name"]: item for item in answer.json["items"]}
    entry = found["example.com"]["versions"][0]["resources"][0]
    assert (entry["resource"], entry["shortNames"], entry["categories"]) == (
        "widgets",
        ["wd"],
        ["all"],
    )
    assert {s["subresource"] for s in entry["subresources"]} == {"status", "scale"}


async def test_a_version_that_may_still_hold_objects_must_stay(api: Client) -> None:
    definition = widget_definition()
    (first,) = definition["spec"]["versions"]
    await api("POST", DEFINITIONS, definition)
    crd = f"{DEFINITIONS}/widgets.example.com"
    both = {"spec": {"versions": [{**first, "storage": False}, {**first, "name": "v2"}]}}
    assert (await api("PATCH", crd, both, kind=MERGE)).code == 200
    alone = {"spec": {"versions": [{**first, "name": "v2"}]}}

    refused = await api("PATCH", crd, alone, kind=MERGE)
    await api("PATCH", f"{crd}/status", {"status": {"storedVersions": ["v2"]}}, kind=MERGE)

    assert refused.code == 422
    assert refused.json["details"]["causes"][0]["field"] == "status.storedVersions[0]"
    assert (await api("PATCH", crd, alone, kind=MERGE)).code == 200


@pytest.mark.parametrize(
    ("approval", "code"),
    [("", 422), ("yes", 422), ("https://example.com/pull/1", 201), ("unapproved, a test", 201)],
)
async def test_groups_of_kubernetes_need_an_approval(api: Client, approval: str, code: int) -> None:
    definition = changed("spec.group", "things.k8s.io")
    definition["metadata"] = {"name": "widgets.things.k8s.io"}
    if approval:
        definition["metadata"]["annotations"] = {"api-approved.kubernetes.io": approval}

    answer = await api("POST", DEFINITIONS, definition)

    assert answer.code == code
    if code == 422:
        assert "api-approved.kubernetes.io" in answer.json["details"]["causes"][0]["field"]
