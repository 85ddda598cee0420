"""Client certificates: the common name is the user, the organisations are the groups."""

import asyncio
import base64
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.apiserver import ApiServer
from isthmus.faces.cli import kubeconfig
from isthmus.faces.cli.client import Client
from isthmus.faces.cli.failures import CommandFailed, Exit
from tests.apiserver_network import Connection, listening, trusting
from tests.certificates import Authority

REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


def saved(folder: Path, server: Any, user: dict[str, str]) -> kubeconfig.Target:
    """The target of a kubeconfig with this user."""
    authority = base64.b64encode(server.ca_pem.encode()).decode()
    cluster = {"server": server.url, "certificate-authority-data": authority}
    file = folder / "kubeconfig"
    file.write_text(
        yaml.safe_dump({
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        })
    )  # fmt: skip
    return kubeconfig.load(str(file))


def shown(certificate: str, key: str) -> dict[str, str]:
    return {
        "client-certificate-data": base64.b64encode(certificate.encode()).decode(),
        "client-key-data": base64.b64encode(key.encode()).decode(),
    }


async def whoami(target: kubeconfig.Target) -> dict[str, Any]:
    async with Client(target) as client:
        answer = await client.request("POST", REVIEWS, body={})
    return answer["status"]["userInfo"]


async def test_common_name_and_organisations(tmp_path: Path) -> None:
    authority = Authority()
    async with listening(tmp_path, client_ca=authority.save(tmp_path)) as server:
        anna = shown(*authority.issue("anna", "devs", "ops"))
        found = await whoami(saved(tmp_path, server, anna))
        assert found == {"username": "anna", "groups": ["devs", "ops", "system:authenticated"]}

        # A token says who it is, whatever the certificate says.
        both = await whoami(saved(tmp_path, server, {**anna, "token": "admin"}))
        assert both["username"] == "admin"
        with pytest.raises(CommandFailed) as caught:
            await whoami(saved(tmp_path, server, {**anna, "token": "wrong"}))
        assert caught.value.code == Exit.FORBIDDEN


@pytest.mark.parametrize("which", ["stranger", "expired", "nameless", "absent"])
async def test_other_certificates_let_nobody_in(tmp_path: Path, which: str) -> None:
    authority = Authority()
    users = {
        "stranger": lambda: shown(*Authority().issue("anna", "system:masters")),
        "expired": lambda: shown(*authority.issue("anna", "system:masters", days=-1)),
        "nameless": lambda: shown(*authority.issue("", "system:masters")),
        "absent": dict[str, str],
    }
    async with listening(tmp_path, client_ca=authority.save(tmp_path)) as server:
        with pytest.raises(CommandFailed) as caught:
            await whoami(saved(tmp_path, server, users[which]()))
        assert caught.value.code in (Exit.FORBIDDEN, Exit.UNAVAILABLE)


async def asked(connection: Connection) -> int:
    """The status of an answer to whom the certificate of the connection names."""
    connection.writer.write(b"GET /api HTTP/1.1\r\nhost: x\r\n\r\n")
    status = await connection.status()
    await connection.body()
    return status


async def admitted(server: ApiServer, pair: tuple[str, str], file: Path) -> Connection | None:
    """One connection with a certificate that holds; None: it has expired before the answer."""
    await asyncio.to_thread(file.write_text, "".join(pair))
    context = trusting(server.ca_pem)
    context.load_cert_chain(file)
    connection = await Connection.open(server, context)
    with suppress(ConnectionError, ssl.SSLError, IndexError):
        if await asked(connection) == 200:
            return connection
    connection.writer.transport.abort()
    return None


@pytest.mark.slow
async def test_a_connection_does_not_outlive_its_certificate(tmp_path: Path) -> None:
    authority = Authority()
    async with listening(tmp_path, client_ca=authority.save(tmp_path)) as server:
        for seconds in (8, 60):  # the latter on a machine that stood still as long as the former
            pair = authority.issue("anna", days=seconds / 86_400)
            connection = await admitted(server, pair, tmp_path / "anna.pem")
            if connection is not None:
                break
        assert connection is not None
        while (status := await asked(connection)) == 200:  # noqa: ASYNC110 - a certificate
            await asyncio.sleep(0.2)
        assert status == 401
        await connection.close()


async def test_without_an_authority_a_certificate_says_nothing(tmp_path: Path) -> None:
    async with listening(tmp_path) as server:
        user = shown(*Authority().issue("anna", "system:masters"))
        with pytest.raises(CommandFailed) as caught:
            await whoami(saved(tmp_path, server, user))
        assert caught.value.code == Exit.FORBIDDEN


async def test_a_certificate_without_its_key_is_told(tmp_path: Path) -> None:
    async with listening(tmp_path) as server:
        certificate, _ = Authority().issue("anna")
        _, other = Authority().issue("anna")
        half = shown(certificate, other)
        del half["client-key-data"]
        with pytest.raises(CommandFailed, match="belong together"):
            saved(tmp_path, server, half)
        with pytest.raises(CommandFailed, match="belong"):
            await whoami(saved(tmp_path, server, shown(certificate, other)))
