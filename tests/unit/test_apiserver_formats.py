"""Formats of a schema's values; `tests/oracle/chapters/formats.yaml` compares many more."""

import time
from typing import Any

import pytest

from isthmus.apiserver import formats
from isthmus.apiserver.schema import Schema

GOOD_AND_BAD = {
    "bson-object-id": ("507f1f77bcf86cd799439011", "507f"),
    "uri": ("https://example.com/a?b#c", "relative"),
    "email": ("A B <a@b.example>", "a@"),
    "hostname": ("a-b.example", "a_b"),
    "ipv4": ("010.0.0.1", "10.0.0"),
    "ipv6": ("fe80::1", "fe80::1%eth0"),
    "cidr": ("10.0.0.1/8", "10.0.0.0/33"),
    "mac": ("01:23:45:67:89:ab", "01:23-45:67:89:ab"),
    "uuid": ("0123456789abcdef0123456789ABCDEF", "xyz"),
    "uuid4": ("01234567-89ab-4def-8123-456789abcdef", "01234567-89ab-5def-8123-456789abcdef"),
    "isbn10": ("080442957X", "080442957Y"),
    "isbn13": ("978-0321751041", "978-0321751042"),
    "creditcard": ("4111-1111-1111-1111", "4111-1111-1111-1112"),
    "ssn": ("111-11-1111", "111111111"),
    "hexcolor": ("#fff", "#ffff"),
    "rgbcolor": ("rgb(1, 2, 3)", "rgb(1, 2, 256)"),
    "byte": ("YQ==", ""),
    "date": ("2024-02-29", "2023-02-29"),
    "date-time": ("2024-01-01T00:00:00Z", "2024-01-01"),
    "datetime": ("2024-01-01T00:00:00.5+01:00", "2024-01-01T24:00:00Z"),
    "duration": ("5 minutes", "5x"),
    "k8s-short-name": ("a-b", "a.b"),
    "k8s-long-name": ("a.b", "a..b"),
}


def refused(schema: dict[str, Any], value: Any) -> list[tuple[str, str]]:
    whole = Schema({"type": "object", "properties": {"a": schema}}, whole=False)
    return [(cause.field, cause.message) for cause in whole.admit({"a": value})[1]]


@pytest.mark.parametrize("name", GOOD_AND_BAD)
def test_a_string_has_its_format(name: str) -> None:
    good, bad = GOOD_AND_BAD[name]
    schema = {"type": "string", "format": name}

    assert refused(schema, good) == []
    assert refused(schema, bad) == [("a", f'"{bad}": a in body must be of type {name}: "{bad}"')]


@pytest.mark.parametrize(
    ("kind", "name", "good", "bad"),
    [
        ("integer", "int32", -(2**31), 2**31),
        ("integer", "int64", 2**63 - 1, 2**63),
        ("integer", "int16", 2**31, 2**63),
        ("number", "float", 3.4e38, 1e300),
    ],
)
def test_a_number_fits_its_format(kind: str, name: str, good: Any, bad: Any) -> None:
    schema = {"type": kind, "format": name}

    assert refused(schema, good) == []
    why = f'"": Checked value must be of type {kind} with format {name} in a'
    assert refused(schema, bad) == [("<nil>", why)]


def test_narrower_limits_than_those_of_the_format_stay() -> None:
    schema = {"type": "integer", "format": "int32", "maximum": 5, "exclusiveMaximum": True}

    assert refused(schema, 5) == [("a", "5: a in body should be less than 5")]


@pytest.mark.parametrize("schema", [
    {"type": "string", "format": "nothing known"},
    {"type": "number", "format": "double"},
    {"type": "array", "format": "uuid", "items": {"type": "string"}},
])  # fmt: skip
def test_what_is_no_format_of_the_type_is_ignored(schema: dict[str, Any]) -> None:
    value = {"string": "x", "number": 1e300, "array": ["x"]}[schema["type"]]

    assert refused(schema, value) == []


def test_whole_numbers_may_be_written_as_fractions() -> None:
    schema = Schema({"type": "object", "properties": {"a": {"type": "integer"}}}, whole=False)
    obj: dict[str, Any] = {"a": 1e6}

    assert schema.admit(obj) == ([], [])
    assert repr(obj) == "{'a': 1000000}"


def test_bytes_of_built_in_kinds_may_be_none() -> None:
    assert formats.BUILT_IN["byte"]("")
    assert not formats.BUILT_IN["byte"]("YQ")


@pytest.mark.parametrize("part", ["a", "a.", "a ", '"a"', '"', "1", "1.", "1 ", "0:", "a:", "%41"])
def test_no_text_keeps_the_server_busy(part: str) -> None:
    """Expressions with two ways to match a part take hours for what others refuse at once."""
    text = part * (30_000 // len(part))
    started = time.process_time()

    for check in formats.BUILT_IN.values():
        for odd in (text, f"{text}!", f"{text}<", f"{text}@{text}", f"x{text}\n"):
            check(odd)

    assert time.process_time() - started < 3.0


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("a@b.example", True),
        (" a@b.example ", True),
        ('"a b"@b.example', True),
        ("A. B.  C <a@b.example>", True),
        ('"A \\" B" C <a@b.example>', True),
        ("<a@b.example>", True),
        (". A <a@b.example>", False),
        ("A < a@b.example>", False),
        ("A a@b.example", False),
        ("a..b@b.example", False),
    ],
)
def test_what_an_address_may_look_like(text: str, fits: bool) -> None:
    assert bool(refused({"type": "string", "format": "email"}, text)) is not fits
