"""The TLS socket, and uvicorn on it. Heavy imports wait until somebody listens."""

import contextlib
import socket
import ssl
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from isthmus.apiserver.config import AsgiApp, ServerConfig

if TYPE_CHECKING:
    import uvicorn

_KEEP_ALIVE_SECONDS = 600
_BACKLOG = 2048


class Listener:
    """Binds the port when it is made, so that its `url` is known; `serve` answers there.

    Args:
        config: Where to listen, and the bounds.
    """

    def __init__(self, config: ServerConfig) -> None:
        from isthmus.apiserver.tls import Certificates

        certificates = Certificates(config.data_dir / "tls", config.host)
        self._config = config
        self._certificates = certificates
        self.ca_pem = certificates.ca_pem
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((config.host, config.port))
        self._socket.listen(_BACKLOG)  # who connects before `serve` waits, and is not refused
        port = self._socket.getsockname()[1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        self.url = f"https://{host}:{port}"
        self._server: uvicorn.Server | None = None

    async def serve(self, app: AsgiApp) -> None:
        """Answer until `stop` is called."""
        if self._socket.fileno() < 0:
            return  # stopped before it began
        import uvicorn

        from isthmus.apiserver.connections import Connection

        class Server(uvicorn.Server):
            """Signals belong to the program that embeds us."""

            @contextlib.contextmanager
            def capture_signals(self) -> Generator[None]:
                yield

        authority = self._config.client_ca
        protocol: Any = partial(Connection, self._config)
        self._server = Server(
            uvicorn.Config(
                app,
                http=protocol,
                interface="asgi3",
                proxy_headers=False,
                server_header=False,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=3,
                ssl_certfile=self._certificates.certificate_path,
                ssl_keyfile=self._certificates.key_path,
                ssl_ca_certs=str(authority) if authority else None,
                ssl_cert_reqs=ssl.CERT_OPTIONAL if authority else ssl.CERT_NONE,
            )
        )
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Let `serve` return; without it, close the port."""
        if self._server is None:
            self._socket.close()
        else:
            self._server.should_exit = True
