"""Any Kubernetes cluster: manifests as stacks, and the cluster's own nodes.

What an offering may say to this driver stands in ``manifests``; how objects belong to a stack in
``inventory``. Plain HTTP to the cluster's API, no SDK: importing this package costs nothing.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from isthmus.api.meta import Json
from isthmus.ports import ClusterNodes, Connection, Driver, Endpoint, Finding

_SETTINGS = frozenset({"context", "kubeconfigKey", "namespace", "readySeconds"})


@asynccontextmanager
async def _connect(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    """Open a cluster. No call goes out: ``probe`` is the first that does."""
    from isthmus.drivers.kubernetes import connection

    async with connection.connect(endpoint) as opened:
        yield opened


@asynccontextmanager
async def open_cluster(kubeconfig: str) -> AsyncGenerator[ClusterNodes]:
    """Reach a cluster's nodes; see ``ports.OpenCluster``."""
    from isthmus.drivers.kubernetes import nodes

    async with nodes.reach(kubeconfig) as reached:
        yield reached


def _lint(template: Json) -> tuple[Finding, ...]:
    """Check a template offline; see ``lint.check``."""
    from isthmus.drivers.kubernetes.lint import check

    return check(template)


DRIVER = Driver(name="kubernetes", settings=_SETTINGS, open=_connect, lint=_lint)
