"""Every decoder of what callers send: a value or a refusal, whatever comes in.

``make fuzz`` runs these, and those that go through the whole server, with 100,000 inputs.
"""

import copy
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver import patch, protobuf
from isthmus.apiserver.celchecker import check
from isthmus.apiserver.celtokens import SyntaxFault
from isthmus.apiserver.celtypes import BOOL, DYN, type_of
from isthmus.apiserver.config import Limits
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.expressions import rules_of
from isthmus.apiserver.history import Record
from isthmus.apiserver.http import load
from isthmus.apiserver.jsonpath import find
from isthmus.apiserver.kinds import builtin_resources
from isthmus.apiserver.listing import view_of
from isthmus.apiserver.ownership import Writer, accepted, apply
from isthmus.apiserver.protobuf_messages import MESSAGES
from isthmus.apiserver.rulechecks import check_rules
from isthmus.apiserver.schema import Schema
from isthmus.apiserver.selectors import parse
from tests.apiserver_client import widget, widget_definition
from tests.fuzzing import Memory, examples
from tests.unit.test_apiserver_decoders import chunk, envelope, number

LIMITS = Limits()
MEMORY = Memory()
CONFIG_MAPS = next(r for r in builtin_resources() if r.plural == "configmaps")
WIDGET_SCHEMA = widget_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
WORDS = st.sampled_from(
    ("a", "b", "spec", "metadata", "name", "data", "ports", "tags", "size", "$patch", "delete",
     "replace", "$setElementOrder/ports", "$deleteFromPrimitiveList/tags", "k:{\"name\":\"a\"}",
     "f:spec", "", ".", "0", "-", "finalizers", "rules", "type", "x" * 200, "\u0000", "\u00e9")
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | WORDS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=5)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A valid text in which some bytes are exchanged, doubled or missing."""
    text = bytearray(orjson.dumps(draw(VALUES), default=str))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(text)))
        text[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(text)


def refused(error: ApiError, *codes: int) -> None:
    assert error.code in codes, error.message
    orjson.dumps(error.status())


@pytest.fixture(autouse=True, scope="module")
def bounded() -> Generator[None]:
    with MEMORY:
        yield


REPEATED = st.builds(
    lambda part, count, rest: part * count + rest,
    st.sampled_from(
        (b"[", b"{a: ", b"- ", b"? ", b'{"a":', b"&a [", b"*a ", b"!!set {", b"9", b"'")
    ),
    st.integers(1, 20_000),
    st.binary(max_size=3),
)


@examples(40)
@given(
    spoilt() | st.binary(max_size=300) | st.text(max_size=300).map(str.encode) | REPEATED,
    st.booleans(),
)
@MEMORY.measured
def test_json_and_yaml(body: bytes, as_yaml: bool) -> None:
    try:
        orjson.dumps(load(body, LIMITS.nesting, yaml=as_yaml))
    except ApiError as error:
        refused(error, 400)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """Protobuf that is nearly right: known kinds, fields of any type, nested in each other."""
    inner = b""
    for _ in range(draw(st.integers(0, 5))):
        field = draw(st.integers(1, 15))
        value = draw(st.binary(max_size=30) | st.integers(0, 2**64 - 1))
        inner += chunk(field, value) if isinstance(value, bytes) else number(field, value)
        if draw(st.booleans()):
            inner = chunk(draw(st.integers(1, 12)), inner)
    cut = draw(st.integers(0, 3))
    return envelope("v1", draw(st.sampled_from(sorted(MESSAGES))), inner[: len(inner) - cut])


@examples(40)
@given(messages() | st.binary(max_size=100).map(lambda noise: b"k8s\0" + noise))
@MEMORY.measured
def test_protobuf(body: bytes) -> None:
    try:
        orjson.dumps(protobuf.decode(body))
    except ApiError as error:
        refused(error, 400, 415)


POINTERS = st.lists(WORDS, max_size=4).map(lambda parts: "".join(f"/{p}" for p in parts)) | WORDS
OPERATIONS = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(("add", "remove", "replace", "move", "copy", "test", "x"))},
        optional={"path": POINTERS | VALUES, "from": POINTERS, "value": VALUES},
    ) | VALUES,
    max_size=5,
)  # fmt: skip


@examples(40)
@given(OBJECTS, OPERATIONS | VALUES, OBJECTS)
@MEMORY.measured
def test_patches(target: Any, operations: Any, change: Any) -> None:
    before = copy.deepcopy(target)
    for patched in (
        lambda: patch.json_patch(target, operations),
        lambda: patch.merge_patch(target, change),
        lambda: patch.strategic_patch(target, change),
    ):
        try:
            patched()
        except ApiError as error:
            refused(error, 400, 422)
    assert repr(target) == repr(before), "what is stored was changed in its place"


@examples(40)
@given(OBJECTS, OBJECTS, VALUES)
@MEMORY.measured
def test_server_side_apply(live: Any, wanted: Any, owned: Any) -> None:
    schema = Schema(WIDGET_SCHEMA).merging
    managers = accepted(
        [{"manager": "other", "operation": "Apply", "apiVersion": "v1", "fieldsV1": owned}]
    )
    current = {**widget(), "spec": live}
    try:
        apply(
            current, {**widget(), "spec": wanted}, schema, managers,
            Writer("me", "example.com/v1", "2026-01-01T00:00:00Z"), force=True,
        )  # fmt: skip
    except ApiError as error:
        refused(error, 400, 409, 422)


@examples(40)
@given(OBJECTS)
@MEMORY.measured
def test_objects_against_their_schema(spec: Any) -> None:
    schema = Schema(WIDGET_SCHEMA)
    obj = {**widget(), "spec": spec, "status": spec}
    _, causes = schema.admit(obj)
    assert all(cause.sentence() for cause in causes)


RULED = {"type": "object", "properties": {"size": {"type": "integer"}, "tags": {
    "type": "array", "items": {"type": "string"}}, "a": {"type": "object", "properties": {
    "b": {"type": "number"}}}}}  # fmt: skip
ATOMS = st.sampled_from(
    ("self", "self.size", "self.a.b", "oldSelf", "1", "'a'", "[1,2]", "true", "null", "{'a': 1}",
     "self.tags", "-9223372036854775808", "1.0e308", "b'x'", "duration('1h')", "timestamp('x')",
     "optional.none()", "format.dns1123Label()", "quantity('1e9')", "r'\\'")
)  # fmt: skip
TERMS = st.recursive(
    ATOMS,
    lambda t: st.builds("({} {} {})".format, t, st.sampled_from(
        ("+", "-", "*", "/", "%", "==", "<", "in", "&&", "||", "? 1 :")), t)
    | st.builds("{}.{}".format, t, st.sampled_from(
        ("size()", "all(x, x > 1)", "exists(x, x == self)", "map(x, x + 1)", "matches('(a+)+$')",
         "startsWith('a')", "filter(x, true)", "foo", "split(',')", "isSorted()", "?a",
         "?a.orValue(1)", "all(i, v, v > i)", "transformMap(k, v, v)", "find('a+')",
         "findAll('(a|b)*')", "optMap(x, x)", "sortBy(x, x)", "value()",
         "format([self])", "replace('', 'aa')")))
    | st.builds("{}({})".format, st.sampled_from(("has", "size", "int", "string", "type", "!")), t)
    | st.builds("{}[{}]".format, t, t),
    max_leaves=6,
)  # fmt: skip


@examples(40)
@given(TERMS | st.text(max_size=40), OBJECTS, OBJECTS)
@MEMORY.measured
def test_rules(text: str, value: Any, old: Any) -> None:
    rule = {"rule": text, "messageExpression": text}
    schema = {"type": "object", "x-kubernetes-validations": [rule]}
    for found in (type_of(RULED), DYN):
        with suppress(SyntaxFault):
            check(text, {"self": found or DYN, "oldSelf": DYN}, BOOL)
    rules = rules_of(schema)
    if not check_rules(schema, "schema"):
        for cause in rules.check(value, old):
            assert cause.sentence()


SELECTORS = st.text(max_size=40) | st.lists(
    st.sampled_from(
        ("a", "b", "=", "==", "!=", "!", " in ", " notin ", "(", ")", ",", " ", "metadata.name",
         "spec.x", "/", "-", "\u00e9", "x" * 64)
    ),
    max_size=10,
).map("".join)  # fmt: skip
PATHS = st.lists(
    st.sampled_from((".a", "[0]", "[*]", "['b']", "[?(@.a=='b')]", "{", "}", "$", "[-1]", "\\.",
                     "[" + "9" * 30 + "]", "..", "[")),
    max_size=8,
).map("".join)  # fmt: skip


@examples(40)
@given(SELECTORS, SELECTORS, PATHS | st.text(max_size=30), OBJECTS, st.text(max_size=60))
@MEMORY.measured
def test_selectors_paths_and_accepted_types(
    labels: str, fields: str, path: str, value: Any, accept: str
) -> None:
    body = orjson.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})
    record = Record(("ns", "a"), 1, body, "uid", {"a": "b"}, ())
    try:
        parse(CONFIG_MAPS, labels, fields).fits(record)
    except ApiError as error:
        refused(error, 400)
    find(value, path)
    try:
        view_of(accept, "Object")
    except ApiError as error:
        refused(error, 400, 406)
