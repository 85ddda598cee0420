"""The resource types whose replacement or deletion loses data.

Written by reading the resource reference:
https://docs.openstack.org/heat/latest/template_guide/openstack.html
A type belongs here if its physical resource holds data that its template does not. A server is
disposable unless the offering's ``stateful`` names it.
"""

from typing import Final

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
