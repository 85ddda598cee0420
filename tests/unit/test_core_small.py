"""Selectors, prices and the catalog's questions."""

from decimal import Decimal

import pytest

from isthmus.api.meta import LabelSelector
from isthmus.core import catalog, prices
from isthmus.core.selectors import matches
from isthmus.errors import InvalidSpec
from tests.factories import an_offering_spec


@pytest.mark.parametrize(
    ("selector", "labels", "expected", "reason"),
    [
        (None, {}, True, "no selector selects all"),
        ({}, {"a": "1"}, True, "an empty one too"),
        ({"matchLabels": {"a": "1"}}, {"a": "1", "b": "2"}, True, "equal"),
        ({"matchLabels": {"a": "1"}}, {"a": "2"}, False, "different"),
        ({"matchLabels": {"a": "1"}}, {}, False, "absent"),
        (
            _in := {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1"]}]},
            {"a": "1"},
            True,
            "in",
        ),
        (_in, {}, False, "absent is not in"),
        (
            {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]},
            {},
            True,
            "absent is not in",
        ),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"a": ""}, True, "exists"),
        (
            {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
            {"a": ""},
            False,
            "exists",
        ),
    ],
)
def test_selector(selector, labels, expected, reason):
    parsed = None if selector is None else LabelSelector.model_validate(selector)
    assert matches(parsed, labels) is expected, reason


PRICES = {
    "driver": "fake",
    "region": "north",
    "asOf": "2026-10-01",
    "source": "https://example.com/prices",
    "hourly": [
        {
            "name": "node",
            "by": "size",
            "amounts": {"small": "0.10", "large": "0.40"},
            "times": ["nodes"],
        },
        {"name": "guard", "amount": "0.05", "plans": ["production"]},
    ],
    "usage": [{"name": "storage", "unit": "GB-month", "amount": "0.023"}],
}


@pytest.mark.parametrize(
    ("plan", "values", "expected", "reason"),
    [
        ("dev", {"size": "small", "nodes": 3}, Decimal("0.30"), "one component times nodes"),
        ("production", {"size": "large", "nodes": 2}, Decimal("0.85"), "plus that of the plan"),
        ("dev", {"size": "huge", "nodes": 1}, None, "an unknown part makes the sum unknown"),
    ],
)
def test_price(plan, values, expected, reason):
    definition = an_offering_spec(prices=[PRICES])
    estimate = prices.estimate(definition, plan, values, ("fake", "north"))
    assert estimate is not None
    assert estimate.per_hour == expected, reason


def test_no_price_list_for_the_place():
    definition = an_offering_spec(prices=[PRICES])
    assert prices.estimate(definition, "dev", {}, ("fake", "south")) is None


def test_the_revision_follows_the_definition():
    one, two = an_offering_spec(), an_offering_spec(title="Another")
    assert catalog.revision_name("db", one) == catalog.revision_name("db", an_offering_spec())
    assert catalog.revision_name("db", one) != catalog.revision_name("db", two)


def test_immutable_parameters():
    definition = an_offering_spec()
    changed = catalog.changed_immutables(
        definition, {"engine": "a", "size": "small"}, {"engine": "b", "size": "large"}
    )
    assert changed == ("engine",)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda d: catalog.stack_of(d, "aws"), "fake"),
        (catalog.binding_of, "cannot be bound"),
        (lambda d: catalog.action_of(d, "stop"), "none"),
        (lambda d: catalog.credential_of(d.stacks["fake"], "sql-user"), "none"),
    ],
)
def test_what_an_offering_has_not_is_said(ask, words):
    with pytest.raises(InvalidSpec, match=words):
        ask(an_offering_spec())
