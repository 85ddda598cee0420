"""Patches by the letter of their RFCs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.patch import json_patch, merge_patch, strategic_patch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(("", "a", "b")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("a", "b", "c")), inner, max_size=3)
    ),
    max_leaves=10,
)


def without_nulls(value: Any) -> Any:
    """What survives a merge patch, in which null means absent."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return value


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_follows_the_examples_of_rfc_7386(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


@given(JSON, JSON)
def test_merge_patch_twice_is_once(target: Any, patch: Any) -> None:
    once = merge_patch(target, patch)

    assert merge_patch(once, patch) == once


@given(JSON)
def test_merging_into_nothing_gives_the_patch_without_nulls(patch: Any) -> None:
    assert merge_patch(None, patch) == without_nulls(patch)


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        ({}, [{"op": "add", "path": "/a", "value": 1}], {"a": 1}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": [1, 2]}, [{"op": "replace", "path": "/a/0", "value": 9}], {"a": [9, 2]}),
        ({"a/b": 1}, [{"op": "replace", "path": "/a~1b", "value": 2}], {"a/b": 2}),
        ({"a": 1}, [{"op": "move", "from": "/a", "path": "/b"}], {"b": 1}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"z": 1}}], {"z": 1}),
    ],
)  # fmt: skip
def test_json_patch(target: Any, operations: Any, result: Any) -> None:
    assert json_patch(target, operations) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nothing"},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "test", "path": "/number", "value": 2},
        {"op": "add", "path": "/number/x", "value": 1},
        {"op": "jump", "path": "/number"},
        {"op": "add", "path": "number", "value": 1},
        {"path": "/number"},
        "nonsense",
    ],
)
def test_json_patch_that_does_not_fit_is_refused_as_a_whole(operation: Any) -> None:
    target = {"list": [], "number": 1}

    with pytest.raises(ApiError) as caught:
        json_patch(target, [{"op": "add", "path": "/first", "value": 1}, operation])

    assert caught.value.code == 422
    assert target == {"list": [], "number": 1}


@given(JSON, JSON)
def test_json_patch_never_fails_in_another_way(target: Any, operations: Any) -> None:
    try:
        json_patch(target, operations)
    except ApiError as error:
        assert error.code in (400, 422)  # noqa: PT017 - not raising is right as well


def test_strategic_patch_merges_owners_and_finalizers() -> None:
    target = {"metadata": {"finalizers": ["a"], "ownerReferences": [{"uid": "1", "name": "x"}]}}
    patch = {
        "metadata": {
            "$setElementOrder/finalizers": ["a", "b"],
            "finalizers": ["b"],
            "ownerReferences": [{"uid": "1", "name": "y"}, {"uid": "2", "name": "z"}],
        }
    }

    assert strategic_patch(target, patch) == {
        "metadata": {
            "finalizers": ["a", "b"],
            "ownerReferences": [{"uid": "1", "name": "y"}, {"uid": "2", "name": "z"}],
        }
    }


def test_strategic_patch_deletes() -> None:
    target = {"data": {"a": "1", "b": "2"}, "metadata": {"finalizers": ["a", "b"]}}
    patch = {
        "data": {"a": None},
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]},
    }

    assert strategic_patch(target, patch) == {"data": {"b": "2"}, "metadata": {"finalizers": ["b"]}}


@pytest.mark.parametrize(
    ("patch", "after", "reason"),
    [
        ({"a": {"$retainKeys": ["x"], "x": 3}}, {"a": {"x": 3}}, "what is not retained goes"),
        ({"a": {"$retainKeys": ["y"]}}, {"a": {"y": 2}}, "also where nothing is written"),
        ({"a": {"$patch": "replace", "z": 1}}, {"a": {"z": 1}}, "maps are replaced"),
        ({"$patch": "delete"}, {}, "and emptied"),
        ({"secrets": [{"$patch": "replace"}, {"name": "n"}]}, {"secrets": [{"name": "n"}]},
         "lists are replaced as well"),
    ],
)  # fmt: skip
def test_directives_of_a_strategic_patch(patch: Any, after: Any, reason: str) -> None:
    target = {"a": {"x": 1, "y": 2}, "secrets": [{"name": "m"}]}

    found = strategic_patch(target, patch)

    assert found == ({**target, **after} if after else {}), reason


@pytest.mark.parametrize(
    "patch",
    [
        {"a": {"$retainKeys": ["x"], "y": 1}},
        {"a": {"$retainKeys": "x"}},
        {"secrets": [{"namespace": "x"}]},
    ],
)
def test_a_strategic_patch_that_contradicts_itself_is_refused(patch: Any) -> None:
    with pytest.raises(ApiError) as caught:
        strategic_patch({"secrets": [{"name": "m"}]}, patch)
    assert caught.value.code == 400


@pytest.mark.parametrize(
    "patch",
    [
        {"metadata": {"ownerReferences": [None]}},
        {"metadata": {"ownerReferences": ["a"]}},
        {"secrets": [[]]},
        {"$deleteFromPrimitiveList/finalizers": None},
        {"$deleteFromPrimitiveList/finalizers": "abc"},
    ],
)
def test_a_strategic_patch_of_the_wrong_shape_is_refused(patch: Any) -> None:
    with pytest.raises(ApiError, match="must be") as caught:
        strategic_patch({"metadata": {"ownerReferences": ["odd"]}, "finalizers": ["a"]}, patch)
    assert caught.value.code == 400


def test_copies_of_copies_come_to_an_end() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{n}"} for n in range(60)]

    with pytest.raises(ApiError, match="copies at most"):
        json_patch({"a": {"x": "y" * 100}}, doubling)
