"""API, controllers, catalog and our own routes in one process: what ``isthmus up`` runs."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
from prometheus_client import generate_latest

from isthmus import controllers, drivers
from isthmus.apiserver import (
    ApiServer,
    ServerConfig,
    audit_policy,
    authentication_config,
)
from isthmus.apiserver.audit_policy import Policy
from isthmus.apiserver.authentication_config import Issuer
from isthmus.apiserver.config import AuditConfig
from isthmus.apiserver.configuration import InvalidConfiguration
from isthmus.apiserver.database import StorageFailed
from isthmus.apiserver.tls import ClockIsBehind
from isthmus.app import install, shipped, tracing
from isthmus.app.lock import exclusive
from isthmus.app.loop import runner, stop_signal
from isthmus.app.sandbox import Sandbox
from isthmus.drivers.kubernetes import open_cluster
from isthmus.faces.cli import kubeconfig
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.output import note
from isthmus.faces.paths import PREFIX
from isthmus.faces.plan_routes import PlanRoutes
from isthmus.faces.planning import Planner
from isthmus.runtime import telemetry
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kube import KubeStore
from isthmus.runtime.manager import Manager
from isthmus.runtime.transport import AsgiTransport

log = structlog.get_logger(__name__)

DEFAULT_PORT = 7443
_ADMIN = "admin"
_CONTROLLERS = "isthmus:controllers"
"""The user that ``deploy/rbac/controllers.yaml`` gives its rights to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``isthmus up`` was told."""

    data_dir: Path
    port: int | None = None
    """None: the usual one."""
    sandbox: bool = False
    lab_scale: float | None = None
    """Share of AWS's delays that the lab takes; None: the lab's own default."""
    client_ca: Path | None = None
    """Authorities of client certificates."""
    authentication_config: Path | None = None
    """Issuers of OpenID Connect tokens."""
    audit_log: Path | None = None
    audit_policy: Path | None = None
    log_json: bool = False
    log_level: str = "INFO"
    otel_endpoint: str = ""


def run(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM.

    Raises:
        CommandFailed: The port or the state folder is taken, or an extra is missing.
    """
    telemetry.configure(level=settings.log_level, json=settings.log_json)
    with (
        exclusive(settings.data_dir),
        tracing.exported(settings.otel_endpoint),
        runner() as loop,
    ):
        loop.run(_until_stopped(settings))


async def _until_stopped(settings: Settings) -> None:
    stop = stop_signal()
    async with home(settings) as running:
        stopping = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait(
            {stopping, running.serving}, return_when=asyncio.FIRST_COMPLETED
        )
        if running.serving in done:
            running.serving.result()
        note("stopping")


@dataclass(frozen=True, slots=True)
class Home:
    """A running installation."""

    url: str
    kubeconfig: Path
    serving: asyncio.Task[None]


@asynccontextmanager
async def home(settings: Settings) -> AsyncGenerator[Home]:
    """Start everything; leaving the block stops it gracefully."""
    routes = PlanRoutes()
    async with AsyncExitStack() as stack:
        server = await _open(settings, routes)
        stack.push_async_callback(server.close)
        serving = asyncio.create_task(server.serve())
        stack.push_async_callback(_finish, server, serving)
        admin = KubeStore(AsgiTransport(server.app, token=_token(server, _ADMIN)))
        await _install(admin)
        await stack.enter_async_context(_controllers(server, routes))
        file = _write_kubeconfig(settings, server)
        _tell(server.url, file)
        if settings.sandbox:
            folder = settings.data_dir / "lab-aws"
            sandbox = Sandbox(folder, admin, install.SYSTEM_NAMESPACE, settings.lab_scale)
            await stack.enter_async_context(sandbox.running())
        yield Home(server.url, file, serving)


