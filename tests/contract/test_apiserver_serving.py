"""Listening: TLS from the first start, streams over the network, an orderly end."""

import asyncio
import json
import ssl
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from isthmus.apiserver import ApiServer, ServerConfig
from isthmus.apiserver.tls import Certificates

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@asynccontextmanager
async def listening(folder: Path) -> AsyncGenerator[ApiServer]:
    server = await ApiServer.open(ServerConfig(folder, admin_token="admin"))
    assert server.url
    serving = asyncio.create_task(server.serve())
    try:
        yield server
    finally:
        async with asyncio.timeout(15):
            await server.close()
            await serving


def trusting(authority: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority)


class Connection:
    """HTTP/1.1 by hand: what arrives is looked at bit by bit."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, server: ApiServer, context: ssl.SSLContext) -> "Connection":
        address = urlsplit(server.url)
        return cls(*await asyncio.open_connection(address.hostname, address.port, ssl=context))

    async def send(self, method: str, path: str, body: Any = None) -> int:
        """Send a request; the status of its answer, whose headers are read."""
        raw = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer admin\r\n"
            f"content-type: application/json\r\ncontent-length: {len(raw)}\r\n\r\n"
        )
        self.writer.write(head.encode() + raw)
        await self.writer.drain()
        status = int((await self.reader.readline()).split()[1])
        self.length = 0
        while (line := await self.reader.readline()).strip():
            name, _, value = line.decode().partition(":")
            if name.lower() == "content-length":
                self.length = int(value)
        return status

    async def body(self) -> Any:
        return json.loads(await self.reader.readexactly(self.length))

    async def chunk(self) -> bytes:
        """One chunk of a streamed answer; empty at its end."""
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readline()
        return data

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


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
