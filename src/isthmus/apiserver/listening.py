"""The TLS socket, and what comes in by it. Heavy imports wait until somebody listens."""

import asyncio
import contextlib
import socket
import ssl

from isthmus.apiserver.config import AsgiApp, ServerConfig

_BACKLOG = 2048
_GRACE_SECONDS = 3.0


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
        self._stopping = asyncio.Event()
        self._serving = False

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._certificates.certificate_path, self._certificates.key_path)
        if self._config.client_ca is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(self._config.client_ca)
        return context

    async def serve(self, app: AsgiApp) -> None:
        """Answer until `stop` is called."""
        if self._stopping.is_set():
            return
        from isthmus.apiserver.connections import Connection, Service

        self._serving = True
        service = Service(app, self._config)
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(service),
            sock=self._socket,
            ssl=self._tls(),
            backlog=_BACKLOG,
            ssl_handshake_timeout=self._config.limits.request_seconds,
        )
        try:
            await self._stopping.wait()
        finally:
            server.close()
            await service.end(_GRACE_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await server.wait_closed()

    def stop(self) -> None:
        """Let `serve` return; without it, close the port."""
        self._stopping.set()
        if not self._serving:
            self._socket.close()
