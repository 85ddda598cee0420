"""Probes."""

import pytest

from isthmus.apiserver import health


@pytest.mark.parametrize(
    ("path", "query", "ready", "code", "text"),
    [
        ("/livez", b"", True, 200, "ok"),
        ("/readyz/etcd", b"verbose", True, 200, "ok"),
        ("/readyz/nothing", b"", True, 404, "not found"),
        ("/livez", b"verbose", True, 200, "[+]ping ok\n"),
        ("/readyz", b"verbose=true", True, 200, "readyz check passed"),
        ("/readyz", b"", False, 500, "[-]shutdown failed"),
    ],
)
def test_a_probe_is_told(path: str, query: bytes, ready: bool, code: int, text: str) -> None:
    response = health.answer(path, query, ready=ready)

    assert (response.code, text in response.body.decode()) == (code, True)
