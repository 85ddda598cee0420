"""Steps before a deletion that name what a cluster made, and touch none of it.

Some clusters mark their things with a name that we did not give and that proves nothing: an
installer's infra id, which anybody may write into a parameter, or one word for all clusters of
Magnum. What bears it is shown, for somebody who knows whose it is.
https://github.com/openshift/installer/blob/main/docs/user/openstack/README.md,
https://github.com/openstack/magnum (``enable-cinder-csi.sh``: ``CLUSTER_NAME`` is ``kubernetes``)
"""

from collections.abc import Sequence
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import StackResource
from isthmus.drivers.openstack.made_by_clusters import balancers, described, stored
from isthmus.drivers.openstack.node_groups import MAGNUM
from isthmus.drivers.openstack.readings import SERVER
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import Forbidden, InvalidSpec, NotFound

_SHOWN: Final = 3
_NAMED: Final = (
    ("network", "/floatingips", "floatingips", "floating IP"),
    ("network", "/security-groups", "security_groups", "security group"),
)
"""What is known by its description: service, path, key of the answer, and what it is called."""
_REMEDY: Final = "we delete none of it: delete it in the cluster, or by hand if it is the cluster's"


async def of_infra_id(cloud: Cloud, mark: str) -> str:
    """Name what an OpenShift's own parts marked with its infra id; empty: nothing.

    Raises:
        InvalidSpec: There is no id.
    """
    if not mark:
        raise InvalidSpec("preDelete: step name-leftovers-of-infra-id needs a `cluster`.")
    found = [f"load balancer {b['name']}" for b in await balancers(cloud, mark)]
    for service, path, key, what in _NAMED:
        answer = await cloud.get(service, path)
        found += [f"{what} {thing['id']}" for thing in described(answer[key], f"cluster {mark}")]
    answer = await cloud.get("network", "/ports", tags=f"openshiftClusterID={mark}")
    found += [f"port {port['id']}" for port in cast("list[Json]", answer["ports"])]
    for kind in ("snapshots", "volumes"):
        found += [_state(kind, thing) for thing in await stored(cloud, kind, mark)]
    return _said(found)


async def of_magnum(cloud: Cloud, cluster: str, resources: Sequence[StackResource]) -> str:
    """Name the volumes of claims that the servers of a Magnum cluster use; empty: none.

    Raises:
        InvalidSpec: It is no cluster of the stack.
    """
    ours = {r.physical_id for r in resources if r.type == "OS::Magnum::Cluster"}
    if cluster not in ours:
        raise InvalidSpec("preDelete: step name-volumes-of-magnum needs a `cluster` of the stack.")
    servers = await _servers(cloud, cluster)
    volumes = await stored(cloud, "volumes") if servers else []
    return _said([_state("volumes", v) for v in volumes if _users(v) & servers])


async def _servers(cloud: Cloud, cluster: str) -> set[str]:
    """Return the servers of a Magnum cluster, which stand in a stack of Magnum's."""
    try:
        stack = (await cloud.get(MAGNUM, f"/clusters/{cluster}")).get("stack_id")
        if not stack:
            return set()
        found = cast("Json", (await cloud.get("orchestration", f"/stacks/{stack}"))["stack"])
        path = f"/stacks/{found['stack_name']}/{found['id']}/resources"
        query: dict[str, Any] = {"nested_depth": 5, "type": SERVER}
        answer = await cloud.get("orchestration", path, **query)
    except (NotFound, Forbidden):
        return set()  # It is gone, or Magnum's driver makes no stack that we may see.
    return {str(r["physical_resource_id"]) for r in cast("list[Json]", answer["resources"])}


def _users(volume: Json) -> set[str]:
    attachments = cast("list[Json]", volume.get("attachments") or [])
    return {str(attachment.get("server_id")) for attachment in attachments}


def _state(kind: str, thing: Json) -> str:
    return f"{kind.removesuffix('s')} {thing.get('name') or thing['id']} is {thing['status']}"


def _said(found: Sequence[str]) -> str:
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{', '.join(found[:_SHOWN])}{more} ({_REMEDY})" if found else ""
