"""Tokens of ServiceAccounts open what the account may, as long as it exists."""

import base64
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import orjson
import pytest

from isthmus.apiserver import ApiServer
from tests.apiserver_client import Client, running

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[tuple[ApiServer, Client]]:
    async with running(tmp_path / "data") as (server, admin):
        await admin("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
        yield server, admin


async def issue(admin: Client, **spec: Any) -> Any:
    answer = await admin("POST", f"{ACCOUNTS}/robot/token", {"spec": spec})
    assert answer.code == 201
    return answer.json["status"]["token"]


async def test_token_has_the_rights_that_are_bound_to_the_account(
    server: tuple[ApiServer, Client],
) -> None:
    api, admin = server
    robot = Client(api, await issue(admin))
    assert (await robot("GET", CONFIG_MAPS)).code == 403

    subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "default"}
    view = {"kind": "ClusterRole", "name": "view"}
    binding = {"metadata": {"name": "b"}, "subjects": [subject], "roleRef": view}
    await admin("POST", BINDINGS, binding)

    assert (await robot("GET", CONFIG_MAPS)).code == 200
    assert (await robot("GET", "/api/v1/namespaces/kube-system/configmaps")).code == 403


async def test_token_dies_with_its_account(server: tuple[ApiServer, Client]) -> None:
    api, admin = server
    robot = Client(api, await issue(admin))
    assert (await robot("GET", "/apis")).code == 200

    await admin("DELETE", f"{ACCOUNTS}/robot")
    await admin("POST", ACCOUNTS, {"metadata": {"name": "robot"}})

    assert (await robot("GET", "/apis")).code == 401


async def test_forged_and_foreign_tokens_are_refused(server: tuple[ApiServer, Client]) -> None:
    api, admin = server
    token = await issue(admin)
    header, body, signature = token.split(".")
    claims = orjson.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "system:serviceaccount:kube-system:root"
    forged = base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("=")
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    foreign = await issue(admin, audiences=["somewhere-else"])

    for wrong in (f"{header}.{forged}.{signature}", f"{none}.{body}.", "a.b.c", "..", foreign):
        assert (await Client(api, wrong)("GET", "/apis")).code == 401


async def test_issuing_is_a_right(server: tuple[ApiServer, Client]) -> None:
    api, _ = server
    tenant = Client(api, api.issue_token("tenant", []))

    assert (await tenant("POST", f"{ACCOUNTS}/robot/token", {})).code == 403
    assert (await server[1]("GET", f"{ACCOUNTS}/robot/token")).code == 405


async def test_a_token_ends_with_the_secret_that_it_is_bound_to(
    server: tuple[ApiServer, Client],
) -> None:
    api, admin = server
    secrets = "/api/v1/namespaces/default/secrets"
    reference = {"kind": "Secret", "apiVersion": "v1", "name": "holder"}

    async def refusal(**changed: str) -> int:
        spec = {"boundObjectRef": {**reference, **changed}}
        return (await admin("POST", f"{ACCOUNTS}/robot/token", {"spec": spec})).code

    assert await refusal() == 404
    assert await refusal(kind="Pod") == 400
    await admin("POST", secrets, {"metadata": {"name": "holder"}})
    assert await refusal(uid="other") == 409

    holder = Client(api, await issue(admin, boundObjectRef=reference))

    assert (await holder("GET", "/api")).code == 200
    await admin("DELETE", f"{secrets}/holder")
    assert (await holder("GET", "/api")).code == 401
    await admin("POST", secrets, {"metadata": {"name": "holder"}})
    assert (await holder("GET", "/api")).code == 401, "of the same name, and another one"


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"audiences": "x"}, 400),
        ({"audiences": [1]}, 400),
        ({"expirationSeconds": "600"}, 400),
        ({"expirationSeconds": True}, 400),
        ({"expirationSeconds": 599}, 422),
        ({"expirationSeconds": 2**32 + 1}, 422),
    ],
)
async def test_what_is_wrong_with_a_request_for_a_token_is_said(
    server: tuple[ApiServer, Client], spec: Any, code: int
) -> None:
    refused = await server[1]("POST", f"{ACCOUNTS}/robot/token", {"spec": spec})
    assert refused.code == code, refused.body


async def test_a_token_that_is_to_last_too_long_lasts_a_year(
    server: tuple[ApiServer, Client],
) -> None:
    year = 365 * 24 * 3600
    wanted = {"spec": {"expirationSeconds": 2**32}}
    answer = await server[1]("POST", f"{ACCOUNTS}/robot/token", wanted)

    assert (answer.code, answer.json["spec"]["expirationSeconds"]) == (201, year)
    assert f"shortened to {year} seconds" in answer.headers["warning"]
    body = answer.json["status"]["token"].split(".")[1]
    claims = orjson.loads(base64.urlsafe_b64decode(body + "=="))
    assert claims["nbf"] == claims["iat"] == claims["exp"] - year
