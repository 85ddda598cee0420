"""The one substitution of the catalog."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.render import placeholders, substitute
from isthmus.errors import InvalidSpec

SCOPE = {"n": 3, "on": True, "zones": ["a", "b"], "name": "db", "outputs.Host": "h"}


@pytest.mark.parametrize(
    ("text", "expected", "reason"),
    [
        ("${n}", 3, "a lone placeholder keeps its type"),
        ("${zones}", ["a", "b"], "so does a list"),
        ("${name}-${n}", "db-3", "inside text the value becomes text"),
        ("x${on}", "xtrue", "engines write booleans in lower case"),
        ("x${zones}", "xa,b", "and lists by comma"),
        ("${AWS::Region}", "${AWS::Region}", "pseudo parameters are the engine's"),
        ("${Queue.Arn}", "${Queue.Arn}", "attributes are the engine's"),
        ("$${name}", "${name}", "the escape"),
        ("${outputs.Host}:1", "h:1", "our dotted names are ours"),
        ("no", "no", "plain text"),
    ],
)
def test_substitute(text, expected, reason):
    assert substitute({"a": [text]}, SCOPE) == {"a": [expected]}, reason


def test_unknown_name_says_where_and_what():
    with pytest.raises(InvalidSpec) as caught:
        substitute({"Resources": {"A": ["${nope}"]}}, SCOPE, path="template")
    assert "template.Resources.A[0]" in caught.value.message
    assert "nope" in caught.value.message
    assert "outputs.Host" in caught.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@given(JSON)
def test_what_holds_no_placeholder_is_unchanged(node):
    if not any("${" in text for text in _strings(node)):
        assert substitute(node, SCOPE) == node


@given(JSON)
def test_substitution_leaves_no_placeholder_of_ours(node):
    names = {name for _, name in placeholders(node)}
    done = substitute(node, dict.fromkeys(names, "value"))
    assert {name for _, name in placeholders(done)} <= {
        n for n in names if any("$${" in t for t in _strings(node))
    }


def _strings(node):
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from _strings(value)
