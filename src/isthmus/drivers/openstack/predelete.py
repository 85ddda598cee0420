"""Steps before a stack's deletion, declared by the offering as data.

A cluster makes things in its cloud that its stack knows nothing of: load balancers, volumes,
floating IPs. They keep networks from being deleted, and would stay for ever. Each step does a
bounded piece of work and names what is still there; the engine repeats it until nothing is. A step
touches only what bears the name of the cluster, and that name must hold our uid, so that it can be
nobody else's.

How a cluster marks its things:
https://github.com/kubernetes/cloud-provider-openstack (load balancers, floating IPs, security
groups by name or description; volumes and snapshots by metadata).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import StackResource
from isthmus.core.placeholders import fill
from isthmus.drivers.openstack import leftovers
from isthmus.drivers.openstack.made_by_clusters import balancers, described, stored
from isthmus.drivers.openstack.readings import SERVER
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import Conflict, DeletionBlocked, InvalidSpec, NotFound, StateForbids

_ROUTER: Final = "OS::Neutron::Router"
_DELETABLE: Final = ("available", "error", "error_deleting")
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The stack that a step belongs to."""

    uid: str
    outputs: dict[str, str]
    resources: Sequence[StackResource]
    """At every depth, by path."""

    def scope(self) -> dict[str, Any]:
        """Return the names that a step may use."""
        own = {f"resources.{r.logical_id}": r.physical_id for r in self.resources if r.physical_id}
        return own | {f"outputs.{k}": v for k, v in self.outputs.items()}


Step = Callable[[Cloud, Json, Target], Awaitable[str]]
"""Returns what is still there, for the tenant; empty: the step is done."""


async def run(cloud: Cloud, steps: Sequence[Json], target: Target) -> str:
    """Take the steps in order; return what they still wait for, empty once all are done.

    A step whose names the stack does not have any more has nothing to do; nor has one whose
    ``when`` is false or empty.
    """
    scope = target.scope()
    for index, raw in enumerate(steps):
        step = STEPS.get(str(raw.get("step")))
        if step is None:
            raise InvalidSpec(
                f"preDelete[{index}].step: {raw.get('step')!r} is unknown; known are: "
                f"{', '.join(sorted(STEPS))}."
            )
        filled, missing = fill(raw, scope)
        if missing or str(filled.get("when", True)).lower() in ("false", ""):
            continue
        if left := await step(cloud, cast("Json", filled), target):
            return left
    return ""


def _cluster(spec: Json, target: Target) -> str:
    """Return the cluster's name, if it can be nobody else's."""
    name = str(spec.get("cluster") or "")
    if not target.uid or target.uid not in name:
        raise InvalidSpec(
            f"preDelete: step {spec['step']} needs `cluster` with ${{isthmus.uid}} in it, so that "
            "no other cluster is met."
        )
    return name


async def _stop_servers(cloud: Cloud, spec: Json, target: Target) -> str:
    """Stop the stack's servers, so that nothing in them makes anew what is removed."""
    running: list[Json] = []
    servers = [r.physical_id for r in target.resources if r.type == SERVER and r.physical_id]
    for server in servers:
        try:
            answer = await cloud.get("compute", f"/servers/{server}")
            if answer["server"]["status"] == "ACTIVE":
                running.append(cast("Json", answer["server"]))
                body: Json = {"os-stop": None}
                await cloud.ask("compute", "POST", f"/servers/{server}/action", body=body)
        except (NotFound, Conflict, StateForbids):
            continue  # It is gone, or stopping already.
    return _named("server", running)


async def _delete_load_balancers(cloud: Cloud, spec: Json, target: Target) -> str:
    found = await balancers(cloud, _cluster(spec, target))
    for balancer in found:
        if balancer["provisioning_status"] in ("ACTIVE", "ERROR"):
            path = f"/v2/lbaas/loadbalancers/{balancer['id']}"
            await _delete(cloud, "load-balancer", path, query={"cascade": "true"})
    return _named("load balancer", found)


async def _delete_floating_ips(cloud: Cloud, spec: Json, target: Target) -> str:
    ending = f"from cluster {_cluster(spec, target)}"
    answer = await cloud.get("network", "/floatingips")
    for address in described(answer["floatingips"], ending):
        await _delete(cloud, "network", f"/floatingips/{address['id']}")
    return ""


