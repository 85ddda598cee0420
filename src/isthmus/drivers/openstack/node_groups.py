"""Node groups of Magnum's clusters: Heat has no type for them, and the SDK no call.

Magnum takes an order at once and forgets it if the cluster is busy when it gets to it, so orders
wait until it is not. Each looks first: what is there, or gone, already is not asked for again.
https://docs.openstack.org/api-ref/container-infrastructure-management/#manage-cluster-nodegroups
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, cast
from urllib.parse import quote

from isthmus.api.meta import Json
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import InvalidSpec, NotFound, NotYet

MAGNUM: Final = "container-infrastructure-management"
_ABSENT: Final[Json] = {"status": "ABSENT"}

Call = Callable[[Cloud, Json], Awaitable[Json]]


async def find(cloud: Cloud, arguments: Json) -> Json:
    """Return the group as Magnum shows it; one that is not there has the status ABSENT."""
    try:
        return await cloud.get(MAGNUM, _path(arguments, "nodegroup"))
    except NotFound:
        return _ABSENT


async def create(cloud: Cloud, arguments: Json) -> Json:
    """Have a group of that name; one that is there stays as it is."""
    there = await find(cloud, arguments)
    if there != _ABSENT:
        return there
    await _require_idle(cloud, arguments)
    wanted = {k: v for k, v in arguments.items() if k not in ("cluster", "nodegroup") and v != ""}
    body: Json = wanted | {"name": _text(arguments, "nodegroup")}
    return await cloud.ask(MAGNUM, "POST", _path(arguments), body=body)


async def resize(cloud: Cloud, arguments: Json) -> Json:
    """Have so many servers in the group."""
    there = await find(cloud, arguments)
    if there == _ABSENT:
        raise NotFound(f"The cluster has no node group {_text(arguments, 'nodegroup')!r}.")
    if there.get("node_count") == arguments.get("node_count"):
        return there
    await _require_idle(cloud, arguments)
    path = f"/clusters/{quote(_text(arguments, 'cluster'), safe='')}/actions/resize"
    body: Json = {k: arguments.get(k) for k in ("nodegroup", "node_count")}
    return await cloud.ask(MAGNUM, "POST", path, body=body)


async def delete(cloud: Cloud, arguments: Json) -> Json:
    """Have no such group."""
    there = await find(cloud, arguments)
    if there == _ABSENT or str(there.get("status")) == "DELETE_IN_PROGRESS":
        return there
    await _require_idle(cloud, arguments)
    try:
        return await cloud.ask(MAGNUM, "DELETE", _path(arguments, "nodegroup"))
    except NotFound:
        return _ABSENT


CALLS: Final[dict[str, Call]] = {
    "find_nodegroup": find,
    "create_nodegroup": create,
    "resize_nodegroup": resize,
    "delete_nodegroup": delete,
}
"""By the names that offerings use."""


async def _require_idle(cloud: Cloud, arguments: Json) -> None:
    name = quote(_text(arguments, "cluster"), safe="")
    cluster: dict[str, Any] = await cloud.get(MAGNUM, f"/clusters/{name}")
    status = str(cluster.get("status"))
    if status.endswith("_IN_PROGRESS"):
        raise NotYet(f"Magnum is busy with the cluster: it is {status}.")


def _path(arguments: Json, *parts: str) -> str:
    names = [quote(_text(arguments, part), safe="") for part in ("cluster", *parts)]
    return "/".join(["/clusters", names[0], "nodegroups", *names[1:]])


def _text(arguments: Json, name: str) -> str:
    value = cast("Any", arguments.get(name))
    if not isinstance(value, str) or not value:
        raise InvalidSpec(f"actions: calls of node groups need the argument {name!r}.")
    return value
