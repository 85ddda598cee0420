"""An ML2 mechanism driver that binds every port at once and reports it ACTIVE; no packet moves."""

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.callbacks import events, registry, resources
from neutron_lib.plugins import constants as plugin_names
from neutron_lib.plugins import directory
from neutron_lib.plugins.ml2 import api
from oslo_log import log

LOG = log.getLogger(__name__)
ROUTER_PORTS = (constants.DEVICE_OWNER_ROUTER_INTF, constants.DEVICE_OWNER_ROUTER_GW)


class PlayedNetwork(api.MechanismDriver):
    """No agents either: their reports on floating IPs and routers' ports are made here."""

    def initialize(self):
        self.vif_details = {
            portbindings.CAP_PORT_FILTER: True,
            portbindings.VIF_DETAILS_CONNECTIVITY: portbindings.CONNECTIVITY_L2,
        }
        for event in (events.AFTER_CREATE, events.AFTER_UPDATE):
            registry.subscribe(self._floating_ip, resources.FLOATING_IP, event)
            registry.subscribe(self._port, resources.PORT, event)

    @property
    def connectivity(self):
        return portbindings.CONNECTIVITY_L2

    def bind_port(self, context):
        for segment in context.segments_to_bind:
            context.set_binding(
                segment[api.ID],
                portbindings.VIF_TYPE_OVS,
                self.vif_details,
                status=constants.PORT_STATUS_ACTIVE,
            )
            return

    def _floating_ip(self, resource, event, trigger, payload=None):
        address = payload.latest_state
        used = address.get("port_id")
        wanted = constants.FLOATINGIP_STATUS_ACTIVE if used else constants.FLOATINGIP_STATUS_DOWN
        if address.get("status") == wanted:
            return
        try:
            directory.get_plugin(plugin_names.L3).update_floatingip_status(
                payload.context.elevated(), payload.resource_id, wanted
            )
        except Exception:
            LOG.exception("floating IP's status")

    def _port(self, resource, event, trigger, payload=None):
        port = payload.latest_state
        down = port and port.get("status") == constants.PORT_STATUS_DOWN
        if not down or port.get("device_owner") not in ROUTER_PORTS:
            return
        try:
            directory.get_plugin().update_port_status(
                payload.context.elevated(), port["id"], constants.PORT_STATUS_ACTIVE
            )
        except Exception:
            LOG.exception("port's status")
