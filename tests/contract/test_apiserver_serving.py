"""Listening: TLS from the first start, streams over the network, an orderly end."""

import asyncio
import json
import ssl
import stat
from pathlib import Path

import pytest

from isthmus.apiserver import ApiServer, ServerConfig
from isthmus.apiserver.tls import Certificates
from tests.apiserver_network import CONFIG_MAPS, Connection, listening, trusting


async def test_requests_and_watch_over_tls_until_the_server_stops(tmp_path: Path) -> None:
    async with listening(tmp_path) as server, asyncio.timeout(30):
        context = trusting(server.ca_pem)
        watch = await Connection.open(server, context)
        assert await watch.send("GET", f"{CONFIG_MAPS}?watch=1") == 200
        other = await Connection.open(server, context)
        assert await other.send("POST", CONFIG_MAPS, {"metadata": {"name": "a"}}) == 201
        made = await other.body()
        event = json.loads(await watch.chunk())
        assert (event["type"], event["object"]) == ("ADDED", made)
        assert await other.send("GET", "/readyz") == 200
        await other.reader.readexactly(other.length)

        server.stop()
        assert await watch.chunk() == b""
        await watch.close()
        await other.close()


async def test_who_does_not_know_the_authority_does_not_trust_us(tmp_path: Path) -> None:
    async with listening(tmp_path / "a") as server:
        stranger = Certificates(tmp_path / "b", "127.0.0.1").ca_pem
        with pytest.raises(ssl.SSLCertVerificationError):
            await Connection.open(server, trusting(stranger))


async def test_keys_are_private_and_the_authority_stays(tmp_path: Path) -> None:
    first = Certificates(tmp_path / "tls", "127.0.0.1")
    server = first.certificate_path.read_text()

    again = Certificates(tmp_path / "tls", "127.0.0.1")
    assert again.ca_pem == first.ca_pem
    assert again.certificate_path.read_text() == server

    moved = Certificates(tmp_path / "tls", "api.example.com")
    assert moved.ca_pem == first.ca_pem
    assert moved.certificate_path.read_text() != server
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in moved.key_path.parent.iterdir()
    }
    assert modes["ca.key"] == modes["server.key"] == 0o600


async def test_closing_without_ever_listening(tmp_path: Path) -> None:
    server = await ApiServer.open(ServerConfig(tmp_path))
    await server.close()
    again = await ApiServer.open(ServerConfig(tmp_path))
    assert again.url.startswith("https://127.0.0.1:")
    await again.close()
