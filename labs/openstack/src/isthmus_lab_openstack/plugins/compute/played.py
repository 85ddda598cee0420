"""Nova's fake driver, which remembers its servers over a restart and fails on demand.

Nova loads it as ``nova.virt.lab.played``. A driver that boots real guests subclasses it.
"""

import io
import os
from pathlib import Path

from isthmus_lab_plugins.faults import Call, Rules
from nova import context as contexts
from nova import exception, objects
from nova.compute import power_state, vm_states
from nova.image import glance
from nova.virt import fake

GONE = (vm_states.BUILDING, vm_states.ERROR, vm_states.DELETED, vm_states.SHELVED_OFFLOADED)
RULES = Rules(Path(os.environ["ISTHMUS_LAB_FAULTS"]))


class PlayedDriver(fake.FakeDriverWithoutFakeNodes):
    """A host with room for hundreds of servers, which are records only."""

    vcpus, memory_mb, local_gb = 256, 1024 * 1024, 100 * 1024

    def init_host(self, host):
        super().init_host(host)
        attributes = ["flavor", "info_cache"]
        servers = objects.InstanceList.get_by_host(
            contexts.get_admin_context(), host, expected_attrs=attributes
        )
        for server in servers:
            if server.vm_state not in GONE:
                self._remember(server)

    def _remember(self, server):
        stopped = server.vm_state == vm_states.STOPPED
        state = power_state.SHUTDOWN if stopped else power_state.RUNNING
        self.instances[server.uuid] = fake.FakeInstance(server.name, state, server.uuid)
        flavor = server.flavor
        self.resources.claim(vcpus=flavor.vcpus, mem=flavor.memory_mb, disk=flavor.root_gb)
        for interface in (server.info_cache.network_info if server.info_cache else []) or []:
            self._interfaces[interface["id"]] = interface

    def spawn(self, context, instance, *args, **kwargs):
        rule = RULES.find(Call("nova-compute", "spawn", instance.display_name or ""))
        if rule:
            RULES.wait(rule)
            if rule.get("fail", True):
                raise exception.InstanceDeployFailure(
                    reason=rule.get("message", "failed on demand by the lab")
                )
        super().spawn(context, instance, *args, **kwargs)

    def snapshot(self, context, instance, image_id, update_task_state):
        super().snapshot(context, instance, image_id, update_task_state)
        shape = {"disk_format": "raw", "container_format": "bare", "properties": {}}
        content = io.BytesIO(b"\0" * 65536)
        glance.API().update(context, image_id, shape, content, purge_props=False)
