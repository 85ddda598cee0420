"""Field sets and ownership: the laws of server-side apply."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver import fields, ownership
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.ownership import Writer

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "metadata": fields.METADATA,
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer"},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "atomic": {"type": "array", "items": {"type": "integer"}},
                "set": {
                    "type": "array",
                    "items": {"type": "integer"},
                    "x-kubernetes-list-type": "set",
                },
                "keyed": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                    },
                },
            },
        },
    },
}
NUMBERS = st.integers(0, 3)
NAMES = st.sampled_from(("a", "b", "c"))
ITEMS = st.dictionaries(NAMES, st.none() | NUMBERS, max_size=3).map(
    lambda found: [{"name": k, **({} if v is None else {"port": v})} for k, v in found.items()]
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "size": NUMBERS,
        "map": st.dictionaries(NAMES, NUMBERS, max_size=3),
        "atomic": st.lists(NUMBERS, max_size=3),
        "set": st.lists(NUMBERS, max_size=3, unique=True),
        "keyed": ITEMS,
    },
)
OBJECTS = st.fixed_dictionaries({"metadata": st.just({}), "spec": SPECS})


def writer(name: str) -> Writer:
    return Writer(name, "example.com/v1", "2026-01-01T00:00:00Z")


def apply(live: Any, applied: Any, managers: Any, name: str, *, force: bool = True) -> Any:
    return ownership.apply(
        copy.deepcopy(live), applied, SCHEMA, copy.deepcopy(managers), writer(name), force=force
    )


@given(OBJECTS, OBJECTS)
def test_applying_twice_is_applying_once(live: Any, applied: Any) -> None:
    once, managers = apply(live, applied, [], "x")
    twice, again = apply(once, applied, managers, "x")

    assert (twice, again) == (once, managers)


@given(OBJECTS, OBJECTS)
def test_what_is_applied_is_there_and_owned(live: Any, applied: Any) -> None:
    merged, managers = apply(live, applied, [], "x")

    values = fields.flatten(fields.owned_part(merged), SCHEMA)
    owned = managers[0]["fieldsV1"] if managers else {}
    for path, value in fields.flatten(fields.owned_part(applied), SCHEMA).items():
        assert fields.contains(owned, path)
        if value is not fields.CONTAINER and value not in ({}, []):
            assert values[path] == value


@given(OBJECTS)
def test_applying_nothing_after_something_removes_it(applied: Any) -> None:
    once, managers = apply({"metadata": {}}, applied, [], "x")
    left, after = apply(once, {"metadata": {}}, managers, "x")

    assert [m for m in after if m["manager"] != "before-first-apply"] == []
    remaining = fields.flatten(fields.owned_part(left), SCHEMA)
    assert all(value in (fields.CONTAINER, []) for value in remaining.values())


@given(OBJECTS, OBJECTS)
def test_two_appliers_of_the_same_values_never_conflict(live: Any, applied: Any) -> None:
    once, managers = apply(live, applied, [], "x")

    merged, _ = apply(once, applied, managers, "y", force=False)

    assert merged == once


@given(OBJECTS, OBJECTS)
def test_update_gives_every_field_at_most_one_updating_owner(old: Any, new: Any) -> None:
    managers = ownership.record_update({}, old, SCHEMA, [], writer("x"))
    managers = ownership.record_update(old, new, SCHEMA, managers, writer("y"))

    leaves = {p for p, v in fields.flatten(fields.owned_part(new), SCHEMA).items() if v != {}}
    leaves -= {
        p
        for p, v in fields.flatten(fields.owned_part(new), SCHEMA).items()
        if v is fields.CONTAINER
    }
    for path in leaves:
        owners = [m["manager"] for m in managers if fields.contains(m["fieldsV1"], path)]
        assert len(owners) == 1, fields.pretty(path)


@given(OBJECTS, OBJECTS)
def test_update_leaves_no_owner_of_what_is_gone(old: Any, new: Any) -> None:
    managers = ownership.record_update({}, old, SCHEMA, [], writer("x"))
    managers = ownership.record_update(old, new, SCHEMA, managers, writer("y"))

    there = set(fields.members(fields.set_of(fields.owned_part(new), SCHEMA)))
    owned = {path for m in managers for path in fields.members(m["fieldsV1"])}
    assert owned <= there


PATHS = st.lists(st.sampled_from(("f:a", "f:b", "k:{}", "v:1")), min_size=1, max_size=4).map(tuple)


@given(st.sets(PATHS, max_size=8))
def test_a_set_holds_exactly_its_members(paths: set[Any]) -> None:
    assert set(fields.members(fields.build(list(paths)))) == paths


@given(st.sets(PATHS, max_size=8), PATHS)
def test_discarding_removes_one_member_and_no_other(paths: set[Any], path: Any) -> None:
    built = fields.build(list(paths))

    fields.discard(built, path)

    assert set(fields.members(built)) == paths - {path}


def test_conflict_names_manager_and_field() -> None:
    live: Any = {"metadata": {}, "spec": {"size": 1}}
    managers = ownership.record_update({}, live, SCHEMA, [], writer("kubectl"))

    with pytest.raises(ApiError) as caught:
        apply(live, {"metadata": {}, "spec": {"size": 2}}, managers, "x", force=False)

    assert caught.value.code == 409
    assert caught.value.details["causes"][0]["field"] == ".spec.size"
    assert 'conflict with "kubectl"' in caught.value.message


def test_creation_owns_new_containers_as_kubernetes_writes_them() -> None:
    obj = {
        "metadata": {"name": "a", "labels": {"x": "y"}},
        "spec": {"keyed": [{"name": "b", "port": 1}], "set": [1]},
    }

    managers = ownership.record_update({}, obj, SCHEMA, [], writer("x"))

    assert managers[0]["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
        "f:spec": {
            ".": {},
            "f:keyed": {".": {}, 'k:{"name":"b"}': {".": {}, "f:name": {}, "f:port": {}}},
            "f:set": {".": {}, "v:1": {}},
        },
    }
