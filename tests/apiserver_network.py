"""An `ApiServer` on the network, and HTTP/1.1 to it by hand."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from isthmus.apiserver import ApiServer, ServerConfig

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@asynccontextmanager
async def listening(folder: Path, **config: Any) -> AsyncGenerator[ApiServer]:
    server = await ApiServer.open(ServerConfig(folder, admin_token="admin", **config))
    assert server.url
    serving = asyncio.create_task(server.serve())
    try:
        yield server
    finally:
        async with asyncio.timeout(60):
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
        return await self.status()

    async def status(self) -> int:
        """The status of the next answer, whose headers are read."""
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
