"""Whatever an embedded object says: it is put in order, or refused; nothing else comes of it."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver import embedded
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.resources import Resource
from isthmus.apiserver.schema import Schema

INNER = {"type": "object", "x-kubernetes-embedded-resource": True,
         "x-kubernetes-preserve-unknown-fields": True}  # fmt: skip
KIND = Resource(
    "example.com", "v1", "boxes", "Box",
    Schema({"type": "object", "properties": {"inner": INNER}}), custom=True,
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=4)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)
REFERENCES = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("apiVersion", "kind", "name", "uid", "controller", "more"), VALUES)
)
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUES,
        "nome": VALUES,
        "labels": VALUES | st.dictionaries(st.text(max_size=3), VALUES, max_size=2),
        "finalizers": VALUES | st.lists(VALUES, max_size=2),
        "ownerReferences": VALUES | st.lists(REFERENCES | VALUES, max_size=2),
        "managedFields": VALUES | st.lists(REFERENCES | VALUES, max_size=2),
        "generation": VALUES,
    },
)
OBJECTS = st.fixed_dictionaries(
    {}, optional={"apiVersion": VALUES, "kind": VALUES, "metadata": METADATA | VALUES}
)


@given(OBJECTS | VALUES)
def test_any_value_is_put_in_order_or_refused(inner: Any) -> None:
    obj = {"metadata": {"name": "a"}, "inner": inner}
    try:
        embedded.coerce(KIND, obj)
    except ApiError:
        return
    embedded.check(KIND, obj)
    if isinstance(inner, dict):
        assert embedded.coerce(KIND, obj) == []
