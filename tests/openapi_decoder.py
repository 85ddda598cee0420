"""Decodes OpenAPI v2 in protobuf by the table that encodes it, for tests."""

import struct
from collections.abc import Iterator
from typing import Any

import yaml

from isthmus.apiserver.openapi_protobuf import MESSAGES

JsonObject = dict[str, Any]
_PARAMETERS: dict[tuple[int, ...], str] = {
    (1,): "BodyParameter",
    (2, 3): "QueryParameter",
    (2, 4): "PathParameter",
}


def decode(body: bytes) -> JsonObject:
    """The document, but for what the table does not know."""
    return _message("Document", body)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        shift, place = shift + 7, place + 1
        if byte < 0x80:
            return value, place


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        if tag & 7 == 0:
            value, place = _varint(data, place)
        elif tag & 7 == 1:
            value, place = struct.unpack_from("<d", data, place)[0], place + 8
        else:
            assert tag & 7 == 2, f"wire type of {tag}"
            size, place = _varint(data, place)
            value, place = data[place : place + size], place + size
            assert len(value) == size
        yield tag >> 3, value


def _message(name: str, data: bytes) -> JsonObject:
    known = {number: (field, kind) for field, (number, kind) in MESSAGES[name].items()}
    out: JsonObject = {}
    for number, raw in _fields(data):
        if number not in known:
            continue
        field, kind = known[number]
        if field == "x-":
            pair = dict(_fields(raw))
            out[pair[1].decode()] = _value(kind, pair[2])
        elif kind.startswith("[]"):
            value = _value(kind[2:], raw)
            out.setdefault(field, []).extend([] if value is None else [value])
        else:
            out[field] = _value(kind, raw)
    return out


def _value(kind: str, raw: Any) -> Any:
    if kind.startswith("{"):
        pairs = [dict(_fields(part)) for number, part in _fields(raw) if number == int(kind[1])]
        return {pair[1].decode(): _value(kind[3:], pair.get(2, b"")) for pair in pairs}
    if kind[1:2] == ">":
        inner = dict(_fields(raw)).get(int(kind[0]))
        return None if inner is None else _value(kind[2:], inner)
    if kind == "given":
        ((number, inner),) = _fields(raw)
        return _message("JsonReference", inner) if number == 2 else _parameter(inner)
    if kind == "parameter":
        return _parameter(raw)
    if kind == "additional":
        ((number, inner),) = _fields(raw)
        return bool(inner) if number == 2 else _message("Schema", inner)
    if kind in MESSAGES:
        return _message(kind, raw)
    if kind == "yaml":
        return yaml.safe_load(raw)
    if kind == "bool":
        return bool(raw)
    return raw.decode() if kind == "string" else raw


def _parameter(raw: bytes, path: tuple[int, ...] = ()) -> JsonObject:
    ((number, inner),) = _fields(raw)
    place = (*path, number)
    return _message(_PARAMETERS[place], inner) if place in _PARAMETERS else _parameter(inner, place)
