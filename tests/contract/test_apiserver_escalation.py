"""Nobody comes to rights by way of roles and bindings that they did not have before."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver import ApiServer
from tests.apiserver_client import Client, entitle, running

GROUP = "rbac.authorization.k8s.io"
ROLES = f"/apis/{GROUP}/v1/clusterroles"
MERGE = "application/merge-patch+json"
KEEPER: list[Any] = [
    {"apiGroups": [GROUP], "resources": ["*"], "verbs": ["create", "get", "update", "patch"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["a", "b"]},
    {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["c"]},
]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[tuple[ApiServer, Client]]:
    async with running(tmp_path / "data") as (server, admin):
        await entitle(admin, "User", "keeper", KEEPER)
        yield server, admin


@pytest.fixture
async def keeper(server: tuple[ApiServer, Client]) -> Client:
    """May write roles and bindings, and has hardly a right besides."""
    return Client(server[0], server[0].issue_token("keeper", []))


def role(name: str, rules: Any, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "rules": rules, **more}


def binding(name: str, to: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "subjects": [{"kind": "User", "name": "keeper"}],
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": to},
    }


GATHERS_ALL = {"clusterRoleSelectors": [{"matchExpressions": [
    {"key": "kubernetes.io/bootstrapping", "operator": "Exists"}]}]}  # fmt: skip


async def test_a_role_that_gathers_others_takes_all_rights(keeper: Client) -> None:
    own = await keeper("PATCH", f"{ROLES}/keeper", {"aggregationRule": GATHERS_ALL}, kind=MERGE)
    new = await keeper("POST", ROLES, role("new", [], aggregationRule=GATHERS_ALL))

    for answer in (own, new):
        assert answer.code == 403, answer.body
        assert "must have cluster-admin privileges" in answer.json["message"]


async def test_who_has_all_rights_may_write_such_a_role(
    server: tuple[ApiServer, Client],
) -> None:
    everything = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]
    await entitle(server[1], "User", "root", everything)
    root = Client(server[0], server[0].issue_token("root", []))

    made = await root("POST", ROLES, role("new", [], aggregationRule=GATHERS_ALL))

    assert made.code == 201


async def test_a_label_gives_the_rules_of_a_role_to_nobody(keeper: Client) -> None:
    labels = {"metadata": {"labels": {f"{GROUP}/aggregate-to-view": "true"}}}

    refused = await keeper("PATCH", f"{ROLES}/cluster-admin", labels, kind=MERGE)

    assert refused.code == 403
    assert "attempting to grant" in refused.json["message"]


async def test_garbage_collection_of_roles_takes_no_rights(keeper: Client) -> None:
    held = {"metadata": {"finalizers": ["example.com/a"]}}

    changed = await keeper("PATCH", f"{ROLES}/cluster-admin", held, kind=MERGE)

    assert changed.code == 200


async def test_a_role_that_is_not_there_yet_is_not_bound(
    server: tuple[ApiServer, Client], keeper: Client
) -> None:
    bindings = f"/apis/{GROUP}/v1/clusterrolebindings"

    refused = await keeper("POST", bindings, binding("early", "later"))

    assert (refused.code, refused.json["message"]) == (
        404,
        f'clusterrolebindings.{GROUP} "later" not found',
    )
    assert (await server[1]("POST", bindings, binding("early", "later"))).code == 201


@pytest.mark.parametrize(
    ("names", "code"),
    [(["a"], 201), (["a", "c"], 201), (["a", "d"], 403), ([], 403), ([""], 403)],
    ids=["one", "of two rules", "another one", "all", "no name"],
)
async def test_rights_to_names_are_granted_for_names(
    keeper: Client, names: list[str], code: int
) -> None:
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}

    answer = await keeper("POST", ROLES, role("part", [{**rule, "resourceNames": names}]))

    assert answer.code == code


async def test_a_rule_of_many_words_is_judged_soon(keeper: Client) -> None:
    long = {"apiGroups": [GROUP] * 1000, "resources": ["roles"] * 1000, "verbs": ["get"] * 1000}
    many = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"],
            "resourceNames": ["a", "b", "c"] * 10_000}  # fmt: skip

    assert (await keeper("POST", ROLES, role("long", [long]))).code == 201
    assert (await keeper("POST", ROLES, role("many", [many]))).code == 201


async def test_a_namespace_is_in_itself_for_who_has_rights_there(
    server: tuple[ApiServer, Client],
) -> None:
    api, admin = server
    for name in ("mine", "others"):
        await admin("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    rule = {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "patch", "list"]}
    await entitle(admin, "User", "anna", [rule], namespace="mine")
    anna = Client(api, api.issue_token("anna", []))
    labels = {"metadata": {"labels": {"a": "b"}}}

    assert (await anna("GET", "/api/v1/namespaces/mine")).code == 200
    assert (await anna("PATCH", "/api/v1/namespaces/mine", labels, kind=MERGE)).code == 200
    assert (await anna("GET", "/api/v1/namespaces")).code == 403
    assert (await anna("PATCH", "/api/v1/namespaces/mine/status", {}, kind=MERGE)).code == 403
    refused = await anna("GET", "/api/v1/namespaces/others")
    assert refused.code == 403
    assert refused.json["message"].endswith('in API group "" in the namespace "others"')
