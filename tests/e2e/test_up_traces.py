"""Traces go where they are asked to, and nowhere else."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.installation import a_provider, up

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    reason="the extra otel is not installed",
)


@pytest.fixture
def collector():
    """An OTLP collector that only remembers which paths were posted to."""
    posted: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            posted.append((self.path, self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_reconcile_is_traced_down_to_the_driver(tmp_path, collector):
    url, posted = collector
    with up(tmp_path, "--otel-endpoint", url) as home:
        home.apply(a_provider())
        home.stop()
    assert {path for path, _ in posted} == {"/v1/traces"}
    body = b"".join(content for _, content in posted)
    assert b"reconcile provider" in body
    assert b"fake probe" in body
