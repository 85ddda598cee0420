"""A tenant with rights in one namespace sees and changes nothing elsewhere."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver import ApiServer
from tests.apiserver_client import DEFINITIONS, Client, running, widget, widget_definition

RBAC = "/apis/rbac.authorization.k8s.io/v1"
MINE = "/apis/example.com/v1/namespaces/mine/widgets"
OTHERS = "/apis/example.com/v1/namespaces/others/widgets"
EVERYWHERE = "/apis/example.com/v1/widgets"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[tuple[ApiServer, Client]]:
    async with running(tmp_path / "data") as (server, admin):
        await admin("POST", DEFINITIONS, widget_definition())
        for name in ("mine", "others"):
            await admin("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        await admin("POST", MINE, widget())
        await admin("POST", OTHERS, widget())
        yield server, admin


@pytest.fixture
async def admin(server: tuple[ApiServer, Client]) -> Client:
    return server[1]


@pytest.fixture
async def tenant(server: tuple[ApiServer, Client]) -> Client:
    return Client(server[0], server[0].issue_token("tenant", ["tenants"]))


async def grant(admin: Client, namespace: str, **rule: Any) -> None:
    """Give the tenant one rule in one namespace."""
    role = {"metadata": {"name": "r"}, "rules": [{"apiGroups": ["example.com"], **rule}]}
    made = await admin("POST", f"{RBAC}/namespaces/{namespace}/roles", role)
    assert made.code == 201
    binding = {
        "metadata": {"name": "r"},
        "subjects": [{"kind": "User", "name": "tenant"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
    }
    made = await admin("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", binding)
    assert made.code == 201


REQUESTS = [
    ("list", "GET", "", None),
    ("watch", "GET", "?watch=true&timeoutSeconds=1", None),
    ("get", "GET", "/a", None),
    ("create", "POST", "", widget("new")),
    ("update", "PUT", "/a", widget("a")),
    ("patch", "PATCH", "/a", {"spec": {"size": 2}}),
    ("delete", "DELETE", "/a", None),
    ("deletecollection", "DELETE", "", None),
]


@pytest.mark.parametrize(("verb", "method", "path", "body"), REQUESTS)
async def test_each_verb_needs_its_own_right(
    admin: Client, tenant: Client, verb: str, method: str, path: str, body: Any
) -> None:
    every = [request[0] for request in REQUESTS if request[0] != verb]
    await grant(admin, "mine", resources=["widgets"], verbs=every)
    if verb == "update":
        body = (await admin("GET", MINE + path)).json
    refused = await tenant(method, MINE + path, body, kind=MERGE)
    assert refused.code == 403

    role = {"rules": [{"apiGroups": ["example.com"], "resources": ["widgets"], "verbs": [verb]}]}
    await admin("PATCH", f"{RBAC}/namespaces/mine/roles/r", role, kind=MERGE)
    allowed = await tenant(method, MINE + path, body, kind=MERGE, forever=True)
    assert allowed.code in (200, 201)


@pytest.mark.parametrize(("verb", "method", "path", "body"), REQUESTS)
async def test_rights_end_at_the_namespace(
    admin: Client, tenant: Client, verb: str, method: str, path: str, body: Any
) -> None:
    await grant(admin, "mine", resources=["*"], verbs=["*"])

    refused = await tenant(method, OTHERS + path, body, kind=MERGE)

    assert refused.code == 403
    assert verb in refused.json["message"]
    assert (await admin("GET", f"{OTHERS}/a")).json["spec"]["size"] == 1


async def test_cluster_wide_reads_need_cluster_wide_rights(admin: Client, tenant: Client) -> None:
    await grant(admin, "mine", resources=["*"], verbs=["*"])

    for path in (EVERYWHERE, f"{EVERYWHERE}?watch=1", "/api/v1/namespaces", DEFINITIONS):
        assert (await tenant("GET", path)).code == 403


async def test_absence_is_not_revealed_to_who_may_not_look(tenant: Client) -> None:
    there = await tenant("GET", f"{OTHERS}/a")
    absent = await tenant("GET", f"{OTHERS}/zz")

    assert there.code == absent.code == 403


async def test_names_limit_a_rule(admin: Client, tenant: Client) -> None:
    await admin("POST", MINE, widget("b"))
    await grant(admin, "mine", resources=["widgets"], verbs=["get"], resourceNames=["b"])

    assert (await tenant("GET", f"{MINE}/b")).code == 200
    assert (await tenant("GET", f"{MINE}/a")).code == 403
    assert (await tenant("GET", MINE)).code == 403


async def test_subresources_are_rights_of_their_own(admin: Client, tenant: Client) -> None:
    await grant(admin, "mine", resources=["widgets"], verbs=["*"])
    status = {"status": {"ready": True}}

    assert (await tenant("PATCH", f"{MINE}/a/status", status, kind=MERGE)).code == 403
    assert (await tenant("PATCH", f"{MINE}/a", status, kind=MERGE)).code == 200
    assert "status" not in (await admin("GET", f"{MINE}/a")).json


async def test_apply_that_creates_needs_both_rights(admin: Client, tenant: Client) -> None:
    await grant(admin, "mine", resources=["widgets"], verbs=["patch"])

    path = f"{MINE}/new?fieldManager=x"
    refused = await tenant("PATCH", path, widget("new"), kind="application/apply-patch+yaml")

    assert refused.code == 403
    assert "cannot create" in refused.json["message"]


async def test_nobody_grants_more_than_they_have(admin: Client, tenant: Client) -> None:
    rbac = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create"]}
    role = {"metadata": {"name": "maker"}, "rules": [rbac]}
    await admin("POST", f"{RBAC}/namespaces/mine/roles", role)
    binding = {
        "metadata": {"name": "maker"},
        "subjects": [{"kind": "Group", "name": "tenants"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "maker"},
    }
    await admin("POST", f"{RBAC}/namespaces/mine/rolebindings", binding)

    more = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    wanted = {"metadata": {"name": "more"}, "rules": [more]}
    refused = await tenant("POST", f"{RBAC}/namespaces/mine/roles", wanted)
    assert refused.code == 403
    assert "attempting to grant" in refused.json["message"]

    binding["metadata"] = {"name": "root"}
    binding["roleRef"] = {**binding["roleRef"], "kind": "ClusterRole", "name": "cluster-admin"}
    assert (await tenant("POST", f"{RBAC}/namespaces/mine/rolebindings", binding)).code == 403

    same = {"metadata": {"name": "same"}, "rules": [rbac]}
    assert (await tenant("POST", f"{RBAC}/namespaces/mine/roles", same)).code == 201


async def test_changed_rights_hold_at_once(admin: Client, tenant: Client) -> None:
    await grant(admin, "mine", resources=["widgets"], verbs=["get"])
    assert (await tenant("GET", f"{MINE}/a")).code == 200

    await admin("DELETE", f"{RBAC}/namespaces/mine/rolebindings/r")

    assert (await tenant("GET", f"{MINE}/a")).code == 403


async def test_reviews_agree_with_what_is_enforced(admin: Client, tenant: Client) -> None:
    await grant(admin, "mine", resources=["widgets"], verbs=["get"])
    reviews = "/apis/authorization.k8s.io/v1"

    async def may(namespace: str, verb: str) -> bool:
        asked = {"group": "example.com", "resource": "widgets"}
        spec = {"resourceAttributes": {**asked, "namespace": namespace, "verb": verb}}
        answer = await tenant("POST", f"{reviews}/selfsubjectaccessreviews", {"spec": spec})
        assert answer.code == 201
        return answer.json["status"]["allowed"]

    assert await may("mine", "get")
    assert not await may("mine", "delete")
    assert not await may("others", "get")
    other: Any = {"spec": {"user": "admin", "resourceAttributes": {"verb": "get"}}}
    assert (await tenant("POST", f"{reviews}/subjectaccessreviews", other)).code == 403
    rules = await tenant(
        "POST", f"{reviews}/selfsubjectrulesreviews", {"spec": {"namespace": "mine"}}
    )
    assert ["get"] in [rule["verbs"] for rule in rules.json["status"]["resourceRules"]]


async def test_who_am_i(tenant: Client) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

    info = (await tenant("POST", path, {})).json["status"]["userInfo"]

    assert info == {"username": "tenant", "groups": ["tenants", "system:authenticated"]}


async def test_without_a_token_nothing_is_answered_but_health(
    server: tuple[ApiServer, Client],
) -> None:
    stranger = Client(server[0], "wrong")

    for path in ("/api", "/apis", "/openapi/v3", MINE, "/metrics", "/anything", "/version"):
        assert (await stranger("GET", path)).code == 401
    for path in ("/healthz", "/readyz", "/livez"):
        assert (await stranger("GET", path)).code == 200
