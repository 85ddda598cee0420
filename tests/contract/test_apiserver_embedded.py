"""Objects within objects have a kind and metadata as any object has."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver_client import DEFINITIONS, WIDGETS, Client, running, widget, widget_definition

APPLY = "application/apply-patch+yaml"
INNER = {"type": "object", "x-kubernetes-embedded-resource": True,
         "x-kubernetes-preserve-unknown-fields": True}  # fmt: skip


@pytest.fixture
async def api(tmp_path: Path) -> AsyncGenerator[Client]:
    definition = widget_definition()
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"] |= {
        "inner": INNER,
        "many": {"type": "array", "items": INNER},
        "named": {"type": "object", "additionalProperties": INNER},
    }
    async with running(tmp_path / "data") as (_, client):
        assert (await client("POST", DEFINITIONS, definition)).code == 201
        yield client


def thing(**metadata: Any) -> Any:
    return {"apiVersion": "v1", "kind": "Thing", "metadata": metadata, "more": {"a": 1}}


async def test_unknown_fields_of_inner_metadata_go_and_are_told(api: Client) -> None:
    body = widget(inner=thing(name="x"), many=[thing(name="y", labels={})], named={"a": thing(b=1)})

    made = await api("POST", WIDGETS, body)

    assert made.code == 201
    spec = made.json["spec"]
    assert spec["named"]["a"]["metadata"] == {}
    assert spec["inner"]["more"] == {"a": 1}
    assert spec["many"][0]["metadata"] == {"name": "y"}
    assert 'unknown field \\"spec.named.a.metadata.b\\"' in made.headers["warning"]


async def test_strict_writers_are_refused(api: Client) -> None:
    refused = await api("POST", f"{WIDGETS}?fieldValidation=Strict", widget(inner=thing(nome="x")))

    assert refused.code == 400
    assert 'unknown field "spec.inner.metadata.nome"' in refused.json["message"]
    applied = await api(
        "PATCH", f"{WIDGETS}/a?fieldManager=m", widget(inner=thing(nome="x")), kind=APPLY
    )
    assert applied.code == 400
    assert "spec.inner.metadata.nome" in applied.json["message"]


@pytest.mark.parametrize(
    ("inner", "code", "field"),
    [
        ({"apiVersion": "", "kind": "T"}, 422, "spec.inner.apiVersion"),
        ({"apiVersion": "a/b/c", "kind": "T"}, 422, "spec.inner.apiVersion"),
        ({"apiVersion": "v1", "kind": "T_x"}, 422, "spec.inner.kind"),
        ({"apiVersion": "v1"}, 422, "spec.inner.kind"),
        (thing(name="a/b"), 422, "spec.inner.metadata.name"),
        (thing(labels={"a b": "c"}), 422, "spec.inner.metadata.labels"),
        (thing(finalizers=["a b"]), 422, "spec.inner.metadata.finalizers"),
        ({"apiVersion": 1, "kind": "T"}, 400, ""),
        (thing(labels={"a": 1}), 400, ""),
        ({"apiVersion": "v1", "kind": "T", "metadata": "word"}, 400, ""),
    ],
)
async def test_what_is_no_object_is_refused(api: Client, inner: Any, code: int, field: str) -> None:
    refused = await api("POST", WIDGETS, widget(inner=inner))

    assert refused.code == code
    assert not field or refused.json["details"]["causes"][0]["field"] == field


async def test_inner_metadata_has_owners_field_by_field(api: Client) -> None:
    for manager, name in (("one", "x"), ("two", "y")):
        inner = thing(labels={name: "a"}, finalizers=[f"{name}.com/hold"])
        body = {**widget(), "spec": {"inner": inner}}
        if manager == "one":
            body["spec"]["size"] = 1
        done = await api("PATCH", f"{WIDGETS}/a?fieldManager={manager}", body, kind=APPLY)
        assert done.code in (200, 201), done.json

    metadata = (await api("GET", f"{WIDGETS}/a")).json["spec"]["inner"]["metadata"]
    assert metadata == {
        "labels": {"x": "a", "y": "a"},
        "finalizers": ["x.com/hold", "y.com/hold"],
    }
