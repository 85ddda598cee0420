"""The controllers in a process of their own, on a cluster of Kubernetes: ``isthmus controllers``.

Several may run; the holder of the Lease works, the others keep their caches warm. Who loses the
Lease ends at once, for a call to a cloud that is under way in a thread cannot be called back; what
started the process starts it anew, as a standby.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Never

import structlog

from isthmus import controllers, drivers
from isthmus.app import install, preflight, probes, tracing
from isthmus.app.loop import runner, stop_signal
from isthmus.controllers import rights
from isthmus.drivers.kubernetes import open_cluster
from isthmus.faces.cli import client, kubeconfig
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.kubeconfig import Target
from isthmus.faces.cli.output import note
from isthmus.ports import ClusterNodes
from isthmus.runtime import telemetry
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kinds import METADATA_ONLY
from isthmus.runtime.kube import KubeStore
from isthmus.runtime.leadership import DURATION, FencedStore, Leadership, Terms, identity
from isthmus.runtime.manager import Manager
from isthmus.runtime.transport import HttpTransport

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``isthmus controllers`` was told."""

    kubeconfig: str = ""
    """Path; empty: KUBECONFIG, then the ServiceAccount of the pod."""
    context: str = ""
    namespace: str = ""
    """Of the Lease; empty: the pod's, else the usual one."""
    lease: timedelta = DURATION
    listen: str = ""
    """Address of probes and metrics, ``HOST:PORT``; empty: none."""
    log_json: bool = False
    log_level: str = "INFO"
    otel_endpoint: str = ""


def run(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM, or until another process leads.

    Raises:
        CommandFailed: There is no cluster, or it lacks kinds or rights.
        IsthmusError: The cluster does not answer, or does not know us.
    """
    telemetry.configure(level=settings.log_level, json=settings.log_json)
    with tracing.exported(settings.otel_endpoint), runner() as loop:
        loop.run(_until_stopped(settings))


def target(settings: Settings) -> Target:
    """Return where the cluster is, and the Lease's namespace in it.

    Raises:
        CommandFailed: Nothing says where.
    """
    named = settings.kubeconfig or os.environ.get("KUBECONFIG") or settings.context
    found = None if named else kubeconfig.in_pod()
    if found is not None:
        return found
    if not named:
        raise CommandFailed(
            "no cluster is named: give --kubeconfig FILE, set KUBECONFIG, or run it in a pod with "
            "a ServiceAccount",
            Exit.USAGE,
        )
    return kubeconfig.load(settings.kubeconfig, settings.context)


async def _until_stopped(settings: Settings) -> None:
    stop = stop_signal()
    cluster = target(settings)
    namespace = settings.namespace or install.SYSTEM_NAMESPACE
    transport = HttpTransport(cluster.server, token=cluster.bearer, tls=client.tls(cluster))
    try:
        store = KubeStore(transport, lean=METADATA_ONLY)
        await preflight.check_server(transport)
        leadership = _leadership(store, namespace, settings.lease)
        pattern = _built(store, leadership, "")
        await preflight.check_rights(store, rights.needed(pattern))
        await preflight.check_rights(store, rights.of_election(), namespace)
        manager = _built(store, leadership, await install.installation(store))
        telemetry.LEADER.set_function(lambda: float(leadership.leads))
        async with probes.listening(settings.listen, probes.Probes(lambda: manager.warmed)):
            await _campaign(manager, leadership, stop)
    finally:
        await transport.close()


def _leadership(store: KubeStore, namespace: str, lease: timedelta) -> Leadership:
    terms = Terms(namespace=namespace, name=rights.LEASE, identity=identity(), duration=lease)
    return Leadership(store, terms, clock=SystemClock())


def _built(store: KubeStore, leadership: Leadership, installation: str) -> Manager:
    manager = Manager(
        FencedStore(store, leadership.check), clock=SystemClock(), permit=leadership.check
    )

    def reach(text: str) -> AbstractAsyncContextManager[ClusterNodes]:
        return _permitted(leadership, text)

    controllers.build(
        manager,
        load=drivers.load,
        installation=installation,
        open_cluster=reach,
    )
    return manager


@asynccontextmanager
async def _permitted(leadership: Leadership, text: str) -> AsyncGenerator[ClusterNodes]:
    leadership.check()
    async with open_cluster(text) as nodes:
        yield nodes


async def _campaign(manager: Manager, leadership: Leadership, stop: asyncio.Event) -> None:
    """Stand by, lead, and end when told to."""
    stopping = asyncio.create_task(stop.wait())
    note(f"isthmus controllers {leadership.terms.identity}: filling the caches")
    if not await _unless(stopping, manager.warm()):
        await manager.stop()
        return
    note("standing by: the caches are warm")
    if not await _unless(stopping, leadership.win()):
        await manager.stop()
        await leadership.release()
        return
    note(f"leading, by Lease {leadership.terms.namespace}/{leadership.terms.name}")
    manager.work()
    keeping = asyncio.create_task(_keep(leadership))
    await stopping
    note("stopping")
    if await manager.stop():
        keeping.cancel()
        await leadership.release()
    else:
        log.warning("some work was broken off; the lease runs out by itself")


async def _unless(stopping: asyncio.Task[Any], run: Coroutine[Any, Any, None]) -> bool:
    """Wait for something unless we are told to stop before; say whether it came to its end."""
    task = asyncio.create_task(run)
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.wait({task})
    return False


async def _keep(leadership: Leadership) -> None:
    try:
        await leadership.keep()
    except Exception:
        log.exception("lease keeping broke")  # Without it we must not go on.
    _end(leadership)


def _end(leadership: Leadership) -> Never:
    """End at once: no thread, no buffer and no request of ours may act any more."""
    holder = leadership.leader
    taken = f"{holder} leads" if holder != leadership.terms.identity else "it could not be renewed"
    note(f"the lease is lost ({taken}); ending, so that nothing is done twice")
    sys.stderr.flush()
    os._exit(Exit.UNAVAILABLE)
