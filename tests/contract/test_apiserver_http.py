"""HTTP/1.1 by the letter: what clients, proxies and strangers may send over one connection."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from isthmus.apiserver.config import Message, Receive, Scope, Send
from tests.apiserver_network import CONFIG_MAPS, Connection, listening, trusting

HEAD = b"host: x\r\nauthorization: Bearer admin\r\n"
OBJECT = b'{"metadata":{"name":"a"}}'


async def odd_answers(scope: Scope, receive: Receive, send: Send) -> None:
    """An application behind the server that does what its path says."""
    how = scope["path"].rpartition("/")[2]
    if how == "silent":
        return
    if how == "fails":
        raise LookupError("on purpose")
    headers = [(b"content-length", b"3")] if how == "short" else []
    headers += [(b"x-odd", b"a\r\nx-injected: b")] if how == "injects" else []
    start: Message = {"type": "http.response.start", "status": 200, "headers": headers}
    await send(start)
    if how == "begins":
        return
    parts = [b"", b"ab", b"", b"cd"] if how == "parts" else [b"ab"]
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


@pytest.fixture
async def line(tmp_path: Path) -> AsyncGenerator[Connection]:
    """A connection to a server with the odd application."""
    async with listening(tmp_path, extra_routes={"/odd": odd_answers}) as server:
        connection = await Connection.open(server, trusting(server.ca_pem))
        async with asyncio.timeout(20):
            yield connection
        connection.writer.close()


async def closed(line: Connection) -> bool:
    try:
        return await line.reader.read() == b""
    except ConnectionError:
        return True


async def test_requests_sent_at_once_are_answered_in_order(line: Connection) -> None:
    post = b"POST " + CONFIG_MAPS.encode() + b" HTTP/1.1\r\n" + HEAD + b"content-length: 25\r\n\r\n"
    get = b"GET " + CONFIG_MAPS.encode() + b"/a HTTP/1.1\r\n" + HEAD + b"\r\n"
    line.writer.write(get + post + OBJECT + get + b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
    for status in (404, 201, 200, 200):
        assert await line.status() == status
        await line.reader.readexactly(line.length)


async def test_a_body_may_come_in_chunks_and_in_pieces(line: Connection) -> None:
    post = b"POST " + CONFIG_MAPS.encode() + b" HTTP/1.1\r\n" + HEAD
    request = post + b"transfer-encoding: chunked\r\n\r\n"
    request += b"a\r\n" + OBJECT[:10] + b"\r\nf\r\n" + OBJECT[10:] + b"\r\n0\r\n\r\n"
    for start in range(0, len(request), 7):
        line.writer.write(request[start : start + 7])
        await asyncio.sleep(0)
    assert await line.status() == 201
    assert (await line.body())["metadata"]["name"] == "a"


async def test_who_waits_for_a_word_before_the_body_gets_it(line: Connection) -> None:
    post = b"POST " + CONFIG_MAPS.encode() + b" HTTP/1.1\r\n" + HEAD
    line.writer.write(post + b"expect: 100-continue\r\ncontent-length: 25\r\n\r\n")
    assert await line.status() == 100
    line.writer.write(OBJECT)
    assert await line.status() == 201


async def test_the_answer_to_head_has_no_body(line: Connection) -> None:
    line.writer.write(b"HEAD /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
    line.writer.write(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await line.status(), line.length) == (200, 2)
    assert await line.status() == 200
    assert await line.reader.readexactly(2) == b"ok"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /readyz HTTP/1.0\r\n\r\n",
        b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ],
    ids=["close", "1.0", "upgrade"],
)
async def test_the_connection_ends_with_the_answer(line: Connection, request_: bytes) -> None:
    line.writer.write(request_)
    assert await line.status() == 200
    assert await line.reader.readexactly(2) == b"ok"
    assert await closed(line)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"what is this\r\n\r\n", 400),
        (b"GET /readyz HTTP/1.1\r\nhost: x\r\nno colon\r\n\r\n", 400),
        (b"GET /readyz HTTP/1.1\r\nx: " + b"y" * 100_000, 431),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", 400),
    ],
    ids=["no HTTP", "no header", "too many headers", "two lengths"],
)
async def test_what_cannot_be_read_ends_the_connection(
    line: Connection, sent: bytes, status: int
) -> None:
    line.writer.write(sent)
    assert await line.status() == status
    assert await closed(line)


@pytest.mark.parametrize("how", ["silent", "fails", "injects"])
async def test_an_application_that_fails_answers_all_the_same(line: Connection, how: str) -> None:
    assert await line.send("GET", f"/odd/{how}") == 500


@pytest.mark.parametrize("how", ["begins", "short"])
async def test_half_an_answer_is_seen_to_be_one(line: Connection, how: str) -> None:
    line.writer.write(f"GET /odd/{how} HTTP/1.1\r\n".encode() + HEAD + b"\r\n")
    try:
        answer = await line.reader.read()
    except ConnectionError:
        return
    assert b"500 Internal" in answer or not answer.endswith(b"0\r\n\r\n")


async def test_parts_of_an_answer_come_as_chunks(line: Connection) -> None:
    assert await line.send("GET", "/odd/parts") == 200
    assert [await line.chunk() for _ in range(3)] == [b"ab", b"cd", b""]
