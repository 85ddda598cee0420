"""The checked-in CustomResourceDefinitions are what the models say. ``make crds`` writes them."""

from pathlib import Path

import pytest
import yaml

from isthmus.api.crd import crd
from isthmus.api.v1alpha1 import KINDS
from tests.golden_files import assert_golden

CRDS = Path(__file__).parents[2] / "deploy" / "crds"
HEAD = "# Generated from src/isthmus/api by `make crds`; change the models instead.\n"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.names.plural)
def test_crd_is_what_the_model_says(kind):
    text = HEAD + yaml.safe_dump(crd(kind), sort_keys=False, width=100)
    assert_golden(text, str(CRDS / f"{kind.names.qualified}.yaml"))


def test_no_crd_is_left_over():
    assert {file.stem for file in CRDS.glob("*.yaml")} == {kind.names.qualified for kind in KINDS}
