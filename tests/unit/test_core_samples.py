"""Offerings get values before a native linter reads them."""

from isthmus.api.v1alpha1 import OfferingSpec
from isthmus.core import samples

SPEC = OfferingSpec.model_validate(
    {
        "title": "T",
        "description": "D",
        "category": "example",
        "parameters": {
            "type": "object",
            "required": ["zone", "kind"],
            "properties": {
                "size": {"type": "integer", "minimum": 5},
                "kind": {"type": "string", "enum": ["a", "b"]},
                "zone": {"type": "string", "pattern": "^z"},
                "days": {"type": "integer", "default": 7},
            },
        },
        "plans": [
            {"name": "dev", "title": "Dev"},
            {"name": "same", "title": "Same", "parameters": {"days": 7}},
            {"name": "big", "title": "Big", "parameters": {"size": 90}},
        ],
        "stacks": {
            "aws": {
                "template": {
                    "Size": "${size}",
                    "Kind": "${kind}",
                    "Zone": "${zone}",
                    "Days": "${days}",
                    "Arn": {"Fn::Sub": "arn:$${AWS::Partition}"},
                }
            }
        },
    }
)


def test_each_distinct_plan_is_rendered_with_values():
    small, big = samples.rendered(SPEC, "aws")
    assert small == {
        "Size": 5,
        "Kind": "a",
        "Zone": "${zone}",
        "Days": 7,
        "Arn": {"Fn::Sub": "arn:${AWS::Partition}"},
    }
    assert big["Size"] == 90


def test_a_finding_about_a_placeholder_is_undecided():
    assert samples.undecided("'${zone}' does not match '^z'")
    assert not samples.undecided("'Zones' is not a property")


def test_a_template_with_an_unknown_placeholder_is_left_to_lint():
    stack = SPEC.stacks["aws"].model_copy(update={"template": {"A": "${nothing}"}})
    spec = SPEC.model_copy(update={"stacks": {"aws": stack}})
    assert list(samples.rendered(spec, "aws")) == []
