"""Every rendered template is clean under cfn-lint, in two regions."""

import orjson
import pytest

from isthmus.core.render import placeholders, substitute
from tests.catalog_files import composed, offering, plans

REGIONS = ["us-east-1", "eu-central-1"]
AWS = [p for p in plans() if "aws" in offering(p[0]).spec.stacks]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({name for name, _ in AWS}))
def test_production_is_clean(name):
    """One plan of each for every day: all plans share one template, its values differ."""
    assert problems(name, "production", REGIONS) == []


@pytest.mark.labs
@pytest.mark.slow
@pytest.mark.parametrize(("name", "plan"), AWS)
def test_every_plan_is_clean(name, plan):
    assert problems(name, plan, REGIONS) == []


def problems(name: str, plan: str, regions: list[str]) -> list[str]:
    return lint(orjson.dumps(composed(name, plan).spec.template).decode(), regions)


def lint(text: str, regions: list[str]) -> list[str]:
    api = pytest.importorskip("cfnlint.api", reason="cfn-lint is not installed")
    matches = api.lint(text, config=api.ManualArgs(regions=regions))
    return [f"{m.rule.id} {'/'.join(map(str, m.path or []))}: {m.message}" for m in matches]


def test_there_are_offerings():
    assert AWS


@pytest.mark.slow
def test_every_policy_of_a_binding_is_sound():
    """IAM takes it, and every action in it exists."""
    resources = {}
    for name in sorted({name for name, _ in AWS}):
        for credential in offering(name).spec.stacks["aws"].credentials:
            if policy := credential.spec.get("policy"):
                logical_id = f"{name}{credential.strategy}".replace("-", "")
                resources[logical_id] = {
                    "Type": "AWS::IAM::UserPolicy",
                    "Properties": {
                        "UserName": "somebody",
                        "PolicyName": logical_id,
                        "PolicyDocument": _sample(policy),
                    },
                }
    assert resources
    template = orjson.dumps({"Resources": resources}).decode()
    assert lint(template, REGIONS[:1]) == []


def _sample(node):
    """Fill the placeholders: effects and ARNs have forms that cfn-lint looks at."""
    names = {name for _, name in placeholders(node)}
    scope = {name: "arn:aws:s3:::sample" for name in names if name.endswith("Arn")}
    scope |= dict.fromkeys(("binding.writing", "binding.sending"), "Allow")
    scope |= dict.fromkeys(("binding.receiving", "binding.publishing"), "Deny")
    return substitute(node, dict.fromkeys(names, "sample") | scope)
