"""Acting as somebody else takes the right to be just that: user, account, groups, uid and more."""

from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver import ApiServer
from tests.apiserver_client import Answer, Client, entitle, running

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ROBOT = "system:serviceaccount:team:robot"
Headers = dict[str, str]


async def whoami(server: ApiServer, token: str, headers: Headers) -> Answer:
    client = Client(server, token)
    client.headers += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return await client("POST", WHOAMI, {})


def seen(answer: Answer) -> Any:
    assert answer.code == 201, answer.body
    return answer.json["status"]["userInfo"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Impersonate-User": "anna"}, {"username": "anna", "groups": ["system:authenticated"]}),
        (
            {"Impersonate-User": ROBOT},
            {
                "username": ROBOT,
                "groups": [
                    "system:serviceaccounts", "system:serviceaccounts:team", "system:authenticated"
                ],
            },
        ),
        (
            {"Impersonate-User": ROBOT, "Impersonate-Group": "x"},
            {"username": ROBOT, "groups": ["x", "system:authenticated"]},
        ),
        (
            {"Impersonate-User": f"{ROBOT}:more"},
            {"username": f"{ROBOT}:more", "groups": ["system:authenticated"]},
        ),
        (
            {
                "Impersonate-User": "anna", "Impersonate-Uid": "u",
                "Impersonate-Extra-Scopes%2fA": "v",
            },
            {
                "username": "anna", "uid": "u", "groups": ["system:authenticated"],
                "extra": {"scopes/a": ["v"]},
            },
        ),
    ],
)  # fmt: skip
async def test_who_somebody_is_then(tmp_path: Path, headers: Headers, expected: Any) -> None:
    async with running(tmp_path) as (server, _):
        assert seen(await whoami(server, "admin", headers)) == expected


@pytest.mark.parametrize(
    "headers", [{"Impersonate-Group": "g"}, {"Impersonate-Uid": "u"}, {"Impersonate-Extra-a": "b"}]
)
async def test_whose_groups_they_are_must_be_said(tmp_path: Path, headers: Headers) -> None:
    async with running(tmp_path) as (server, _):
        assert (await whoami(server, "admin", headers)).code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Impersonate-User": "system:anonymous"},
        {"Impersonate-User": "anna", "Impersonate-Group": "system:unauthenticated"},
    ],
)
async def test_nobody_in_particular_is_not_authenticated(tmp_path: Path, headers: Headers) -> None:
    async with running(tmp_path) as (server, _):
        assert (await whoami(server, "admin", headers)).code == 403


USERS: Any = {"apiGroups": [""], "resources": ["users"], "resourceNames": ["anna"]}
ACCOUNTS: Any = {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": ["robot"]}
GROUPS: Any = {"apiGroups": [""], "resources": ["groups"], "resourceNames": ["devs"]}
AUTHN = "authentication.k8s.io"
EXTRA: Any = {"apiGroups": [AUTHN], "resources": ["userextras/scopes"], "resourceNames": ["view"]}
UIDS: Any = {"apiGroups": [AUTHN], "resources": ["uids"], "resourceNames": ["u"]}
ANNA = {"Impersonate-User": "anna"}


@pytest.mark.parametrize(
    ("rules", "headers", "allowed"),
    [
        ([USERS], ANNA, True),
        ([USERS], {"Impersonate-User": "otto"}, False),
        ([GROUPS, UIDS, EXTRA, ACCOUNTS], ANNA, False),
        ([{"apiGroups": [""], "resources": ["users"]}], {"Impersonate-User": ROBOT}, False),
        ([ACCOUNTS], {"Impersonate-User": ROBOT}, True),
        ([ACCOUNTS], {"Impersonate-User": f"{ROBOT}2"}, False),
        ([USERS], {**ANNA, "Impersonate-Group": "devs"}, False),
        ([USERS, GROUPS], {**ANNA, "Impersonate-Group": "devs"}, True),
        ([USERS, GROUPS], {**ANNA, "Impersonate-Group": "system:masters"}, False),
        ([USERS], {**ANNA, "Impersonate-Uid": "u"}, False),
        ([USERS, UIDS], {**ANNA, "Impersonate-Uid": "u"}, True),
        ([USERS, UIDS], {**ANNA, "Impersonate-Uid": "v"}, False),
        ([USERS], {**ANNA, "Impersonate-Extra-Scopes": "view"}, False),
        ([USERS, EXTRA], {**ANNA, "Impersonate-Extra-Scopes": "view"}, True),
        ([USERS, EXTRA], {**ANNA, "Impersonate-Extra-Scopes": "edit"}, False),
        ([USERS, EXTRA], {**ANNA, "Impersonate-Extra-Others": "view"}, False),
    ],
)
async def test_it_takes_the_right_to_be_all_of_it(
    tmp_path: Path, rules: list[Any], headers: Headers, allowed: bool
) -> None:
    async with running(tmp_path) as (server, admin):
        given = [{**rule, "verbs": ["impersonate"]} for rule in rules]
        await entitle(admin, "User", "deputy", given)
        answer = await whoami(server, server.issue_token("deputy", []), headers)
        assert answer.code == (201 if allowed else 403), answer.body


async def test_an_account_may_be_impersonated_where_it_lives_only(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, admin):
        await admin("POST", "/api/v1/namespaces", {"metadata": {"name": "team"}})
        rule = {**ACCOUNTS, "verbs": ["impersonate"]}
        await entitle(admin, "User", "deputy", [rule], namespace="team")
        token = server.issue_token("deputy", [])
        assert (await whoami(server, token, {"Impersonate-User": ROBOT})).code == 201
        elsewhere = ROBOT.replace("team", "default")
        assert (await whoami(server, token, {"Impersonate-User": elsewhere})).code == 403


async def test_the_version_is_told_to_everybody_but_who_shows_a_wrong_token(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, admin):
        assert (await admin("GET", "/version")).code == 200
        assert (await Client(server, "wrong")("GET", "/version")).code == 401
        nobody = Client(server, "")
        nobody.headers = []
        assert (await nobody("GET", "/version")).code == 200
