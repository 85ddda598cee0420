"""Nova's compute driver whose servers are guests: booted, powered and destroyed for real.

An OpenStack lab is given it by `--compute-driver guests.GuestDriver --driver-path <this folder>`.
Only a server whose image says `os_distro=lab-guest` is a guest; all others stay played, as its base
class has them. The image's `kubernetes_version` (1.35, 1.36) chooses the guest's root.

ISTHMUS_LAB_KUBERNETES may name the folder with the package isthmus_lab_kubernetes.
"""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from keystoneauth1 import loading
from nova import exception
from nova.api.metadata import base as metadata
from nova.compute import power_state, task_states
from nova.conf import CONF
from nova.virt import configdrive, hardware
from nova.virt import event as virtevent
from nova.virt.lab.played import PlayedDriver
from oslo_log import log

_SOURCE = os.environ.get("ISTHMUS_LAB_KUBERNETES") or str(
    Path(__file__).resolve().parents[2] / "src"
)
sys.path.append(_SOURCE)
from isthmus_lab_kubernetes.cloud import orders, servers  # noqa: E402
from isthmus_lab_kubernetes.machines import Machine, Port  # noqa: E402
from isthmus_lab_kubernetes.settings import LabError  # noqa: E402

LOG = log.getLogger(__name__)
_WATCH_SECONDS = 2


