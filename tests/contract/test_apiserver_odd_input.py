"""What is odd is answered or refused like anything else: no server error, and nothing stays."""

import base64
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

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
QUOTAS = "/api/v1/namespaces/default/resourcequotas"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
LOOSE: dict[str, Any] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    async with running(tmp_path / "data") as (_, client):
        yield client


def widgets_with(spec: Any, **version: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": spec, "status": LOOSE}}
    return widget_definition(schema={"openAPIV3Schema": schema}, **version)


def token(*parts: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"resourceVersion={'1' * 5000}", 400),
        (f"watch=1&resourceVersion={'1' * 5000}", 400),
        ("resourceVersion=%D9%A3", 400),
        (f"continue={token(10**9, 'default', 'a')}", 410),
        (f"continue={token(1.5, 'default', 'a')}", 400),
        (f"continue={base64.urlsafe_b64encode(b'[1e999,1,1]').decode()}", 400),
    ],
    ids=["long", "long watch", "arabic", "future page", "half", "endless"],
)
async def test_versions_that_nobody_gave_out(api: Client, query: str, code: int) -> None:
    assert (await api("GET", f"{CONFIG_MAPS}?{query}")).code == code


async def test_a_time_without_a_zone_does_not_spoil_the_whole_table(api: Client) -> None:
    columns = [{"name": "When", "type": "date", "jsonPath": ".spec.when"}]
    await api("POST", DEFINITIONS, widgets_with(LOOSE, additionalPrinterColumns=columns))
    for name, when in (("a", "2024-01-01T00:00:00"), ("b", "20240101"), ("c", "x")):
        await api("POST", WIDGETS, widget(name, when=when))

    table = await api("GET", WIDGETS, accept=TABLE)

    assert [row["cells"][1] for row in table.json["rows"]] == ["<invalid>"] * 3


