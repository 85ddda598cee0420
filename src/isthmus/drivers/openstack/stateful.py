"""The resource types whose replacement or deletion loses data, and what an update may lose.

Written by reading the resource reference:
https://docs.openstack.org/heat/latest/template_guide/openstack.html
A type belongs here if its physical resource holds data that its template does not. A server is
disposable unless the offering's ``stateful`` names it.
"""

from typing import Any, Final, cast

from isthmus.api.meta import Json

STATEFUL_TYPES: Final[frozenset[str]] = frozenset(
    {
        "OS::Barbican::Secret",
        "OS::Cinder::Volume",
        "OS::Designate::Zone",
        "OS::Magnum::Cluster",
        "OS::Manila::Share",
        "OS::Swift::Container",
        "OS::Trove::Cluster",
        "OS::Trove::Instance",
    }
)


def rebuilds(logical_id: str, wanted: Json, deployed: Json) -> bool:
    """Tell whether an update in place would write a server's disk anew.

    Heat counts the rebuild of a server with another image as an update, though its disk is lost.
    """
    before, after = _properties(logical_id, deployed), _properties(logical_id, wanted)
    return before.get("image") != after.get("image")


def _properties(logical_id: str, document: Json) -> Json:
    resources = cast("dict[str, Any]", document.get("resources") or {})
    resource: Any = resources.get(logical_id)
    if not isinstance(resource, dict):
        return {}
    found: Any = cast("Json", resource).get("properties")
    return cast("Json", found) if isinstance(found, dict) else {}
