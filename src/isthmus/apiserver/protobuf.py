"""Kubernetes' protobuf bodies, as far as kubectl sends them for built-in kinds: decoding only.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding
"""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from isthmus.apiserver.errors import ApiError, bad_request
from isthmus.apiserver.jsonvalues import Json
from isthmus.apiserver.protobuf_messages import MESSAGES

_MAGIC = b"k8s\0"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DEEPEST = 32


class _Malformed(Exception):
    """The bytes are no protobuf message."""


def decode(body: bytes) -> Json:
    """Decode the envelope and the object within.

    Raises:
        ApiError: 400, the bytes are malformed; 415, the kind is not served in protobuf.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("the body is no Kubernetes protobuf envelope")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        type_meta = dict(_fields(_expect_bytes(envelope.get(1, b""))))
        api_version, kind = _text(type_meta.get(1, b"")), _text(type_meta.get(2, b""))
        named = f"{api_version.rpartition('/')[0]} {kind}"
        name = named if named in MESSAGES else kind
        if name not in MESSAGES:
            raise ApiError(415, "UnsupportedMediaType", f"{kind} is not accepted in protobuf")
        raw = _expect_bytes(envelope.get(2, b""))
        return {"apiVersion": api_version, "kind": kind, **_message(name, raw, 0)}
    except (_Malformed, UnicodeDecodeError, OverflowError, orjson.JSONDecodeError) as error:
        raise bad_request("the protobuf body is malformed") from error


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise _Malformed
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, place
    raise _Malformed


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and raw value of each field."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        wire = tag & 7
        if wire == _VARINT:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            size, place = _varint(data, place)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise _Malformed
        if place + size > len(data):
            raise _Malformed
        yield tag >> 3, data[place : place + size]
        place += size


def _expect_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _Malformed
    return value


def _text(value: int | bytes) -> str:
    return _expect_bytes(value).decode()


def _message(name: str, data: bytes, depth: int) -> Json:
    if depth > _DEEPEST:
        raise _Malformed
    out: Json = {}
    known = MESSAGES[name]
    for number, raw in _fields(data):
        if number not in known:
            continue
        field, kind = known[number]
        if kind.startswith("[]"):
            out.setdefault(field, []).append(_value(kind[2:], raw, depth))
        elif kind.startswith("{}"):
            entry = dict(_fields(_expect_bytes(raw)))
            value = _value(kind[2:], entry.get(2, b""), depth)
            out.setdefault(field, {})[_text(entry.get(1, b""))] = value
        else:
            value = _value(kind, raw, depth)
            # Go writes fields that nobody has set as well; those say nothing.
            if value not in (None, "", {}) and (field, value) != ("generation", 0):
                out[field] = value
    return out


def _value(kind: str, raw: int | bytes, depth: int) -> Any:
    if kind in ("int", "bool"):
        if not isinstance(raw, int):
            raise _Malformed
        signed = raw - (1 << 64) if raw >> 63 else raw
        return bool(raw) if kind == "bool" else signed
    data = _expect_bytes(raw)
    if kind == "string":
        return data.decode()
    if kind == "bytes":
        return base64.b64encode(data).decode()
    if kind == "Quantity":
        return _text(dict(_fields(data)).get(1, b""))
    if kind == "FieldsV1":
        return orjson.loads(_expect_bytes(dict(_fields(data)).get(1, b"{}")))
    if kind in ("Time", "MicroTime"):
        return _time(data, micro=kind == "MicroTime")
    return _message(kind, data, depth + 1)


def _time(data: bytes, *, micro: bool) -> str | None:
    parts = dict(_fields(data))
    seconds, nanos = parts.get(1, 0), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int):
        raise _Malformed
    if not seconds and not nanos:
        return None
    if seconds >> 63:
        return None  # before 1970: Go's zero time
    moment = _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    return moment.strftime("%Y-%m-%dT%H:%M:%S" + (".%fZ" if micro else "Z"))