class GuestDriver(PlayedDriver):
    """Servers of one image property are guests of labs/kubernetes; see the module."""

    def init_host(self, host):
        """Start the lab's agent, and the watch over guests whose power somebody pulls."""
        super().init_host(host)
        self._agent = None
        self._ensure_agent()
        threading.Thread(target=self._watch, daemon=True).start()

    # --- life and death ---------------------------------------------------------------------------

    def spawn(
        self, context, instance, image_meta, injected_files, admin_password, allocations,
        network_info=None, block_device_info=None, power_on=True, accel_info=None,
    ):  # fmt: skip
        """Make and boot the guest; a rebuild and an evacuation come here, too."""
        super().spawn(context, instance, image_meta, injected_files, admin_password, allocations,
                      network_info, block_device_info, power_on, accel_info)  # fmt: skip
        release = servers.release(_image(instance, image_meta))
        if not release or network_info is None:
            return
        self._ensure_agent()
        machine = Machine(
            id=instance.uuid,
            hostname=instance.hostname,
            ports=tuple(_port(vif) for vif in network_info),
            memory_mib=instance.flavor.memory_mb,
            cpus=instance.flavor.vcpus,
            release=release,
            config_drive=bool(configdrive.required_by(instance)),
            drive=_drive(instance, injected_files, network_info),
            volume=_volume(block_device_info),
        )
        with _failures():
            _server(instance).boot(machine, power_on=power_on)

    def destroy(self, context, instance, network_info, block_device_info=None,
                destroy_disks=True, destroy_secrets=True):  # fmt: skip
        """Remove the guest; while a resize is reverted it only goes off, for its root is kept."""
        reverting = instance.task_state == task_states.RESIZE_REVERTING
        self._command("kill" if reverting else "delete", instance)
        super().destroy(context, instance, network_info, block_device_info, destroy_disks,
                        destroy_secrets)  # fmt: skip

    # --- power ------------------------------------------------------------------------------------

    def power_off(self, instance, timeout=0, retry_interval=0):
        """Shut the guest down, or pull its power if no time is given."""
        self._command("stop" if timeout else "kill", instance)
        super().power_off(instance, timeout, retry_interval)

    def power_on(self, context, instance, network_info, block_device_info=None, accel_info=None,
                 share_info=None):  # fmt: skip
        """Boot the guest again."""
        self._ensure_agent()
        self._command("start", instance)
        super().power_on(context, instance, network_info, block_device_info, accel_info, share_info)

    def reboot(self, context, instance, network_info, reboot_type, *args, **kwargs):
        """Shut down or pull the power, then boot."""
        self._command("kill" if reboot_type.upper() == "HARD" else "stop", instance)
        super().reboot(context, instance, network_info, reboot_type, *args, **kwargs)

    def get_info(self, instance, use_cache=True):
        """The guest's power as it is, whoever switched it."""
        guest = _server(instance).guest
        if not guest.exists:
            return super().get_info(instance, use_cache)
        return hardware.InstanceInfo(
            state=power_state.RUNNING if guest.leader else power_state.SHUTDOWN
        )

    # --- resize -----------------------------------------------------------------------------------

    def migrate_disk_and_power_off(
        self, context, instance, dest, flavor, network_info,
        block_device_info=None, timeout=0, retry_interval=0,
    ):  # fmt: skip
        """Shut the guest down; its root stays, since all hosts of the lab are this machine."""
        self._command("stop" if timeout else "kill", instance)
        return super().migrate_disk_and_power_off(
            context,
            instance,
            dest,
            flavor,
            network_info,
            block_device_info,
            timeout,
            retry_interval,
        )

    def finish_migration(self, context, migration, instance, disk_info, network_info, image_meta,
                         resize_instance, allocations, block_device_info=None, power_on=True,
                         share_info=None):  # fmt: skip
        """Boot the guest with its new flavor."""
        super().finish_migration(context, migration, instance, disk_info, network_info, image_meta,
                                 resize_instance, allocations, block_device_info, power_on,
                                 share_info)  # fmt: skip
        self._resized(instance, power_on)

    def finish_revert_migration(
        self, context, instance, network_info, migration,
        block_device_info=None, power_on=True, share_info=None,
    ):  # fmt: skip
        """Boot the guest with its former flavor."""
        super().finish_revert_migration(context, instance, network_info, migration,
                                        block_device_info, power_on, share_info)  # fmt: skip
        self._resized(instance, power_on)

    def confirm_migration(self, context, migration, instance, network_info):
        """Forget the server on its former host, without its guest, which is the new host's now."""
        if migration.source_compute != migration.dest_compute:
            super().destroy(context, instance, network_info)

    # --- cards and console ------------------------------------------------------------------------

    def attach_interface(self, context, instance, image_meta, vif):
        """Plug a card into the guest."""
        super().attach_interface(context, instance, image_meta, vif)
        self._command("plug", instance, request=asdict(_port(vif)))

    def detach_interface(self, context, instance, vif):
        """Take a card out of the guest."""
        self._command("unplug", instance, vif["id"])
        super().detach_interface(context, instance, vif)

    def get_console_output(self, context, instance):
        """What the guest wrote to its console, and what its cloud-init said."""
        guest = _server(instance).guest
        return guest.console() if guest.exists else super().get_console_output(context, instance)

    # --- the lab ----------------------------------------------------------------------------------

    def _resized(self, instance, power_on):
        flavor = instance.flavor
        self._command("resize", instance, "--memory", flavor.memory_mb, "--cpus", flavor.vcpus)
        if power_on:
            self._command("start", instance)

    def _command(self, verb, instance, *options, request=None):
        """Command a guest; nothing for a server that is none."""
        with _failures():
            _server(instance).order(verb, *options, request=request)

    def _ensure_agent(self):
        if self._agent is not None and self._agent.poll() is None:
            return
        loading.load_auth_from_conf_options(CONF, "neutron")  # Makes the options below known.
        orders.STATE.mkdir(parents=True, exist_ok=True)
        with (orders.STATE / "agent.log").open("ab") as output:
            self._agent = subprocess.Popen(
                orders.command("agent"), env=orders.environment(), text=True,
                stdin=subprocess.PIPE, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip
        self._agent.stdin.write(json.dumps(orders.log_in(CONF.neutron)))
        self._agent.stdin.close()

    def _watch(self):
        """Tell Nova when a guest goes off by itself, as a hypervisor's events do."""
        running = set()
        while True:
            now = set()
            for uuid in list(self.instances):
                guest = servers.Server(uuid).guest
                if guest.exists and guest.leader:
                    now.add(uuid)
                elif guest.exists and uuid in running:
                    stopped = virtevent.EVENT_LIFECYCLE_STOPPED
                    self.emit_event(virtevent.LifecycleEvent(uuid, stopped))
            running = now
            time.sleep(_WATCH_SECONDS)


@contextmanager
def _failures():
    """What the lab cannot do is a failure that Nova knows."""
    try:
        yield
    except LabError as error:
        raise exception.InstanceDeployFailure(reason=str(error)) from error


def _server(instance):
    return servers.Server(instance.uuid)


def _image(instance, image_meta):
    """The properties of the server's image that the lab cares for."""
    known = instance.system_metadata
    properties = image_meta.properties if image_meta is not None else None
    named = properties.get("os_distro") if properties else None
    return {
        "os_distro": named or known.get("image_os_distro"),
        "kubernetes_version": known.get("image_kubernetes_version"),
    }


def _volume(block_device_info):
    """Where the root is that the server boots from; empty: it has a disk of its own."""
    for device in (block_device_info or {}).get("block_device_mapping") or ():
        if device.get("boot_index") == 0:
            return str(orders.VOLUMES / device.volume_id)
    return ""


def _port(vif):
    network = vif["network"]
    addresses, routes, gateway = [], [], ""
    for subnet in network["subnets"]:
        length = str(subnet["cidr"]).split("/")[1]
        addresses += [f"{ip['address']}/{length}" for ip in subnet["ips"]]
        routes += [(str(r["cidr"]), r["gateway"]["address"]) for r in subnet["routes"]]
        if subnet["version"] == 4 and not gateway:
            gateway = (subnet["gateway"] or {}).get("address") or ""
    return Port(
        id=vif["id"],
        network=network["id"],
        mac=vif["address"],
        addresses=tuple(addresses),
        gateway=gateway,
        mtu=network["meta"].get("mtu") or 1500,
        routes=tuple(routes),
    )


def _drive(instance, injected_files, network_info):
    built = metadata.InstanceMetadata(
        instance, content=injected_files or [], network_info=network_info
    )
    return {
        path: data.encode() if isinstance(data, str) else data
        for path, data in built.metadata_for_config_drive()
    }