async def test_limits_of_a_quota_may_have_many_digits(tmp_path: Path) -> None:
    hard = {"count/configmaps": "1e999999999", "configmaps": "9" * 400, "secrets": "0e999999999"}
    tiny = {"metadata": {"name": "t"}, "spec": {"hard": {"secrets": "1e-999999999"}}}
    async with running(tmp_path) as (_, api):
        made = await api("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
        assert made.code == 201
        assert (await api("POST", QUOTAS, tiny)).code == 422
        assert (await api("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})).code == 201
        refused = await api(
            "POST", CONFIG_MAPS.replace("configmaps", "secrets"), {"metadata": {"name": "a"}}
        )
        assert refused.code == 403
    async with running(tmp_path) as (_, api):
        assert (await api("POST", CONFIG_MAPS, {"metadata": {"name": "b"}})).code == 201


async def test_metrics_tell_of_nothing_that_a_quota_only_names(api: Client) -> None:
    hard = {'count/x"} 1\nevil{a="b.example.com': "1", "count/nothings.example.com": "1"}
    await api("POST", QUOTAS, {"metadata": {"name": "q"}, "spec": {"hard": hard}})
    await api("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})

    text = (await api("GET", "/metrics")).body

    assert b"evil" not in text
    assert b"nothings" not in text


async def test_true_is_not_one(api: Client) -> None:
    """Which Python holds for equal: such a change was acknowledged and not made."""
    await api("POST", DEFINITIONS, widgets_with(LOOSE))
    made = (await api("POST", WIDGETS, widget(x=1, parts=[{"on": 0}]))).json
    for spec in ({"x": True, "parts": [{"on": 0}]}, {"x": True, "parts": [{"on": False}]}):
        wanted = {**made, "spec": spec}
        wanted["metadata"] = {**made["metadata"], "resourceVersion": None, "generation": None}
        changed = await api("PATCH", f"{WIDGETS}/a", {"spec": spec}, kind=MERGE)
        assert changed.code == 200
        stored = await api("GET", f"{WIDGETS}/a")
        assert orjson.dumps(stored.json["spec"]) == orjson.dumps(changed.json["spec"])
        assert b"true" in stored.body
    assert stored.json["metadata"]["generation"] == 3
    assert b'"on":false' in stored.body
    again = await api("PATCH", f"{WIDGETS}/a", {"spec": {"x": True}}, kind=MERGE)
    assert again.json["metadata"]["resourceVersion"] == stored.json["metadata"]["resourceVersion"]


async def test_who_makes_true_of_one_owns_it(api: Client) -> None:
    await api("POST", DEFINITIONS, widgets_with(LOOSE))
    path, kind = f"{WIDGETS}/a?fieldManager=", "application/apply-patch+yaml"
    await api("PATCH", f"{path}one", widget(x=1), kind=kind)

    refused = await api("PATCH", f"{path}two", widget(x=True), kind=kind)

    assert refused.code == 409
    tested = [{"op": "test", "path": "/spec/x", "value": True}]
    assert (await api("PATCH", f"{WIDGETS}/a", tested, kind=JSON_PATCH)).code == 422


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ({"type": "string", "allOf": [{"maxLength": 2}]}, "long"),
        ({"type": "string", "anyOf": [{"format": "ipv4"}, {"maxLength": 1}]}, "long"),
        ({"type": "string", "allOf": [{"format": "ipv4"}]}, "long"),
        ({"type": "string", "not": {"minLength": 2}}, "long"),
        ({"type": "array", "items": {"type": "string"}, "allOf": [{"minItems": 2}]}, ["a"]),
        ({"type": "array", "items": {"type": "string"}, "oneOf": [{"maxItems": 0}]}, ["a"]),
        ({"type": "object", "allOf": [{"maxProperties": 0}], **LOOSE}, {"a": 1}),
        ({"type": "object", "allOf": [{"required": ["b"]}], **LOOSE}, {"a": 1}),
        ({"type": "object", "allOf": [{"minProperties": 3}], **LOOSE}, {"a": 1}),
        ({"type": "integer", "allOf": [{"maximum": 1}, {"multipleOf": 2}]}, 3),
    ],
)
async def test_what_is_wrong_within_a_part_of_a_schema(api: Client, part: Any, value: Any) -> None:
    defined = await api(
        "POST", DEFINITIONS, widgets_with({"type": "object", "properties": {"a": part}})
    )
    assert defined.code == 201, defined.body

    refused = await api("POST", WIDGETS, {**widget(), "spec": {"a": value}})

    assert refused.code == 422
    assert {c["field"].split(".b")[0] for c in refused.json["details"]["causes"]} <= {
        "spec.a",
        "<nil>",
    }


async def test_small_steps_do_not_lead_too_deep(api: Client) -> None:
    await api("POST", DEFINITIONS, widgets_with(LOOSE))
    await api("POST", WIDGETS, widget())
    slowly: list[Any] = [
        {"op": "add", "path": "/spec" + "/a" * depth, "value": {}} for depth in range(1, 150)
    ]
    below = "/spec/b" + "/c" * 100
    nest: list[Any] = [
        {"op": "add", "path": below[: 7 + 2 * depth], "value": {}} for depth in range(101)
    ]
    moved: list[Any] = [
        step
        for _ in range(60)
        for step in (*nest, {"op": "move", "from": "/spec/a", "path": f"{below}/d"},
                     {"op": "move", "from": "/spec/b", "path": "/spec/a"})
    ]  # fmt: skip

    first: Any = {"op": "add", "path": "/spec/a", "value": {}}
    for steps in (slowly, [first, *moved]):
        refused = await api("PATCH", f"{WIDGETS}/a", steps, kind=JSON_PATCH)
        assert refused.code in (400, 422), refused.body


async def test_replicas_have_no_place_in_what_is_no_object(api: Client) -> None:
    paths = {"specReplicasPath": ".spec.part.replicas", "statusReplicasPath": ".status.replicas"}
    part = {"type": "object", "nullable": True, "properties": {"replicas": {"type": "integer"}}}
    spec = {"type": "object", "properties": {"part": part}}
    await api("POST", DEFINITIONS, widgets_with(spec, subresources={"scale": paths}))
    await api("POST", WIDGETS, {**widget(), "spec": {"part": None}})

    refused = await api("PATCH", f"{WIDGETS}/a/scale", {"spec": {"replicas": 2}}, kind=MERGE)

    assert refused.code == 422, refused.body


async def test_a_definition_outlives_what_is_written_into_its_status(api: Client) -> None:
    await api("POST", DEFINITIONS, widget_definition())
    path = f"{DEFINITIONS}/widgets.example.com"

    spoilt: list[Any] = [
        {"conditions": [{}]}, {"conditions": None}, {"acceptedNames": {"plural": "", "kind": ""}},
        {"acceptedNames": None}, {"conditions": None, "acceptedNames": None},
    ]  # fmt: skip
    for status in spoilt:
        await api("PATCH", f"{path}/status", {"status": status}, kind=MERGE)
        await until(api, WIDGETS, lambda answer: answer.code == 200)
    assert (await api("PUT", f"{path}/status", (await api("GET", path)).json)).code == 200
    assert (await api("DELETE", path)).code == 200


async def test_what_a_definition_left_behind_holds_no_namespace(api: Client) -> None:
    await api("POST", DEFINITIONS, widget_definition())
    await api("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
    held = {**widget(), "metadata": {"name": "a", "finalizers": ["example.com/a"]}}
    await api("POST", WIDGETS.replace("default", "team"), held)
    await api("DELETE", f"{DEFINITIONS}/widgets.example.com")
    await api(
        "PATCH",
        f"{DEFINITIONS}/widgets.example.com",
        {"metadata": {"finalizers": None}},
        kind=MERGE,
    )
    assert (await api("GET", f"{DEFINITIONS}/widgets.example.com")).code == 404

    await api("DELETE", "/api/v1/namespaces/team")

    await until(api, "/api/v1/namespaces/team", gone)


async def test_generated_names_fit_into_a_label(api: Client) -> None:
    base = "a" * 200
    made = (await api("POST", CONFIG_MAPS, {"metadata": {"generateName": base}})).json

    assert len(made["metadata"]["name"]) == 63
    refused = await api("POST", CONFIG_MAPS, {"metadata": {"generateName": ""}})
    assert refused.code == 422


async def test_the_prefix_of_a_label_has_a_length(api: Client) -> None:
    labels = {"a" * 254 + "/b": "c"}

    refused = await api("POST", CONFIG_MAPS, {"metadata": {"name": "a", "labels": labels}})

    assert refused.code == 422
    assert "prefix part must be no more than 253" in refused.json["message"]


@pytest.mark.parametrize("path", [CONFIG_MAPS, f"{CONFIG_MAPS}/a", "/api/v1/namespaces/x"])
async def test_yaml_says_what_json_says(api: Client, path: str) -> None:
    for name in ("a", "b"):
        data = {"k": "1", "long": "word " * 50, "lines": "a\nb\n", "\u00e9": "\u00e9"}
        await api("POST", CONFIG_MAPS, {"metadata": {"name": name}, "data": data})

    plain, text = await api("GET", path), await api("GET", path, accept="application/yaml")

    assert yaml.safe_load(text.body) == plain.json
    assert text.body.decode() == yaml.safe_dump(plain.json, default_flow_style=False)


async def test_long_texts_in_yaml(api: Client) -> None:
    lines = "".join(f"  k{number}: 'v'\n" for number in range(6000))
    text = f"metadata: {{name: a}}\ndata:\n{lines}".encode()

    made, patched, wrong = (
        await api("POST", CONFIG_MAPS, text, kind="application/yaml"),
        await api(
            "PATCH",
            f"{CONFIG_MAPS}/a?fieldManager=m&force=true",
            b"apiVersion: v1\nkind: ConfigMap\n" + text,
            kind="application/apply-patch+yaml",
        ),
        await api("POST", CONFIG_MAPS, text + b"]", kind="application/yaml"),
    )

    assert (made.code, patched.code, wrong.code) == (201, 200, 400)
    assert len(made.json["data"]) == len(patched.json["data"]) == 6000


async def test_a_thousand_mistakes_are_told_in_few_words(api: Client) -> None:
    await api("POST", DEFINITIONS, widget_definition())
    labels = {f"\u00e9{number}": "!" for number in range(5000)}

    refused = await api("POST", CONFIG_MAPS, {"metadata": {"name": "a", "labels": labels}})
    unknown: Any = {f"u{number}": 1 for number in range(5000)}
    made = await api("POST", WIDGETS, widget(**unknown))

    assert len(refused.body) < 1024 * 1024
    assert refused.json["message"].endswith(", and 9800 more]")
    assert made.code == 201
    assert 0 < len(made.warnings) < 300
