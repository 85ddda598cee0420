"""Whatever a caller sends, a decoder answers with a value or a refusal, never otherwise."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver import protobuf
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.http import check_nesting, load_yaml
from isthmus.apiserver.jsonpath import find
from isthmus.apiserver.selectors import parse_labels
from isthmus.apiserver.tables import age


def number(field: int, value: int) -> bytes:
    return bytes((field << 3,)) + varint(value)


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def chunk(field: int, data: bytes | str) -> bytes:
    raw = data.encode() if isinstance(data, str) else data
    return bytes((field << 3 | 2,)) + varint(len(raw)) + raw


def envelope(api_version: str, kind: str, message: bytes) -> bytes:
    return b"k8s\0" + chunk(1, chunk(1, api_version) + chunk(2, kind)) + chunk(2, message)


def test_protobuf_secret() -> None:
    labels = chunk(11, chunk(1, "app") + chunk(2, "shop"))
    metadata = chunk(1, "s") + chunk(3, "default") + chunk(8, b"") + labels
    data = chunk(2, chunk(1, "key") + chunk(2, b"\x00\x01"))
    body = envelope("v1", "Secret", chunk(1, metadata) + data + chunk(3, "Opaque") + number(5, 1))

    assert protobuf.decode(body) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "default", "labels": {"app": "shop"}},
        "data": {"key": "AAE="},
        "type": "Opaque",
        "immutable": True,
    }


def test_protobuf_of_other_kinds_is_refused_by_name() -> None:
    with pytest.raises(ApiError, match="Pod is not accepted") as caught:
        protobuf.decode(envelope("v1", "Pod", b""))
    assert caught.value.code == 415


@given(st.binary(max_size=200), st.sampled_from(("Secret", "Role", "Event", "DeleteOptions")))
def test_malformed_protobuf_is_refused(noise: bytes, kind: str) -> None:
    for body in (noise, b"k8s\0" + noise, envelope("v1", kind, noise)):
        try:
            protobuf.decode(body)
        except ApiError as error:
            assert error.code in (400, 415)  # noqa: PT017 - noise may be well-formed by chance


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_yaml_is_a_value_or_refused(text: bytes) -> None:
    try:
        orjson.dumps(load_yaml(text))
    except ApiError as error:
        assert error.code == 400  # noqa: PT017 - noise may be well-formed by chance


def test_yaml_that_grows_is_refused() -> None:
    bomb = b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n"

    with pytest.raises(ApiError, match="aliases"):
        load_yaml(bomb)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("1e3", 1000.0),
        ("1_000", 1000),
        ("0777", 511),
        ("0x1F", 31),
        ("-5", -5),
        ("y", True),
        ("Off", False),
        ("yEs", "yEs"),
        ("~", None),
        ("", None),
        ("=", "="),
        ("1.5", 1.5),
        ("1.2.3", "1.2.3"),
        ("'1'", "1"),
    ],
)
def test_plain_words_mean_what_they_mean_to_kubernetes(text: str, value: Any) -> None:
    assert load_yaml(f"a: {text}".encode()) == {"a": value}


def test_the_first_document_is_the_body() -> None:
    assert load_yaml(b"---\na: 1\n---\n") == {"a": 1}


def test_numbers_as_keys_are_names() -> None:
    assert load_yaml(b"a: {1: b}") == {"a": {"1": "b"}}


@pytest.mark.parametrize("text", [".inf", "-.Inf", ".nan"])
def test_numbers_that_json_has_not_are_refused(text: str) -> None:
    with pytest.raises(ApiError, match="no valid YAML"):
        load_yaml(f"a: {text}".encode())


@pytest.mark.parametrize("shape", ["list", "object"])
def test_deep_nesting_is_refused(shape: str) -> None:
    value: Any = 1
    for _ in range(50):
        value = [value] if shape == "list" else {"a": value}

    check_nesting(value, 51)
    with pytest.raises(ApiError, match="nested deeper"):
        check_nesting(value, 20)


@pytest.mark.parametrize(
    ("selector", "labels", "fits", "reason"),
    [
        ("a=b", {"a": "b"}, True, "equal"),
        ("a==b", {"a": "c"}, False, "another value"),
        ("a!=b", {}, True, "an absent label is unequal"),
        ("a", {"a": ""}, True, "existence"),
        ("!a", {"a": ""}, False, "absence"),
        ("a in (b, c)", {"a": "c"}, True, "one of"),
        ("a notin (b,c)", {}, True, "an absent label is none of"),
        ("a=b,c", {"a": "b", "c": "d"}, True, "all of"),
        ("a=b,c in (x,y)", {"a": "b", "c": "z"}, False, "all of, and one is not"),
        ("a=", {"a": ""}, True, "the empty value"),
        ("example.com/a=b", {"example.com/a": "b"}, True, "a key with a prefix"),
    ],
)
def test_label_selector(selector: str, labels: dict[str, str], fits: bool, reason: str) -> None:
    assert parse_labels(selector)(labels) is fits, reason


@given(st.text(max_size=40))
def test_any_selector_is_a_test_or_refused(text: str) -> None:
    try:
        parse_labels(text)({"a": "b"})
    except ApiError as error:
        assert error.code == 400  # noqa: PT017 - noise may be well-formed by chance


OBJECT = {
    "spec": {"a.b": 1, "list": [{"type": "x", "v": 1}, {"type": "y", "v": 2}]},
    "n": [1, 2, 3],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.list[0].v", [1]),
        (".spec.list[*].v", [1, 2]),
        ('.spec.list[?(@.type=="y")].v', [2]),
        (".spec['a.b']", [1]),
        (".spec.a\\.b", [1]),
        (".n[-1]", [3]),
        ("{.n[1]}", [2]),
        (".nothing.at.all", []),
        (".n[", []),
    ],
)
def test_jsonpath(path: str, found: list[Any]) -> None:
    assert find(OBJECT, path) == found


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0s"), (119, "119s"), (150, "2m30s"), (600, "10m"), (7300, "121m"), (11_000, "3h3m"),
     (40_000, "11h"), (200_000, "2d7h"), (1_000_000, "11d"), (70_000_000, "2y80d")],
)  # fmt: skip
def test_age_is_printed_as_kubectl_does(seconds: int, shown: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    assert age((now - timedelta(seconds=seconds)).isoformat(), now) == shown
