"""Put the pieces of one cluster together."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import cast

from isthmus.core.render import as_text
from isthmus.drivers.kubernetes import kube, settings
from isthmus.drivers.kubernetes.actions import Workloads
from isthmus.drivers.kubernetes.engine import Cluster
from isthmus.ports import Connection, Endpoint, Facts, Grant
from isthmus.runtime.clock import SystemClock


class Static:
    """No credential: the values that the offering names, for things that need none."""

    async def grant(self, grant: Grant) -> Mapping[str, str]:
        """See ``ports.CredentialSource``."""
        values = cast("dict[str, object]", grant.spec.get("values", {}))
        return {name: as_text(value) for name, value in values.items()}

    async def revoke(self, grant: Grant) -> None:
        """Nothing was made."""


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncGenerator[Connection]:
    """Open a cluster.

    Raises:
        InvalidSpec: A setting or the kubeconfig is wrong.
    """
    read = settings.read(endpoint)
    async with kube.reach(read.target) as reached:

        async def probe() -> Facts:
            version = await reached.read("/version")
            return Facts(account=read.target.server, engine=f"Kubernetes {version['gitVersion']}")

        yield Connection(
            engine=Cluster(
                reached, read.namespace, read.installation, SystemClock(), read.patience
            ),
            credentials={"static": Static()},
            actions=Workloads(reached),
            probe=probe,
        )
