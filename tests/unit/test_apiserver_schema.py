"""Structural schemas: defaults, pruning, messages, rules."""

from typing import Any

import pytest

from isthmus.apiserver.schema import Schema

SCHEMA = Schema({
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 9},
                "mode": {"type": "string", "enum": ["a", "b"], "default": "a"},
                "name": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
                "either": {"x-kubernetes-int-or-string": True},
                "maybe": {"type": "string", "nullable": True},
                "secret": {"type": "string", "format": "password", "maxLength": 4},
                "nested": {
                    "type": "object",
                    "properties": {"on": {"type": "boolean", "default": True}},
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "items": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"a": {"type": "string"}}},
                },
            },
        }
    },
})  # fmt: skip


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": {"size": 1, **fields}}


def test_defaults_reach_nested_objects_that_are_there() -> None:
    obj = spec(nested={})

    SCHEMA.admit(obj)

    assert obj == spec(nested={"on": True}, mode="a")


def test_null_of_a_field_with_a_default_is_the_default() -> None:
    obj = spec(mode=None)

    assert SCHEMA.admit(obj) == ([], [])
    assert obj == spec(mode="a")


def test_unknown_fields_are_pruned_and_named() -> None:
    obj = spec(odd=1, items=[{"a": "x", "b": 1}], free={"any": {"thing": 1}}, labels={"x": "y"})

    unknown, causes = SCHEMA.admit(obj)

    assert (sorted(unknown), causes) == (["spec.items[0].b", "spec.odd"], [])
    expected = spec(items=[{"a": "x"}], free={"any": {"thing": 1}}, labels={"x": "y"}, mode="a")
    assert obj == expected


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"size": "x"}, "size",
         'Invalid value: "string": @ in body must be of type integer: "string"'),
        ({"size": 0}, "size", "Invalid value: 0: @ in body should be greater than or equal to 1"),
        ({"mode": "c"}, "mode", 'Unsupported value: "c": supported values: "a", "b"'),
        ({"name": "A"}, "name", "Invalid value: \"A\": @ in body should match '^[a-z]+$'"),
        ({"labels": {"x": 1}}, "labels.x",
         'Invalid value: "integer": @ in body must be of type string: "integer"'),
        ({"secret": "hunter2"}, "secret",
         "Too long: may not be more than 4 bytes"),
    ],
)  # fmt: skip
def test_messages_name_field_and_rule(fields: Any, field: str, message: str) -> None:
    _, causes = SCHEMA.admit(spec(**fields))

    path = f"spec.{field}"
    assert [cause.sentence() for cause in causes] == [f"{path}: {message.replace('@', path)}"]


def test_missing_field_is_named() -> None:
    _, causes = SCHEMA.admit({"spec": {}})

    assert [(c.field, c.reason) for c in causes] == [("spec.size", "FieldValueRequired")]


@pytest.mark.parametrize("value", [1, "a"])
def test_int_or_string(value: Any) -> None:
    assert SCHEMA.admit(spec(either=value)) == ([], [])


def test_null_where_it_is_allowed() -> None:
    assert SCHEMA.admit(spec(maybe=None)) == ([], [])


RULED = Schema({
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "x-kubernetes-validations": [
                {"rule": "self.low <= self.high", "message": "low must not exceed high"},
                {"rule": "self.kind == oldSelf.kind", "message": "kind is immutable",
                 "fieldPath": ".kind", "reason": "FieldValueForbidden"},
            ],
            "properties": {
                "low": {"type": "integer"},
                "high": {"type": "integer"},
                "kind": {"type": "string"},
                "names": {
                    "type": "array",
                    "items": {"type": "string",
                              "x-kubernetes-validations": [{"rule": "self.startsWith('a')"}]},
                },
            },
        }
    },
})  # fmt: skip


def ruled(**fields: Any) -> dict[str, Any]:
    return {"spec": {"low": 1, "high": 2, "kind": "x", **fields}}


def test_rules_are_evaluated_where_they_stand() -> None:
    _, causes = RULED.admit(ruled(low=3, names=["ab", "ba"]))

    assert [(c.field, c.message) for c in causes] == [
        ("spec", "low must not exceed high"),
        ("spec.names[1]", "\"ba\": failed rule: self.startsWith('a')"),
    ]


def test_transition_rules_need_a_past() -> None:
    assert RULED.admit(ruled(kind="y"))[1] == []

    _, causes = RULED.admit(ruled(kind="y"), ruled())

    assert [cause.sentence() for cause in causes] == ["spec.kind: Forbidden: kind is immutable"]


GO_PATTERNS = [
    ("^(?i)[a-z]+$", "ABC", "1"),
    (r"^\pL+\z", "é", "1"),
    ("^[[:alpha:]]+$", "ab", "a1"),
    (r"^(?P<word>\w+)$", "a_1", "-"),
]


@pytest.mark.parametrize(("pattern", "good", "bad"), GO_PATTERNS)
def test_patterns_are_those_of_go(pattern: str, good: str, bad: str) -> None:
    text = {"type": "string", "pattern": pattern, "maxLength": 5}
    schema = Schema({"type": "object", "properties": {"a": text}})

    assert schema.admit({"a": good}) == ([], [])
    (cause,) = schema.admit({"a": bad})[1]
    assert cause.message == f"\"{bad}\": a in body should match '{pattern}'"