async def _open(settings: Settings, routes: PlanRoutes) -> ApiServer:
    port = DEFAULT_PORT if settings.port is None else settings.port
    config = ServerConfig(
        data_dir=settings.data_dir,
        port=port,
        client_ca=settings.client_ca,
        issuers=_issuers(settings),
        audit=_audit(settings),
        extra_routes={PREFIX: routes},
        metrics=generate_latest,
    )
    try:
        server = await ApiServer.open(config)
    except StorageFailed as exc:
        raise CommandFailed(str(exc), Exit.FAILED) from exc
    try:
        _ = server.url  # Binds the port.
    except ClockIsBehind as exc:
        await server.close()
        raise CommandFailed(str(exc), Exit.FAILED) from exc
    except OSError as exc:
        await server.close()
        raise CommandFailed(
            f"--port: 127.0.0.1:{port} cannot be used ({exc.strerror}); stop what listens there, "
            "or choose another with --port (0 takes a free one)",
            Exit.CONFLICT,
        ) from exc
    return server


def _issuers(settings: Settings) -> tuple[Issuer, ...]:
    if settings.authentication_config is None:
        return ()
    try:
        return authentication_config.load(settings.authentication_config)
    except InvalidConfiguration as exc:
        raise CommandFailed(f"--authentication-config: {exc}", Exit.USAGE) from exc


def _audit(settings: Settings) -> AuditConfig | None:
    if settings.audit_log is None:
        if settings.audit_policy is not None:
            raise CommandFailed("--audit-policy needs --audit-log FILE", Exit.USAGE)
        return None
    try:
        policy = audit_policy.load(settings.audit_policy) if settings.audit_policy else Policy()
        os.close(os.open(settings.audit_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    except InvalidConfiguration as exc:
        raise CommandFailed(f"--audit-policy: {exc}", Exit.USAGE) from exc
    except OSError as exc:
        raise CommandFailed(
            f"--audit-log: {settings.audit_log}: {exc.strerror}; name a file that you may write",
            Exit.USAGE,
        ) from exc
    return AuditConfig(settings.audit_log, policy)


def _token(server: ApiServer, user: str) -> str:
    return server.issue_token(user, ["system:masters"] if user == _ADMIN else [])


async def _finish(server: ApiServer, serving: asyncio.Task[None]) -> None:
    server.stop()
    await asyncio.wait([serving])


async def _install(store: KubeStore) -> None:
    await asyncio.gather(
        install.kinds(store),
        install.roles(store, shipped.roles()),
        install.namespace(store, install.SYSTEM_NAMESPACE),
    )
    await install.catalog(store, shipped.offerings())


@asynccontextmanager
async def _controllers(server: ApiServer, routes: PlanRoutes) -> AsyncGenerator[None]:
    """Run the controllers as a user of their own, with no more rights than they use."""
    store = KubeStore(AsgiTransport(server.app, token=_token(server, _CONTROLLERS)))
    manager = Manager(store, clock=SystemClock())
    built = controllers.build(
        manager,
        load=drivers.load,
        installation=await install.installation(store),
        open_cluster=open_cluster,
    )
    async with manager:
        routes.planner = Planner(store, built.planning)
        yield


def _write_kubeconfig(settings: Settings, server: ApiServer) -> Path:
    file = settings.data_dir / "kubeconfig"
    target = kubeconfig.Target(
        server=server.url, ca_pem=server.ca_pem, token=_token(server, _ADMIN)
    )
    kubeconfig.write(file, target)
    return file


def _tell(url: str, file: Path) -> None:
    note(f"isthmus is ready at {url} after {_age_seconds():.2f} s ({_resident_mib():.0f} MiB)")
    if file != kubeconfig.state_dir() / "kubeconfig":
        note("for kubectl and for isthmus:")
    else:
        note("isthmus finds it by itself; for kubectl:")
    note(f"  export KUBECONFIG={file}")


def _age_seconds() -> float:
    """Return how long this process lives."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started
    except (OSError, AttributeError):
        return time.process_time()


def _resident_mib() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
