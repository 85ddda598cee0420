"""Every kind becomes a structural CustomResourceDefinition."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from isthmus.api.crd import crd
from isthmus.api.v1alpha1 import KINDS
from tests.factories import an_instance


def schema_of(kind):
    return crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema node, but not the names of properties."""
    yield schema
    for child in schema.get("properties", {}).values():
        yield from nodes(child)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key])


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_structural(kind):
    for node in nodes(schema_of(kind)):
        forbidden = {"$ref", "anyOf", "oneOf", "$defs"} & set(node)
        assert not forbidden, "https://kubernetes.io: a structural schema forbids these"
        assert node.get("type"), f"a structural schema types every node: {node}"
        assert node.get("default", "x") is not None


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_found_by_kubectl(kind):
    manifest = crd(kind)
    names = manifest["spec"]["names"]
    assert names["categories"] == ["isthmus"]
    assert names["shortNames"]
    assert manifest["metadata"]["name"] == f"{names['plural']}.isthmus.dev"


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_every_field_of_a_spec_is_explained(kind):
    spec = schema_of(kind)["properties"]["spec"]
    silent = [name for name, field in spec["properties"].items() if not field.get("description")]
    obvious = {"title", "description", "target", "actions", "prices", "definition", "offering"}
    assert set(silent) <= obvious | {"plans", "documentation"}


def test_short_names_do_not_clash():
    short = [name for kind in KINDS for name in kind.names.short]
    assert len(short) == len(set(short))


def test_what_we_write_fits_the_schema():
    instance = an_instance(parameters={"nodes": 2})
    jsonschema_rs.validate(schema_of(type(instance)), instance.dump())


def test_dump_and_parse_agree():
    instance = an_instance(parameters={"nodes": 2}, ignore_fields=["a.b"])
    assert type(instance).parse(instance.dump()) == instance