async def _delete_security_groups(cloud: Cloud, spec: Json, target: Target) -> str:
    ending = f"in cluster {_cluster(spec, target)}"
    answer = await cloud.get("network", "/security-groups")
    for group in described(answer["security_groups"], ending):
        await _delete(cloud, "network", f"/security-groups/{group['id']}")
    return ""


async def _delete_ports(cloud: Cloud, spec: Json, target: Target) -> str:
    """Delete ports that are tagged with the cluster's name, and name those that are in use."""
    answer = await cloud.get("network", "/ports", tags=_cluster(spec, target))
    for port in cast("list[Json]", answer["ports"]):
        owner = str(port.get("device_owner") or "")
        if owner.startswith("compute:"):
            path = f"/servers/{port['device_id']}/os-interface/{port['id']}"
            await _delete(cloud, "compute", path)
        await _delete(cloud, "network", f"/ports/{port['id']}")
    return ""


async def _delete_volumes(cloud: Cloud, spec: Json, target: Target) -> str:
    """Delete the volumes of the cluster and their snapshots; detach those in use first."""
    cluster = _cluster(spec, target)
    snapshots = await stored(cloud, "snapshots", cluster)
    for snapshot in snapshots:
        if snapshot["status"] in _DELETABLE:
            await _delete(cloud, "block-storage", f"/snapshots/{snapshot['id']}")
    if snapshots:
        return _named("snapshot", snapshots)
    volumes = await stored(cloud, "volumes", cluster)
    for volume in volumes:
        if volume["status"] in _DELETABLE:
            await _delete(cloud, "block-storage", f"/volumes/{volume['id']}")
        for attachment in cast("list[Json]", volume.get("attachments") or []):
            if volume["status"] == "in-use" and attachment.get("server_id"):
                path = f"/servers/{attachment['server_id']}/os-volume_attachments/{volume['id']}"
                await _delete(cloud, "compute", path)
    return _named("volume", volumes)


async def _clear_routes(cloud: Cloud, spec: Json, target: Target) -> str:
    """Take all routes off a router of the stack: while there are any, its interfaces stay.

    A cloud controller manager writes one for each node's pods, and stops before the last one goes.
    """
    router = str(spec.get("router") or "")
    if router not in {r.physical_id for r in target.resources if r.type == _ROUTER}:
        raise InvalidSpec("preDelete: step clear-routes-of-router needs a `router` of the stack.")
    try:
        answer = await cloud.get("network", f"/routers/{router}")
        if answer["router"].get("routes"):
            body: Json = {"router": {"routes": []}}
            await cloud.ask("network", "PUT", f"/routers/{router}", body=body)
    except NotFound:
        return ""
    return ""


async def _name_of_infra_id(cloud: Cloud, spec: Json, target: Target) -> str:
    return await leftovers.of_infra_id(cloud, str(spec.get("cluster") or ""))


async def _name_of_magnum(cloud: Cloud, spec: Json, target: Target) -> str:
    return await leftovers.of_magnum(cloud, str(spec.get("cluster") or ""), target.resources)


def _named(what: str, things: Sequence[Json]) -> str:
    """Name some of the things with their states."""
    words = [
        f"{what} {thing.get('name') or thing['id']} is "
        f"{thing.get('provisioning_status') or thing.get('status')}"
        for thing in things[:_SHOWN]
    ]
    more = len(things) - _SHOWN
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


async def _delete(cloud: Cloud, service: str, path: str, query: Json | None = None) -> None:
    """Delete one thing; what is gone is fine, what is held names its holder.

    Raises:
        DeletionBlocked: Something else needs it.
    """
    try:
        await cloud.ask(service, "DELETE", path, query=query)
    except NotFound:
        return
    except InvalidSpec as exc:  # Cinder: the volume has snapshots, is migrating, ...
        raise DeletionBlocked(f"preDelete: {exc.message}", detail=exc.detail) from exc


STEPS: Final[dict[str, Step]] = {
    "stop-servers": _stop_servers,
    "delete-load-balancers-of-cluster": _delete_load_balancers,
    "delete-floating-ips-of-cluster": _delete_floating_ips,
    "delete-security-groups-of-cluster": _delete_security_groups,
    "delete-ports-of-cluster": _delete_ports,
    "delete-volumes-of-cluster": _delete_volumes,
    "clear-routes-of-router": _clear_routes,
    "name-leftovers-of-infra-id": _name_of_infra_id,
    "name-volumes-of-magnum": _name_of_magnum,
}
