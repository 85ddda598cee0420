"""The roles that Isthmus ships know every kind that it ships, and the controllers' hold no more."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus import controllers
from isthmus.api.v1alpha1 import KINDS, Claim
from isthmus.controllers.rights import Right, needed, of_election
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.manager import Manager
from isthmus.runtime.memory import MemoryStore

DEPLOY = Path(__file__).parents[2] / "deploy"


def rules(file: str, role: str, kind: str = "ClusterRole") -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((DEPLOY / file).read_text())
    found = (d for d in documents if d["kind"] == kind and d["metadata"]["name"] == role)
    return next(found)["rules"]


def granted(found: list[dict[str, Any]]) -> set[Right]:
    return {
        Right(verb, group, resource, name)
        for rule in found
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", [""])
    }


def allowed(found: list[dict[str, Any]], verb: str) -> set[str]:
    return {r.resource for r in granted(found) if r.group == "isthmus.dev" and r.verb == verb}


async def test_the_controllers_may_do_what_they_do_and_nothing_else():
    manager = Manager(MemoryStore(), clock=SystemClock())
    controllers.build(manager, load=lambda _: pytest.fail("no driver"), installation="")
    role = granted(rules("rbac/controllers.yaml", "isthmus-controllers"))
    used = set(needed(manager))
    assert sorted(used - role) == [], "rights that deploy/rbac/controllers.yaml lacks"
    assert sorted(role - used) == [], "rights that nothing needs"


def test_the_election_has_the_rights_on_one_lease_only():
    role = granted(rules("cluster/controllers.yaml", "isthmus-controllers", "Role"))
    assert role == set(of_election())


@pytest.mark.parametrize("model", KINDS, ids=lambda model: model.names.kind)
def test_the_controllers_may_watch_each_kind(model):
    found = rules("rbac/controllers.yaml", "isthmus-controllers")
    assert model.names.plural in allowed(found, "watch")


@pytest.mark.parametrize(
    "model", [m for m in KINDS if issubclass(m, Claim)], ids=lambda model: model.names.kind
)
def test_tenants_may_make_claims(model):
    assert model.names.plural in allowed(rules("rbac/people.yaml", "isthmus-view"), "list")
    assert model.names.plural in allowed(rules("rbac/people.yaml", "isthmus-edit"), "create")
