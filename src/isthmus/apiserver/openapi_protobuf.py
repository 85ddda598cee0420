"""An OpenAPI v2 document as protobuf, the form in which kubectl and Helm ask for it.

Numbers and names of the fields are those of
https://github.com/google/gnostic-models/blob/main/openapiv2/OpenAPIv2.proto , as far as a
Kubernetes API describes itself. A type is a scalar's name or another message; before it, `[]` means
repeated, `3>` that it lies in field 3 of a message of its own, and `{1}` that it is a map, in a
message of its own whose field 1 repeats the pairs. What a document holds beyond this is left out.
"""

import struct
from collections.abc import Iterator
from typing import Any

import orjson

from isthmus.apiserver.jsonvalues import Json

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_ANY = "2>yaml"
"""A value of any type: gnostic carries it as a text of YAML, which every text of JSON is."""

Message = dict[str, tuple[int, str]]

MESSAGES: dict[str, Message] = {
    "Document": {
        "swagger": (1, "string"), "info": (2, "Info"), "paths": (8, "{2}PathItem"),
        "definitions": (9, "{1}Schema"), "parameters": (10, "{1}parameter"),
    },
    "Info": {"title": (1, "string"), "version": (2, "string")},
    "PathItem": {
        "get": (2, "Operation"), "put": (3, "Operation"), "post": (4, "Operation"),
        "delete": (5, "Operation"), "patch": (8, "Operation"),
        "parameters": (9, "[]given"),
    },
    "Operation": {
        "tags": (1, "[]string"), "description": (3, "string"), "operationId": (5, "string"),
        "produces": (6, "[]string"), "consumes": (7, "[]string"),
        "parameters": (8, "[]given"), "responses": (9, "{1}1>Response"),
        "schemes": (10, "[]string"), "x-": (13, _ANY),
    },
    "BodyParameter": {
        "description": (1, "string"), "name": (2, "string"), "in": (3, "string"),
        "required": (4, "bool"), "schema": (5, "Schema"),
    },
    "QueryParameter": {
        "required": (1, "bool"), "in": (2, "string"), "description": (3, "string"),
        "name": (4, "string"), "type": (6, "string"), "uniqueItems": (20, "bool"),
    },
    "PathParameter": {
        "required": (1, "bool"), "in": (2, "string"), "description": (3, "string"),
        "name": (4, "string"), "type": (5, "string"), "uniqueItems": (19, "bool"),
    },
    "JsonReference": {"$ref": (1, "string")},
    "Response": {"description": (1, "string"), "schema": (2, "1>Schema")},
    "Schema": {
        "$ref": (1, "string"), "format": (2, "string"), "title": (3, "string"),
        "description": (4, "string"), "default": (5, _ANY), "multipleOf": (6, "double"),
        "maximum": (7, "double"), "exclusiveMaximum": (8, "bool"), "minimum": (9, "double"),
        "exclusiveMinimum": (10, "bool"), "maxLength": (11, "int"), "minLength": (12, "int"),
        "pattern": (13, "string"), "maxItems": (14, "int"), "minItems": (15, "int"),
        "uniqueItems": (16, "bool"), "maxProperties": (17, "int"), "minProperties": (18, "int"),
        "required": (19, "[]string"), "enum": (20, f"[]{_ANY}"),
        "additionalProperties": (21, "additional"), "type": (22, "1>string"),
        "items": (23, "1>Schema"), "properties": (25, "{1}Schema"), "example": (30, _ANY),
        "x-": (31, _ANY),
    },
}  # fmt: skip
"""`x-` stands for all extensions, which are pairs in one repeated field."""
_PARAMETERS = {
    "body": "1>BodyParameter", "query": "2>3>QueryParameter", "path": "2>4>PathParameter",
}  # fmt: skip


def encode(document: Json) -> bytes:
    """The document's message `Document`."""
    return _message("Document", document)


_SHORT = [bytes((value,)) for value in range(0x80)]


def _varint(value: int) -> bytes:
    if 0 <= value < 0x80:  # Nearly all are tags and short lengths.
        return _SHORT[value]
    out = bytearray()
    value &= 0xFFFF_FFFF_FFFF_FFFF
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _chunk(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _message(name: str, value: Json) -> bytes:
    return b"".join(_fields(MESSAGES[name], value))


def _fields(known: Message, value: Json) -> Iterator[bytes]:
    for name, part in value.items():
        if name in known:
            number, kind = known[name]
            yield _field(number, kind, part)
        elif name.startswith("x-") and "x-" in known:
            number, kind = known["x-"]
            yield _chunk(number, _pair(name, kind, part))


def _pair(name: str, kind: str, value: Any) -> bytes:
    return _chunk(1, name.encode()) + _field(2, kind, value)


def _field(number: int, kind: str, value: Any) -> bytes:
    if kind.startswith("[]"):
        return b"".join(_field(number, kind[2:], part) for part in value)
    if kind.startswith("{"):
        inner = int(kind[1])
        pairs = (_chunk(inner, _pair(name, kind[3:], part)) for name, part in value.items())
        return _chunk(number, b"".join(pairs))
    if kind[1:2] == ">":
        return _chunk(number, _field(int(kind[0]), kind[2:], value))
    if kind == "given":
        form = "2>JsonReference" if "$ref" in value else "1>parameter"
        return _chunk(number, _field(int(form[0]), form[2:], value))
    if kind == "parameter":
        return _field(number, _PARAMETERS[value["in"]], value)
    if kind == "additional":
        return _field(number, "2>bool" if isinstance(value, bool) else "1>Schema", value)
    if kind in MESSAGES:
        return _chunk(number, _message(kind, value))
    return _scalar(number, kind, value)


def _scalar(number: int, kind: str, value: Any) -> bytes:
    if kind in ("bool", "int"):
        return _varint(number << 3 | _VARINT) + _varint(int(value))
    if kind == "double":
        return _varint(number << 3 | _FIXED64) + struct.pack("<d", value)
    text = orjson.dumps(value) + b"\n" if kind == "yaml" else str(value).encode()
    return _chunk(number, text)
