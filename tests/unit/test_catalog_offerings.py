"""Every offering of the catalog is sound, and renders to what a reviewer has read."""

from contextlib import nullcontext

import orjson
import pytest

from isthmus.core import catalog, prices, schemas
from isthmus.core.lint import lint
from isthmus.drivers.aws.lint import policies
from isthmus.errors import InvalidSpec
from tests.catalog_files import NAMES, asked, composed, manifest, offering, plans
from tests.golden_files import assert_golden

AWS = [name for name in NAMES if "aws" in offering(name).spec.stacks]


def parameters(name):
    return schemas.properties(offering(name).spec.parameters)


@pytest.mark.parametrize("name", NAMES)
def test_lint_finds_nothing(name):
    document = manifest(name)
    findings = [f"{document.line_of(f.path)}: {f.path}: {f.message}" for f in lint(document.body)]
    assert findings == []


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_named_for_its_offering(name):
    assert offering(name).metadata.name == name


@pytest.mark.parametrize(("name", "plan"), plans())
def test_golden(name, plan):
    stack = composed(name, plan)
    text = orjson.dumps(stack.dump()["spec"], option=orjson.OPT_INDENT_2).decode() + "\n"
    assert_golden(text, f"catalog/{name}/{plan}.json")


@pytest.mark.parametrize("name", AWS)
def test_every_offering_has_the_three_plans(name):
    assert [plan.name for plan in offering(name).spec.plans] == ["dev", "production", "custom"]


@pytest.mark.parametrize(("name", "plan"), [p for p in plans() if p[0] in AWS])
def test_what_holds_data_says_what_becomes_of_it(name, plan):
    assert policies(composed(name, plan).spec.template) == ()


def test_what_holds_data_and_does_not_say_so_is_found():
    bucket = {"Type": "AWS::S3::Bucket", "DeletionPolicy": "Retain"}
    (found,) = policies({"Resources": {"Bucket": bucket, "Topic": {"Type": "AWS::SNS::Topic"}}})
    assert found.path == "Resources.Bucket"
    assert "UpdateReplacePolicy" in found.message


@pytest.mark.parametrize("name", AWS)
def test_native_parameters_are_declared_and_given(name):
    stack = offering(name).spec.stacks["aws"]
    assert set(stack.parameters) == set(stack.template.get("Parameters", {}))


@pytest.mark.parametrize("name", AWS)
def test_an_update_in_place_is_possible(name):
    definition = offering(name).spec
    changeable = set(schemas.properties(definition.parameters)) - schemas.immutable_names(
        definition.parameters
    )
    assert changeable


@pytest.mark.parametrize("name", AWS)
def test_a_template_fits_into_one_call(name):
    for plan in offering(name).spec.plans:
        assert len(orjson.dumps(composed(name, plan.name).spec.template)) < 51_200


@pytest.mark.parametrize(("name", "plan"), plans())
def test_a_known_price_can_be_added_up(name, plan):
    definition = offering(name).spec
    values = catalog.values_of(definition, asked(name, plan))
    for listed in definition.prices:
        found = prices.estimate(definition, plan, values, (listed.driver, listed.region))
        assert found is not None
        assert found.source.startswith("https://aws.amazon.com/")


@pytest.mark.parametrize(
    ("clients", "accepted"),
    [
        ("10.0.0.0/8", True),
        ("10.1.2.3/32", True),
        ("172.16.0.0/12", True),
        ("192.168.7.0/24", True),
        ("100.64.0.0/10", True),
        ("0.0.0.0/0", False),
        ("10.0.0.0/7", False),
        ("172.15.0.0/16", False),
        ("172.16.0.0/8", False),
        ("192.0.2.0/24", False),
        ("8.8.8.8/32", False),
    ],
)
@pytest.mark.parametrize("name", [n for n in AWS if "allowedCidr" in parameters(n)])
def test_only_private_addresses_may_connect(name, clients, accepted):
    schema = offering(name).spec.parameters
    values = schemas.defaults(schema) | {"allowedCidr": clients}
    with nullcontext() if accepted else pytest.raises(InvalidSpec, match="allowedCidr"):
        schemas.check(schema, values, field="spec.parameters")


@pytest.mark.parametrize("name", [n for n in AWS if "subnetIds" in parameters(n)])
def test_a_network_that_is_there_needs_its_subnets(name):
    with pytest.raises(InvalidSpec, match="subnetIds"):
        composed(name, "custom", {"vpcId": "vpc-0123456789abcdef0"})
