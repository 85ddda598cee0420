"""What one caller may cost: slow, silent and too many callers leave room for the others."""

import asyncio
import gc
import json
import ssl
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver.config import Limits
from tests.apiserver_client import Client
from tests.apiserver_network import CONFIG_MAPS, Connection, listening, trusting

BROKEN_OFF = (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, IndexError)
"""What a caller sees of a connection that the server has ended."""


async def opened(server: Any) -> Connection:
    return await Connection.open(server, trusting(server.ca_pem))


async def opened_in_time(server: Any, *, asks: bool = False) -> Connection:
    """A connection that met a short bound, with its first answer if it `asks` for one.

    A machine that pauses meets it at another attempt.
    """
    async with asyncio.timeout(60):
        while True:
            try:
                found = await opened(server)
            except BROKEN_OFF:
                continue
            try:
                if asks:
                    assert await found.send("GET", CONFIG_MAPS) == 200
                    await found.body()
            except BROKEN_OFF:
                found.writer.transport.abort()
            else:
                return found


async def ends(connection: Connection, seconds: float = 60.0) -> None:
    """Wait until the server has closed the connection."""
    async with asyncio.timeout(seconds):
        try:
            while await connection.reader.read(65536):
                pass
        except ConnectionError:
            pass
    connection.writer.close()


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"GET /api HTT",
        b"GET /api HTTP/1.1\r\nhost: x\r\nauthorization: ",
        b"POST " + CONFIG_MAPS.encode() + b" HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n"
        b"content-length: 100000\r\n\r\n{",
    ],
    ids=["nothing", "method", "headers", "body"],
)
async def test_a_byte_now_and_then_keeps_no_connection(tmp_path: Path, start: bytes) -> None:
    async with listening(tmp_path, limits=Limits(request_seconds=0.4)) as server:
        slow = await opened_in_time(server)
        slow.writer.write(start)

        async def drip() -> None:
            while start:
                slow.writer.write(b"x")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        await ends(slow)
        dripping.cancel()


async def test_an_idle_connection_may_wait_between_its_requests(tmp_path: Path) -> None:
    async with listening(tmp_path, limits=Limits(request_seconds=0.2)) as server:
        patient = await opened_in_time(server, asks=True)
        await asyncio.sleep(0.5)
        assert await patient.send("GET", CONFIG_MAPS) == 200
        await patient.close()


async def test_a_watch_that_nobody_reads_ends_and_costs_little(tmp_path: Path) -> None:
    limits = Limits(stalled_seconds=0.3, history_bytes=2**20)
    async with listening(tmp_path, limits=limits) as server:
        api = Client(server, "admin")
        silent = await opened(server)
        assert await silent.send("GET", f"{CONFIG_MAPS}?watch=1") == 200
        silent.writer.transport.pause_reading()

        async with asyncio.timeout(60):
            number = 0
            while _watching(server):
                body = {"metadata": {"name": f"big-{number}"}, "data": {"x": "y" * 100_000}}
                assert (await api("POST", CONFIG_MAPS, body)).code == 201
                number += 1
                await asyncio.sleep(0.01)
        silent.writer.transport.abort()


async def test_a_watcher_that_lags_behind_holds_no_more_than_its_window(tmp_path: Path) -> None:
    limits = Limits(stalled_seconds=600, history_bytes=2**20)
    async with listening(tmp_path, limits=limits) as server:
        api = Client(server, "admin")
        await api("POST", CONFIG_MAPS, {"metadata": {"name": "big"}})
        silent = [await opened(server) for _ in range(4)]
        for one in silent:
            assert await one.send("GET", f"{CONFIG_MAPS}?watch=1") == 200
            one.writer.transport.pause_reading()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(150):
            body = {"metadata": {"name": "big"}, "data": {"x": f"{number}" + "y" * 200_000}}
            assert (await api("PUT", f"{CONFIG_MAPS}/big", body)).code == 200
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert _watching(server)
        assert grown < 30 * 2**20, f"{grown / 2**20:.0f} MiB of 30 MiB a watcher"
        for one in silent:
            one.writer.transport.abort()


async def test_a_long_list_shows_one_moment_however_slowly_it_is_taken(tmp_path: Path) -> None:
    async with listening(tmp_path) as server:
        api = Client(server, "admin")
        await fill(api)
        slow = await opened(server)
        assert await slow.send("GET", CONFIG_MAPS) == 200
        slow.writer.transport.pause_reading()
        for number in range(LONG):
            path = f"{CONFIG_MAPS}/big-{number:02}"
            gone = number % 3 != 0
            body = None if gone else big(number, "changed")
            assert (await api("DELETE" if gone else "PUT", path, body)).code == 200
        await api("POST", CONFIG_MAPS, big(LONG, "new"))
        slow.writer.transport.resume_reading()

        async with asyncio.timeout(60):
            listed = await slow.body()
        assert [item["metadata"]["name"] for item in listed["items"]] == NAMES
        assert {item["data"]["is"] for item in listed["items"]} == {"old"}
        await slow.close()


async def test_a_list_that_nobody_takes_costs_little_and_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(tmp_path, limits=Limits(stalled_seconds=0.3)) as server:
        await fill(Client(server, "admin"))
        silent = await opened(server)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        assert await silent.send("GET", CONFIG_MAPS) == 200
        silent.writer.transport.pause_reading()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert silent.length > LONG * BIG
        assert grown < silent.length / 2, f"{grown / 2**20:.1f} MiB"
        async with asyncio.timeout(60):
            while "a caller does not take its answer" not in caplog.text:  # noqa: ASYNC110 - a log
                await asyncio.sleep(0.05)
        silent.writer.transport.abort()


LONG, BIG = 24, 1_000_000
NAMES = [f"big-{number:02}" for number in range(LONG)]


def big(number: int, state: str) -> dict[str, Any]:
    """A ConfigMap so long that some of them are more than all buffers on the way hold."""
    name = f"big-{number:02}"
    return {"metadata": {"name": name}, "data": {"is": state, "text": "x" * BIG}}


async def fill(api: Client) -> None:
    for number in range(LONG):
        assert (await api("POST", CONFIG_MAPS, big(number, "old"))).code == 201


def _watching(server: Any) -> bool:
    store = vars(server)["_store"]
    return bool(vars(store.collection("/configmaps").history)["_watchers"])


async def test_connections_beyond_the_most_are_closed_at_once(tmp_path: Path) -> None:
    async with listening(tmp_path, limits=Limits(connections=3)) as server:
        first = [await opened(server) for _ in range(3)]
        for connection in first:
            assert await connection.send("GET", CONFIG_MAPS) == 200
            await connection.body()
        await ends(await opened(server))

        await first.pop().close()
        again = await opened_in_time(server, asks=True)
        await again.close()
        for connection in first:
            await connection.close()


async def test_a_body_that_is_too_long_is_refused_before_it_has_arrived(tmp_path: Path) -> None:
    async with listening(tmp_path, limits=Limits(body_bytes=10_000)) as server:
        sender = await opened(server)
        head = (
            f"POST {CONFIG_MAPS} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n"
            "content-type: application/json\r\ncontent-length: 1000000000\r\n\r\n"
        )
        sender.writer.write(head.encode() + b"x" * 50_000)
        async with asyncio.timeout(60):
            status = await sender.status()
        assert status == 413
        assert json.loads(await sender.reader.readexactly(sender.length))["code"] == 413
        sender.writer.close()
