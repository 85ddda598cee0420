"""What clusters made in their project, found by the marks that their parts leave on it.

Sources: cloud-provider-openstack names load balancers ``kube_service_CLUSTER_...`` and ends
descriptions with the cluster; its CSI driver writes the cluster into a volume's metadata.
"""

from collections.abc import Iterable
from typing import Final, cast

from isthmus.api.meta import Json
from isthmus.drivers.openstack.session import Cloud

_CLUSTER_OF_VOLUME: Final = "cinder.csi.openstack.org/cluster"
_PAGE: Final = 500


async def balancers(cloud: Cloud, cluster: str) -> list[Json]:
    """Return the load balancers of a cluster's Services; none where the cloud has no such thing."""
    if not await cloud.services() & {"load-balancer", "octavia"}:
        return []
    answer = await cloud.get("load-balancer", "/v2/lbaas/loadbalancers")
    prefix = f"kube_service_{cluster}_"
    return [b for b in cast("list[Json]", answer["loadbalancers"]) if b["name"].startswith(prefix)]


def described(things: Iterable[Json], ending: str) -> list[Json]:
    """Return the things whose description ends so."""
    return [thing for thing in things if str(thing.get("description") or "").endswith(ending)]


async def stored(cloud: Cloud, kind: str, cluster: str = "") -> list[Json]:
    """Return the ``volumes`` or ``snapshots`` of a cluster, or of any; Cinder answers in pages."""
    found: list[Json] = []
    marker: str | None = None
    while True:
        answer = await cloud.get("block-storage", f"/{kind}/detail", limit=_PAGE, marker=marker)
        page = cast("list[Json]", answer[kind])
        marks = ((thing, _cluster_of(thing)) for thing in page)
        found += [thing for thing, mark in marks if mark and cluster in ("", mark)]
        if not answer.get(f"{kind}_links"):
            return found
        marker = str(page[-1]["id"])


def _cluster_of(thing: Json) -> str:
    return str(cast("Json", thing.get("metadata") or {}).get(_CLUSTER_OF_VOLUME) or "")
