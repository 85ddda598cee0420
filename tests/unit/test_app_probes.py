"""What a process without an API says of itself."""

import asyncio

import pytest

from isthmus.app.probes import Probes, listening
from isthmus.faces.cli.failures import CommandFailed


async def ask(address: str, request: bytes) -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = (await reader.read()).decode()
    writer.close()
    return (int(answer.split()[1]), answer.partition("\r\n\r\n")[2]) if answer else (0, "")


@pytest.mark.parametrize(
    ("request_", "code", "words"),
    [
        (b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", 200, "ok"),
        (b"GET /healthz?verbose HTTP/1.1\r\n\r\n", 200, "ok"),
        (b"GET /readyz HTTP/1.1\r\n\r\n", 503, "cold"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 200, "python_info"),
        (b"GET /secrets HTTP/1.1\r\n\r\n", 404, "nothing"),
        (b"POST /livez HTTP/1.1\r\n\r\n", 405, "GET"),
        (b"x" * 20_000, 0, ""),
    ],
)
async def test_what_is_asked_is_answered(request_: bytes, code: int, words: str) -> None:
    async with listening("127.0.0.1:0", Probes(lambda: False)) as address:
        status, body = await ask(address, request_)
    assert (status, words in body) == (code, True)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:http", "127.0.0.1:99999"])
async def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(CommandFailed, match="--listen"):
        async with listening(address, Probes(lambda: True)):
            pass


async def test_without_an_address_nothing_listens() -> None:
    async with listening("", Probes(lambda: True)) as address:
        assert address == ""
