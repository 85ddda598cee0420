"""Bodies of every size on connections that are kept: whatever came before, the next is answered."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.apiserver_listening import Listening
from tests.apiserver_network import CONFIG_MAPS

SECONDS = 30.0
"""That an answer may take before it is said to hang: busy machines are slow."""
TRIED = f"{CONFIG_MAPS}?dryRun=All"
ELSEWHERE = "/api/v1/namespaces/nowhere/nothings"
"""Refused before a body is looked at."""


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Listening]:
    folder = tmp_path_factory.mktemp("bodies")
    with Listening(folder, uvloop=request.param == "uvloop") as listening:
        yield listening


@dataclass(frozen=True)
class Sent:
    """A request with a body.

    Attributes:
        size: Bytes of the value in it.
        known: Whether its path is served.
        chunked: Whether its length is not told beforehand.
    """

    size: int
    known: bool = True
    chunked: bool = False

    @property
    def expected(self) -> int:
        return 201 if self.known else 404

    def written(self) -> bytes:
        body = json.dumps({"metadata": {"name": "a"}, "data": {"x": "y" * self.size}}).encode()
        length = "transfer-encoding: chunked" if self.chunked else f"content-length: {len(body)}"
        head = (
            f"POST {TRIED if self.known else ELSEWHERE} HTTP/1.1\r\nhost: localhost\r\n"
            f"authorization: Bearer admin\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
        )
        if self.chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        return head.encode() + body


class Caller:
    """One connection, which is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes, piece: int) -> None:
        for start in range(0, len(data), piece):
            self._writer.write(data[start : start + piece])
            await self._writer.drain()

    async def status(self) -> int:
        """The status of the next answer, which is read to its end."""
        async with asyncio.timeout(SECONDS):
            status, length = int((await self._reader.readline()).split()[1]), 0
            while line := (await self._reader.readline()).strip():
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            await self._reader.readexactly(length)
        return status

    async def one_by_one(self, requests: Sequence[Sent], piece: int) -> list[int]:
        found: list[int] = []
        for request in requests:
            await self.send(request.written(), piece)
            found.append(await self.status())
        return found

    async def all_at_once(self, requests: Sequence[Sent], piece: int) -> list[int]:
        whole = b"".join(request.written() for request in requests)
        sending = asyncio.create_task(self.send(whole, piece))
        try:
            return [await self.status() for _ in requests]
        finally:
            sending.cancel()
            await asyncio.wait([sending])


@asynccontextmanager
async def calling(server: Listening) -> AsyncGenerator[Caller]:
    address = urlsplit(server.url)
    context = ssl.create_default_context(cadata=server.ca)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=context)
    try:
        yield Caller(reader, writer)
    finally:
        writer.transport.abort()


BIG = [70_000, 100, 200_000, 100, 300_000, 300_000, 1_000_000, 100]


@pytest.mark.parametrize("size", [70_000, 200_000, 1_000_000])
async def test_a_small_body_is_answered_after_a_big_one(server: Listening, size: int) -> None:
    requests = [Sent(size), Sent(100)] * 3
    async with calling(server) as caller:
        assert await caller.one_by_one(requests, 2**20) == [201] * 6


async def test_bodies_in_a_row_are_all_answered(server: Listening) -> None:
    requests = [Sent(size) for size in BIG]
    async with calling(server) as caller:
        assert await caller.all_at_once(requests, 2**16) == [201] * len(BIG)


async def test_a_head_that_arrives_with_the_end_of_a_body_is_no_long_head(
    server: Listening,
) -> None:
    async with calling(server) as caller:
        first, second = Sent(100_000).written(), Sent(100).written()
        await caller.send(first + second[:50], 2**20)
        assert await caller.status() == 201
        await caller.send(second[50:], 2**20)
        assert await caller.status() == 201


async def test_what_is_refused_unread_is_read_away(server: Listening) -> None:
    requests = [Sent(size, known=False) for size in BIG] + [Sent(100)]
    async with calling(server) as caller:
        assert await caller.one_by_one(requests, 2**20) == [404] * len(BIG) + [201]
    async with calling(server) as caller:
        assert await caller.all_at_once(requests, 2**16) == [404] * len(BIG) + [201]


async def test_a_body_that_is_too_long_is_read_away(server: Listening) -> None:
    async with calling(server) as caller:
        assert await caller.one_by_one([Sent(5_000_000), Sent(100)] * 2, 2**20) == [413, 201] * 2


SIZES = st.one_of(
    st.integers(0, 1000),
    st.integers(2**16 - 600, 2**16 + 600),
    st.integers(2**16, 600_000),
)


@settings(max_examples=25, deadline=None)
@given(
    requests=st.lists(st.builds(Sent, SIZES, st.booleans(), st.booleans()), min_size=2, max_size=6),
    piece=st.sampled_from([1400, 2**14, 2**16, 2**18, 2**22]),
    at_once=st.booleans(),
)
async def test_bodies_of_all_sizes_are_answered_in_order(
    server: Listening, requests: list[Sent], piece: int, at_once: bool
) -> None:
    async with calling(server) as caller:
        ask = caller.all_at_once if at_once else caller.one_by_one
        assert await ask(requests, piece) == [request.expected for request in requests]
