"""Doors in guests: the cloud's API on their loopback, and the metadata service.

The cloud's endpoints are on the host's loopback, which a guest cannot reach: within a guest the
same ports of 127.0.0.1 lead to them. 169.254.169.254 answers with the guest's own config drive,
whose metadata are read anew from Nova, as Nova's metadata service would answer.
"""

import asyncio
import ctypes
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, cast

from isthmus_lab_kubernetes.guests import Guest
from isthmus_lab_kubernetes.networks import METADATA

_NEW_NETWORK = 0x40000000
_FREEBIND = 15
"""IP_FREEBIND of ip(7): the namespace is there a moment before the addresses on its loopback."""
_LIBC = ctypes.CDLL(None, use_errno=True)
Metadata = Callable[[str], dict[str, str] | None]
_Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def listen_inside(namespace: Path, addresses: Iterable[tuple[str, int]]) -> list[socket.socket]:
    """Open listening sockets in another network namespace; a taken port is left out.

    A socket belongs to the namespace of the thread that made it, so a thread of its own goes there.
    """
    opened: list[socket.socket] = []

    def work() -> None:
        with namespace.open() as handle:
            if _LIBC.setns(handle.fileno(), _NEW_NETWORK):
                return
        for address in addresses:
            made = socket.socket()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
            try:
                made.bind(address)
            except OSError:
                made.close()
                continue
            made.listen(64)
            opened.append(made)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return opened


class Doors:
    """The doors of all guests; `keep` opens those of new guests and closes those of gone ones."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._open: dict[str, tuple[int, list[asyncio.Server]]] = {}

    async def keep(self, guests: Iterable[Guest], ports: Iterable[int]) -> None:
        """Open what is not open; a guest that was started anew has a new namespace."""
        wished = {guest.name: guest for guest in guests}
        for name in set(self._open) - set(wished):
            self._close(name)
        for name, guest in wished.items():
            path = Path("/run/netns") / guest.lab.namespace("vm", name)
            try:
                number = os.stat(path).st_ino
            except FileNotFoundError:
                self._close(name)
                continue
            if self._open.get(name, (0,))[0] != number:
                self._close(name)
                self._open[name] = (number, await self._serve(guest, path, ports))
                guest.doors_opened(number)

    def close(self) -> None:
        """Close them all."""
        for name in list(self._open):
            self._close(name)

    def _close(self, name: str) -> None:
        for server in self._open.pop(name, (0, []))[1]:
            server.close()

    async def _serve(self, guest: Guest, path: Path, ports: Iterable[int]) -> list[asyncio.Server]:
        addresses = [("127.0.0.1", port) for port in sorted(ports)]
        opened = await asyncio.to_thread(listen_inside, path, [*addresses, (METADATA, 80)])
        servers: list[asyncio.Server] = []
        for made in opened:
            port = made.getsockname()[1]
            handler = self._metadata_handler(guest) if port == 80 else _forward(port)
            servers.append(await asyncio.start_server(handler, sock=made))
        return servers

    def _metadata_handler(self, guest: Guest) -> _Handler:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                line = await asyncio.wait_for(reader.readline(), 10)
                while await asyncio.wait_for(reader.readline(), 10) not in (b"\r\n", b"\n", b""):
                    pass
                path = line.split()[1].decode() if len(line.split()) > 1 else "/"
                body = await asyncio.to_thread(metadata_answer, guest, path, self._metadata)
                status = "404 Not Found" if body is None else "200 OK"
                head = f"HTTP/1.0 {status}\r\nContent-Length: {len(body or b'')}\r\n\r\n"
                writer.write(head.encode() + (body or b""))
                await writer.drain()
            except (OSError, TimeoutError):
                pass  # The guest's power was pulled while it asked.
            finally:
                writer.close()

        return answer


def metadata_answer(guest: Guest, path: str, live: Metadata) -> bytes | None:
    """What the metadata service says; None if there is no such thing."""
    inside = path.split("?")[0].strip("/")
    version, _, rest = inside.partition("/")
    if version == "latest" or version[:2] == "20":
        return _as_ec2(guest.drive / "ec2/latest", rest)
    if inside and version != "openstack":
        return None
    target = (guest.drive / inside).resolve()
    if not target.is_relative_to(guest.drive.resolve()) or not target.exists():
        return None
    if target.is_dir():
        return "\n".join(sorted(item.name for item in target.iterdir())).encode()
    content = target.read_bytes()
    if target.name != "meta_data.json" or (now := live(guest.name)) is None:
        return content
    return json.dumps({**json.loads(content), "meta": now}).encode()


def _as_ec2(folder: Path, inside: str) -> bytes | None:
    """The form of EC2, which cloud-init asks for, too: a value, or the names below a path."""
    if inside == "user-data":
        file = folder / "user-data"
        return file.read_bytes() if file.exists() else None
    kind, *names = [word for word in inside.split("/") if word]
    if kind != "meta-data" or not (folder / "meta-data.json").exists():
        return None
    value: Any = json.loads((folder / "meta-data.json").read_text())
    for name in names:
        if not isinstance(value, dict) or name not in value:
            return None
        value = cast("dict[str, Any]", value)[name]
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return "\n".join(k + "/" * isinstance(v, dict) for k, v in items).encode()
    return str("" if value is None else value).encode()


def _forward(port: int) -> _Handler:
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass  # One end has hung up: so does the other.
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    return connect
