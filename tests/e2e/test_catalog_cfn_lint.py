"""Every rendered template is clean under cfn-lint, in two regions."""

import orjson
import pytest

from tests.catalog_files import NAMES, composed, offering, plans

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
    api = pytest.importorskip("cfnlint.api", reason="cfn-lint is not installed")
    text = orjson.dumps(composed(name, plan).spec.template).decode()
    matches = api.lint(text, config=api.ManualArgs(regions=regions))
    return [f"{m.rule.id} {'/'.join(map(str, m.path or []))}: {m.message}" for m in matches]


def test_there_are_offerings():
    assert NAMES
