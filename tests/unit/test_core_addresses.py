"""Addresses in parameters: what is none is refused, and so is what would meet another range."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core import addresses, schemas
from isthmus.core.lint import lint
from isthmus.errors import InvalidSpec
from tests.unit.test_catalog_lint import changed

SCHEMA = {
    "properties": {
        "nodes": {"type": "string", "format": "ipv4-range", "x-prefix": {"from": 8, "to": 28}},
        "pods": {"type": "string", "format": "ipv4-range", "x-apart-from": ["nodes"]},
        "first": {"type": "string", "format": "ip-address", "x-within": "nodes"},
        "ports": {"type": "array", "items": {"type": "string", "format": "port"}},
    }
}
NETWORKS = st.builds(
    lambda number, prefix: IPv4Network((number, prefix), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


def said(**values) -> str:
    try:
        schemas.check(SCHEMA, values, field="spec.parameters")
    except InvalidSpec as exc:
        return exc.message
    return ""


@pytest.mark.parametrize(
    "values",
    [
        {"nodes": "10.64.0.0/22", "pods": "10.244.0.0/16", "first": "10.64.0.5"},
        {"nodes": "10.0.0.0/8", "pods": "11.0.0.0/8"},
        {"pods": "0.0.0.0/0"},
        {"first": "fd00::1"},
        {"ports": ["1", "65535"]},
    ],
)
def test_what_is_right_is_taken(values):
    assert said(**values) == ""


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"pods": "999.1.1.1/99"}, "spec.parameters.pods: write a range of IPv4 addresses"),
        ({"pods": "10.0.0.1/24"}, "spec.parameters.pods: write a range"),
        ({"pods": "10.0.0.0"}, "spec.parameters.pods: write a range"),
        ({"pods": "10.0.0.0/16\n"}, "spec.parameters.pods: write a range"),
        ({"pods": "10.0.0.0/255.0.0.0"}, "spec.parameters.pods: write a range"),
        ({"first": "nonsense"}, "spec.parameters.first: write one address"),
        ({"ports": ["99999"]}, "spec.parameters.ports.0: write a port, 1 to 65535"),
        ({"ports": ["0"]}, "spec.parameters.ports.0: write a port"),
        ({"ports": ["٣"]}, "spec.parameters.ports.0: write a port"),
        (
            {"nodes": "10.0.0.0/29"},
            "spec.parameters.nodes: 10.0.0.0/29 is too small; take /8 to /28.",
        ),
        ({"nodes": "0.0.0.0/0"}, "spec.parameters.nodes: 0.0.0.0/0 is too large"),
        (
            {"nodes": "10.64.0.0/22", "pods": "10.64.0.0/16"},
            "spec.parameters.pods: 10.64.0.0/16 overlaps spec.parameters.nodes, 10.64.0.0/22; "
            "choose another range for one of them.",
        ),
        (
            {"nodes": "10.64.0.0/22", "first": "10.65.0.5"},
            "spec.parameters.first: 10.65.0.5 is not in spec.parameters.nodes, 10.64.0.0/22.",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_remedy(values, words):
    assert said(**values).startswith(words)


@given(NETWORKS, NETWORKS)
def test_ranges_meet_if_and_only_if_they_share_an_address(one, other):
    properties = {"a": {"x-apart-from": ["b"]}, "b": {}}
    found = list(addresses.conflicts(properties, {"a": str(one), "b": str(other)}, str))
    share = max(int(one[0]), int(other[0])) <= min(int(one[-1]), int(other[-1]))
    assert bool(found) is share


def test_a_rule_has_words_of_its_own():
    words = "the plugin needs a router; name an external network"
    schema = {
        "properties": {"plugin": {}, "way": {}},
        "if": {"properties": {"plugin": {"const": "routed"}}},
        "then": {"properties": {"way": {"minLength": 1, "x-remedy": words}}},
    }
    with pytest.raises(InvalidSpec) as caught:
        schemas.check(schema, {"plugin": "routed", "way": ""}, field="spec.parameters")
    assert caught.value.message == f"spec.parameters.way: {words}"


SIZE = "spec/parameters/properties/size"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", "ipv4-rnage"),
        ("x-within", "nothing"),
        ("x-apart-from", ["licence", "nothing"]),
        ("x-prefix", {"from": 8}),
        ("x-prefix", "8 to 28"),
        ("x-remedy", 1),
    ],
)
def test_lint_finds_a_rule_that_would_hold_nothing(key, value):
    found = {finding.path for finding in lint(changed(f"{SIZE}/{key}", value))}
    assert found & {"spec.parameters", "spec.parameters.properties.size"}
