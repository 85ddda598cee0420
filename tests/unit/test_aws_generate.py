"""Offerings written for any CloudFormation type, and templates checked offline."""

import random
from typing import Any

import orjson
import pytest

from isthmus.api.v1alpha1 import Offering, ServiceInstanceSpec
from isthmus.core import catalog, schemas
from isthmus.core.documents import without_nulls
from isthmus.core.lint import lint
from isthmus.core.render import substitute
from isthmus.drivers.aws import DRIVER, generate
from isthmus.drivers.aws.lint import check
from isthmus.errors import InvalidSpec
from tests.golden_files import assert_golden

TYPES = generate.resource_types()
OUR_RULES = ("E0", "E1001", "E1010", "E1012", "E1019", "E1020", "E2", "E3001", "E3002", "E6", "E7")
"""Rules about the shape of a template: that is ours. Values are made up by these tests."""


def example(schema: dict[str, Any]) -> Any:
    """Return a value of about the right form."""
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            inner = schema.get("properties", {})
            needed = schema.get("required", []) or list(inner)[:1]
            return {name: example(inner.get(name, {})) for name in needed}
        case "array":
            return [example(schema.get("items", {}))] * max(1, schema.get("minItems", 1))
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return "a" * max(3, schema.get("minLength", 3))


def rendered(manifest: dict[str, Any]) -> dict[str, Any]:
    schema = manifest["spec"]["parameters"]
    secret = schemas.secret_names(schema)
    needed = [name for name in schema.get("required", []) if name not in secret]
    values = schemas.defaults(schema) | {n: example(schema["properties"][n]) for n in needed}
    return without_nulls(substitute(manifest["spec"]["stacks"]["aws"]["template"], values))


def test_every_type_gives_an_offering():
    assert len(TYPES) > 1800
    names: set[str] = set()
    for resource_type in TYPES:
        manifest = generate.offering(resource_type)
        names.add(manifest["metadata"]["name"])
        spec = manifest["spec"]
        assert spec["reviewed"] is False
        assert [p["name"] for p in spec["plans"]][-1] == "custom"
        assert len(orjson.dumps(spec["stacks"]["aws"]["template"])) < 51_200, resource_type
    assert len(names) == len(TYPES)


@pytest.mark.parametrize("resource_type", random.Random(7).sample(TYPES, 60))
def test_a_generated_offering_passes_the_catalog_lint(resource_type):
    manifest = generate.offering(resource_type)
    assert lint(manifest) == ()
    Offering.parse(manifest)


@pytest.mark.parametrize("resource_type", ["AWS::SQS::Queue", "AWS::ElastiCache::ReplicationGroup"])
def test_a_generated_offering_reads_well(resource_type):
    manifest = generate.offering(resource_type)
    text = orjson.dumps(manifest, option=orjson.OPT_INDENT_2).decode() + "\n"
    assert_golden(text, f"aws/generated/{manifest['metadata']['name']}.json")


def test_what_is_not_given_is_left_out():
    queue = Offering.parse(generate.offering("AWS::SQS::Queue"))
    spec = ServiceInstanceSpec(offering="q", plan="dev", parameters={"delaySeconds": 5})
    values = catalog.values_of(queue.spec, spec)
    template = catalog.stack_of(queue.spec, "aws").template
    resource = without_nulls(substitute(template, values))["Resources"]["Resource"]
    assert resource["Properties"] == {"DelaySeconds": 5}
    assert resource["DeletionPolicy"] == "Delete"


def test_a_secret_property_is_a_reference():
    manifest = generate.offering("AWS::ElastiCache::ReplicationGroup")
    schema = manifest["spec"]["parameters"]
    assert "authToken" in schemas.secret_names(schema)
    stack = manifest["spec"]["stacks"]["aws"]
    assert stack["parameters"] == {"AuthToken": "${authToken}"}
    assert stack["template"]["Parameters"]["AuthToken"]["NoEcho"] is True


def test_an_unknown_type_names_similar_ones():
    with pytest.raises(InvalidSpec, match=r"no CloudFormation type 'AWS::SQS::Que'.*AWS::SQS::Q"):
        generate.offering("AWS::SQS::Que")
    assert DRIVER.generate is not None
    with pytest.raises(InvalidSpec):
        DRIVER.generate("Nonsense")


@pytest.mark.slow
@pytest.mark.parametrize("resource_type", random.Random(3).sample(TYPES, 3))
def test_a_generated_template_is_sound(resource_type):
    findings = check(rendered(generate.offering(resource_type)), ["us-east-1"])
    assert [f for f in findings if f.rule.startswith(OUR_RULES)] == []


@pytest.mark.labs
@pytest.mark.slow
@pytest.mark.parametrize("resource_type", random.Random(11).sample(TYPES, 40))
def test_a_larger_sample_is_sound(resource_type):
    findings = check(rendered(generate.offering(resource_type)), ["us-east-1"])
    assert [f for f in findings if f.rule.startswith(OUR_RULES)] == []


@pytest.mark.slow
def test_lint_names_path_and_rule():
    template = {
        "Resources": {
            "T": {"Type": "AWS::SNS::Topic", "Properties": {"Nonsense": 1, "TopicName": None}}
        }
    }
    found = check(template)
    assert [(f.path, f.rule) for f in found] == [("Resources.T.Properties.Nonsense", "E3002")]
    assert "Nonsense" in found[0].message


def test_a_generated_offering_can_be_bound_by_what_it_shows():
    spec = Offering.parse(generate.offering("AWS::SQS::Queue")).spec
    stack = catalog.stack_of(spec, "aws")
    assert catalog.credential_of(stack, "").strategy == "static"
    assert catalog.binding_of(spec).keys["queue-url"] == "${outputs.QueueUrl}"
