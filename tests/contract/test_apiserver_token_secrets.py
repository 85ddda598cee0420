"""Secrets that hold a token of a ServiceAccount, and other types of Secrets."""

import base64
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver import ApiServer
from tests.apiserver_client import Client, gone, running, until
from tests.certificates import Authority

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
SECRETS = "/api/v1/namespaces/default/secrets"
TYPE = "kubernetes.io/service-account-token"
NAME, UID = "kubernetes.io/service-account.name", "kubernetes.io/service-account.uid"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[tuple[ApiServer, Client]]:
    async with running(tmp_path / "data") as (server, admin):
        await admin("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
        yield server, admin


def secret(name: str = "t", account: str = "robot", **noted: str) -> dict[str, Any]:
    metadata = {"name": name, "annotations": {NAME: account, **noted}}
    return {"metadata": metadata, "type": TYPE}


def has_token(answer: Any) -> bool:
    return bool(answer.json.get("data", {}).get("token"))


async def with_token(admin: Client) -> Any:
    """The Secret `t` once it is filled."""
    return (await until(admin, f"{SECRETS}/t", has_token)).json


def token_of(filled: Any) -> str:
    return base64.b64decode(filled["data"]["token"]).decode()


async def test_a_secret_is_filled_and_its_token_ends_with_it(
    server: tuple[ApiServer, Client],
) -> None:
    api, admin = server
    assert (await admin("POST", SECRETS, secret())).code == 201
    filled = await with_token(admin)
    account = (await admin("GET", f"{ACCOUNTS}/robot")).json
    assert base64.b64decode(filled["data"]["namespace"]) == b"default"
    assert filled["metadata"]["annotations"][UID] == account["metadata"]["uid"]

    robot = Client(api, token_of(filled))
    assert (await robot("GET", "/api")).code == 200
    await admin("DELETE", f"{SECRETS}/t")
    assert (await robot("GET", "/api")).code == 401

    await admin("POST", SECRETS, secret())
    again = token_of(await with_token(admin))
    assert (await robot("GET", "/api")).code == 401, "of the same name, and another one"
    assert (await Client(api, again)("GET", "/api")).code == 200


async def test_the_secret_goes_with_its_account(server: tuple[ApiServer, Client]) -> None:
    api, admin = server
    await admin("POST", SECRETS, secret())
    robot = Client(api, token_of(await with_token(admin)))

    await admin("DELETE", f"{ACCOUNTS}/robot")

    assert (await robot("GET", "/api")).code == 401
    await until(admin, f"{SECRETS}/t", gone)


async def test_what_is_taken_out_of_a_secret_is_put_in_again(
    server: tuple[ApiServer, Client],
) -> None:
    _, admin = server
    await admin("POST", SECRETS, secret())
    before = await with_token(admin)

    await admin("PATCH", f"{SECRETS}/t", {"data": {"token": None}}, kind=MERGE)

    after = await with_token(admin)
    assert after["data"] == before["data"]


async def test_the_authority_is_told_once_there_is_one(tmp_path: Path) -> None:
    async with running(tmp_path) as (api, admin):
        await admin("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
        await admin("POST", SECRETS, secret())
        await with_token(admin)

        authority = api.ca_pem

        def tells(answer: Any) -> bool:
            return "ca.crt" in answer.json["data"]

        filled = await until(admin, f"{SECRETS}/t", tells)
        assert base64.b64decode(filled.json["data"]["ca.crt"]).decode() == authority


async def test_secrets_of_nobody_go(server: tuple[ApiServer, Client]) -> None:
    _, admin = server
    assert (await admin("POST", SECRETS, secret("a", "nobody"))).code == 201
    assert (await admin("POST", SECRETS, secret("b", **{UID: "of-another-one"}))).code == 201

    await until(admin, f"{SECRETS}/a", gone)
    await until(admin, f"{SECRETS}/b", gone)


async def test_secrets_of_nobody_go_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, admin):
        await admin("POST", ACCOUNTS, {"metadata": {"name": "robot"}})
        await admin("POST", SECRETS, secret())
        filled = await with_token(admin)
    async with running(tmp_path) as (api, admin):
        assert (await Client(api, token_of(filled))("GET", "/api")).code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": TYPE}, f"metadata.annotations[{NAME}]"),
        ({"data": {".": ""}}, "data[.]"),
        ({"data": {"..": ""}}, "data[..]"),
        ({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "W10="}},
         "data[.dockerconfigjson]"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_secret_is_said(
    server: tuple[ApiServer, Client], body: Any, field: str
) -> None:
    answer = await server[1]("POST", SECRETS, {"metadata": {"name": "s"}, **body})

    assert answer.code == 422
    assert {cause["field"] for cause in answer.json["details"]["causes"]} == {field}


async def test_a_pair_that_serves_nobody_is_warned_of(server: tuple[ApiServer, Client]) -> None:
    authority = Authority()
    (certificate, key), (_, other) = authority.issue("a"), authority.issue("b")

    async def told(**data: str) -> str:
        written = {f"tls.{name}": text for name, text in data.items()}
        metadata = {"generateName": "s-"}
        body = {"metadata": metadata, "type": "kubernetes.io/tls", "stringData": written}
        made = await server[1]("POST", SECRETS, body)
        assert made.code == 201
        return made.headers.get("warning", "")

    assert "any PEM data in certificate input" in await told(crt="none", key=key)
    assert "any PEM data in key input" in await told(crt=certificate, key="none")
    assert "private key does not match public key" in await told(crt=certificate, key=other)
    assert await told(crt=certificate, key=key) == ""


async def test_base64_may_be_broken_into_lines(server: tuple[ApiServer, Client]) -> None:
    made = await server[1]("POST", SECRETS, {"metadata": {"name": "s"}, "data": {"a": "Zm\n9v\n"}})

    assert made.json["data"] == {"a": "Zm9v"}


async def test_a_type_that_is_not_said_is_opaque(server: tuple[ApiServer, Client]) -> None:
    _, admin = server
    await admin("POST", SECRETS, {"metadata": {"name": "s"}, "type": "example.com/own"})

    refused = await admin("PUT", f"{SECRETS}/s", {"metadata": {"name": "s"}})

    assert refused.json["details"]["causes"][0]["field"] == "type"
