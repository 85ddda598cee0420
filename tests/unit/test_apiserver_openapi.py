"""OpenAPI v2: what it says of a schema of v3, and its form in protobuf."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver.openapi_protobuf import encode
from isthmus.apiserver.openapi_v2 import definition
from tests.openapi_decoder import decode
from tests.unit.test_apiserver_decoders import chunk

JsonObject = dict[str, Any]
EMPTY: JsonObject = {}
STRING: JsonObject = {"type": "string"}
OPEN: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TEXTS = st.text(max_size=5)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**53), 2**53) | st.text("abc", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab"), inner, max_size=2),
    max_leaves=4,
)


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({}, optional={
        "$ref": TEXTS, "type": TEXTS, "format": TEXTS, "title": TEXTS, "description": TEXTS,
        "default": VALUES, "example": VALUES, "enum": st.lists(VALUES, min_size=1, max_size=3),
        "minimum": st.floats(allow_nan=False), "multipleOf": st.floats(allow_nan=False),
        "maxLength": st.integers(0, 2**62), "uniqueItems": st.booleans(), "pattern": TEXTS,
        "required": st.lists(TEXTS, min_size=1, max_size=3), "items": inner,
        "properties": st.dictionaries(TEXTS, inner, max_size=3),
        "additionalProperties": st.booleans() | inner, "x-kubernetes-list-type": VALUES,
    })  # fmt: skip


# Fields above 15 have a tag of two bytes.
TYPE_STRING = b"\xb2\x01\x08" + chunk(1, "string")
EXTENSION = b"\xfa\x01\x11" + chunk(1, "x-a") + chunk(2, chunk(2, '{"b":1}\n'))
SCHEMAS = st.recursive(st.just(EMPTY), schemas, max_leaves=6)


@given(st.dictionaries(TEXTS, SCHEMAS, max_size=3))
def test_protobuf_says_what_the_document_says(definitions: dict[str, Any]) -> None:
    document = {"swagger": "2.0", "definitions": definitions}
    assert decode(encode(document)) == document


def test_bytes_of_a_small_document() -> None:
    """By hand, after OpenAPIv2.proto."""
    thing = {"description": "A thing.", "type": "string", "exclusiveMinimum": True, "x-a": {"b": 1}}
    document = {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "1"},
        "definitions": {"Thing": thing},
    }

    schema = chunk(4, "A thing.") + TYPE_STRING + bytes((10 << 3, 1)) + EXTENSION
    assert encode(document) == (
        chunk(1, "2.0")
        + chunk(2, chunk(1, "Kubernetes") + chunk(2, "1"))
        + chunk(9, chunk(1, chunk(1, "Thing") + chunk(2, schema)))
    )


def test_parameters_of_all_kinds() -> None:
    parameters = [
        {"name": "body", "in": "body", "required": True, "schema": {"$ref": "#/definitions/A"}},
        {"name": "dryRun", "in": "query", "type": "string", "uniqueItems": True},
        {"name": "name", "in": "path", "required": True, "type": "string", "uniqueItems": True},
    ]
    answer = {"200": {"description": "OK", "schema": {"$ref": "#/definitions/A"}}}
    operation = {"operationId": "a", "parameters": parameters, "responses": answer, "x-b": [1]}
    paths = {"/a/{name}": {"patch": operation, "parameters": parameters[2:]}}

    assert decode(encode({"paths": paths})) == {"paths": paths}


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"type": "object", "nullable": True, "properties": {"a": STRING}}, {}),
        (OPEN | {"properties": {"a": STRING}}, {"x-kubernetes-preserve-unknown-fields": True}),
        ({"type": "array", "items": OPEN, "nullable": True}, {}),
        ({"type": "array"}, {}),
        (STRING | {"default": "a", "oneOf": [EMPTY], "not": EMPTY, "pattern": "a"},
         STRING | {"pattern": "a"}),
        ({"allOf": [{"$ref": "#/components/schemas/A"}], "default": EMPTY, "description": "d"},
         {"$ref": "#/definitions/A", "description": "d"}),
        ({"type": "object", "required": ["a", "b"],
          "properties": {"a": STRING, "b": STRING | {"nullable": True}}},
         {"type": "object", "required": ["a"], "properties": {"a": STRING, "b": {}}}),
        ({"type": "object", "additionalProperties": STRING | {"nullable": True}},
         {"type": "object", "additionalProperties": {}}),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, STRING]},
         {"x-kubernetes-int-or-string": True}),
    ],
)  # fmt: skip
def test_what_version_2_says_of_a_custom_kind(schema: Any, wanted: Any) -> None:
    assert definition(schema, custom=True) == wanted


def test_built_in_kinds_keep_their_types() -> None:
    schema = {"type": "array", "items": STRING, "nullable": True}
    assert definition(schema, custom=False) == {"type": "array", "items": STRING}
