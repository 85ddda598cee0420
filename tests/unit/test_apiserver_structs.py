"""Fields of built-in kinds that are there whatever an object says: nobody owns that they are."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver import fields, ownership
from isthmus.apiserver.fields import STRUCT
from isthmus.apiserver.ownership import Writer

JsonObject = dict[str, Any]
TEXT: JsonObject = {"type": "string"}
NAMES: JsonObject = {"type": "object", "properties": {"kind": TEXT}, STRUCT: True}
SCHEMA: JsonObject = {
    "type": "object",
    "properties": {
        "metadata": fields.METADATA,
        "spec": {
            "type": "object",
            "properties": {
                "holder": TEXT,
                "names": NAMES,
                "extra": {"type": "object", "additionalProperties": TEXT},
            },
            STRUCT: True,
        },
    },
}
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "holder": st.sampled_from("ab"),
        "names": st.fixed_dictionaries({}, optional={"kind": st.sampled_from("ab")}),
        "extra": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"), max_size=2),
    },
)
NO_METADATA: JsonObject = {}
OBJECTS = st.fixed_dictionaries({"metadata": st.just(NO_METADATA)}, optional={"spec": SPECS})


def written(*objects: JsonObject, by: str = "one") -> list[JsonObject]:
    """The owners after these versions were written one after the other."""
    managers, old = list[JsonObject](), JsonObject()
    for new in objects:
        writer = Writer(by, "v1", "2026-01-01T00:00:00Z")
        managers = ownership.record_update(old, new, SCHEMA, managers, writer)
        old = new
    return managers


def test_a_struct_is_nobody_s_and_what_it_holds_is_its_writer_s() -> None:
    spec = {"holder": "a", "names": {"kind": "b"}, "extra": {"a": "x"}}

    (entry,) = written({"metadata": {"labels": {"a": "b"}}, "spec": spec})

    assert entry["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
        "f:spec": {
            "f:holder": {},
            "f:names": {"f:kind": {}},
            "f:extra": {".": {}, "f:a": {}},
        },
    }


def test_empty_structs_are_not_owned() -> None:
    assert written({"metadata": {}, "spec": {"names": {}}}) == []


@given(OBJECTS, OBJECTS)
def test_an_update_owns_what_a_creation_would(old: JsonObject, new: JsonObject) -> None:
    made, updated = written(new), written(old, new)

    assert [m["fieldsV1"] for m in made] == [m["fieldsV1"] for m in updated]
    for manager in updated:
        spec = manager["fieldsV1"].get("f:spec", {})
        assert "." not in spec
        assert "." not in spec.get("f:names", {})
