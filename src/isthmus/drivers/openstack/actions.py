"""Day-2 actions on OpenStack: the calls of ``runtime.declared_actions`` made with the SDK's names.

The format is fixed in ``docs/reference/openstack-offerings.md``. Only what is listed here can be
called: an offering is data, and data must not reach everything that a project holds.
"""

from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.drivers.openstack import node_groups
from isthmus.drivers.openstack.errors import of_exception
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import InvalidSpec, IsthmusError
from isthmus.runtime.declared_actions import DeclaredActions

_MAGNUM: Final = "container_infrastructure_management"
ALLOWED: Final[dict[str, frozenset[str]]] = {
    "compute": frozenset(
        {
            "confirm_server_resize",
            "create_server_image",
            "create_volume_attachment",
            "delete_server_metadata",
            "delete_volume_attachment",
            "get_server",
            "get_server_console_output",
            "create_server_remote_console",
            "lock_server",
            "pause_server",
            "reboot_server",
            "rebuild_server",
            "resize_server",
            "resume_server",
            "revert_server_resize",
            "set_server_metadata",
            "start_server",
            "stop_server",
            "suspend_server",
            "unlock_server",
            "unpause_server",
        }
    ),
    "block_storage": frozenset(
        {
            "create_backup",
            "create_snapshot",
            "extend_volume",
            "find_snapshot",
            "find_volume",
            "get_backup",
            "get_snapshot",
            "get_volume",
        }
    ),
    "image": frozenset({"find_image", "get_image"}),
    "network": frozenset({"get_ip", "get_network", "get_port", "update_ip"}),
    "container_infrastructure_management": frozenset({"get_cluster", *node_groups.CALLS}),
    "load_balancer": frozenset({"failover_load_balancer", "get_load_balancer"}),
}
"""Methods of the SDK's proxies, by service; those of node groups are our own.
https://docs.openstack.org/openstacksdk/latest/user/index.html#api-documentation"""


class ApiActions(DeclaredActions):
    """See ``ports.Actions``."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(self._make)
        self._cloud = cloud

    async def _make(self, service: str, operation: str, arguments: Json, token: str) -> Json:
        """Make one call. OpenStack has no idempotency tokens: names and states serve instead."""
        if operation not in ALLOWED.get(service, frozenset()):
            known = ALLOWED.get(service)
            listed = ", ".join(sorted(known)) if known else ", ".join(sorted(ALLOWED))
            raise InvalidSpec(
                f"actions: {service}.{operation} is not among the calls that an offering may make; "
                f"those are: {listed}."
            )
        if service == _MAGNUM and operation in node_groups.CALLS:
            return await node_groups.CALLS[operation](self._cloud, arguments)
        return await self._cloud.run(lambda: self._through_sdk(service, operation, arguments))

    def _through_sdk(self, service: str, operation: str, arguments: Json) -> Json:
        proxy = self._cloud.proxy(service)
        try:
            return _as_json(getattr(proxy, operation)(**arguments))
        except IsthmusError:
            raise
        except Exception as exc:
            raise of_exception(exc, service, operation) from exc


def _as_json(answer: Any) -> Json:
    """Return an answer of the SDK as plain data; one that is no mapping stands below ``value``."""
    if answer is None:
        return {}
    if hasattr(answer, "to_dict"):
        return cast("Json", answer.to_dict(computed=False))
    if isinstance(answer, dict):
        return cast("Json", answer)
    return {"value": answer}
