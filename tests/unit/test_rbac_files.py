"""The roles that Isthmus ships know every kind that it ships."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.api.v1alpha1 import KINDS, Claim

ROLES = Path(__file__).parents[2] / "deploy" / "rbac"


def rules(file: str, role: str) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((ROLES / file).read_text())
    return next(d["rules"] for d in documents if d["metadata"]["name"] == role)


def allowed(found: list[dict[str, Any]], verb: str) -> set[str]:
    return {
        resource
        for rule in found
        if "isthmus.dev" in rule["apiGroups"] and verb in rule["verbs"]
        for resource in rule["resources"]
    }


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.names.kind)
def test_the_controllers_may_watch_each_kind_and_write_its_status(model):
    found = rules("controllers.yaml", "isthmus-controllers")
    assert model.names.plural in allowed(found, "watch")
    assert f"{model.names.plural}/status" in allowed(found, "update")


@pytest.mark.parametrize(
    "model", [m for m in KINDS if issubclass(m, Claim)], ids=lambda model: model.names.kind
)
def test_tenants_may_make_claims(model):
    assert model.names.plural in allowed(rules("people.yaml", "isthmus-view"), "list")
    assert model.names.plural in allowed(rules("people.yaml", "isthmus-edit"), "create")
