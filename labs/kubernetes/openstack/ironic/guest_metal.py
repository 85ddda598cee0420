"""Ironic's hardware type whose nodes are guests: deployed, powered and torn down for real.

An OpenStack lab is given it by `--metal-driver lab-guest --driver-path <this folder>`. Only a node
that is deployed with an image that says `os_distro=lab-guest` becomes a guest; all others stay
played, as upstream's fake hardware is. A guest is what its machine would find: the config drive
that Nova has made, a real ISO, and what DHCP tells of the server's ports.

ISTHMUS_LAB_KUBERNETES may name the folder with the package isthmus_lab_kubernetes.
"""

import base64
import gzip
import io
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pycdlib
from ironic.common import exception, states
from ironic.conf import CONF
from ironic.drivers import base, fake_hardware
from ironic.drivers.modules import fake
from isthmus_lab_plugins.faults import Call, Rules
from keystoneauth1 import loading

_SOURCE = os.environ.get("ISTHMUS_LAB_KUBERNETES") or str(
    Path(__file__).resolve().parents[2] / "src"
)
sys.path.append(_SOURCE)
from isthmus_lab_kubernetes.cloud import neutron, orders, servers  # noqa: E402
from isthmus_lab_kubernetes.cloud.identity import Session  # noqa: E402
from isthmus_lab_kubernetes.machines import Machine  # noqa: E402
from isthmus_lab_kubernetes.settings import LabError  # noqa: E402

RULES = Rules(Path(os.environ["ISTHMUS_LAB_FAULTS"]))
_META, _NETWORK = "openstack/latest/meta_data.json", "openstack/latest/network_data.json"


class GuestDeploy(fake.FakeDeploy):
    """A deployment boots the node's guest; it goes with the server that it was deployed for."""

    @base.deploy_step(priority=100)
    def deploy(self, task):
        """Make and boot the guest; a rebuild comes here, too."""
        node = task.node
        _fail_on_demand(node)
        with _failures(exception.InstanceDeployFailure):
            session = _session()
            if release := _release(node, session):
                _server(node).boot(_machine(node, release, session))
        node.power_state = states.POWER_ON

    def tear_down(self, task):
        """Remove the guest."""
        with _failures(exception.InstanceDeployFailure):
            _server(task.node).order("delete")
        task.node.power_state = states.POWER_OFF
        return super().tear_down(task)


class GuestPower(fake.FakePower):
    """The power of the node's guest, whoever switches it."""

    def get_power_state(self, task):
        """Whether the guest runs."""
        guest = _server(task.node).guest
        if not guest.exists:
            return super().get_power_state(task)
        return states.POWER_ON if guest.leader else states.POWER_OFF

    def set_power_state(self, task, power_state, timeout=None):
        """Switch it; what is called soft gives the guest time to shut down."""
        _switch(task.node, power_state)
        super().set_power_state(task, power_state, timeout)

    def reboot(self, task, timeout=None):
        """Pull the plug, and put it in again."""
        _switch(task.node, states.REBOOT)
        super().reboot(task, timeout)


class GuestHardware(fake_hardware.FakeHardware):
    """Fake hardware but for deployment and power."""

    @property
    def supported_deploy_interfaces(self):
        """How its nodes are deployed."""
        return [GuestDeploy]

    @property
    def supported_power_interfaces(self):
        """How its nodes are switched."""
        return [GuestPower]


@contextmanager
def _failures(known):
    """What the lab cannot do is a failure that Ironic knows."""
    try:
        yield
    except LabError as error:
        raise known(str(error)) from error


def _server(node):
    # Without a server there is no guest of this name either.
    return servers.Server(node.instance_uuid or node.uuid)


def _switch(node, wished):
    with _failures(exception.IronicException):
        if wished != states.POWER_ON:
            _server(node).order("stop" if wished.startswith("soft") else "kill")
        if wished in (states.POWER_ON, states.REBOOT, states.SOFT_REBOOT):
            _server(node).order("start")


def _fail_on_demand(node):
    server = node.instance_info.get("display_name") or node.name
    rule = RULES.find(Call("ironic-conductor", "deploy", server))
    if rule:
        RULES.wait(rule)
        if rule.get("fail", True):
            reason = rule.get("message", "failed on demand by the lab")
            raise exception.InstanceDeployFailure(reason)


def _session():
    loading.load_auth_from_conf_options(CONF, "neutron")  # Makes its options known.
    return Session(**orders.log_in(CONF.neutron))


def _release(node, session):
    """The Kubernetes version inside of the node's image; empty: the node stays played."""
    image = node.instance_info.get("image_source")
    return servers.release(session.get("image", f"/v2/images/{image}")) if image else ""


def _machine(node, release, session):
    """The guest with the flavor that the server was asked for."""
    packed = node.instance_info.get("configdrive")
    if not packed:
        raise LabError("a node becomes a guest by the config drive that Nova makes; it has none")
    drive = _drive(packed)
    links = json.loads(drive[_NETWORK])["links"]
    return Machine(
        id=node.instance_uuid,
        hostname=json.loads(drive[_META])["hostname"],
        ports=neutron.plugs(session, [link["vif_id"] for link in links]),
        memory_mib=int(node.instance_info["memory_mb"]),
        cpus=int(node.instance_info["vcpus"]),
        release=release,
        drive=drive,
    )


def _drive(configdrive):
    """The files of a config drive as Nova hands it over: an ISO, compressed, in base64."""
    iso, files = pycdlib.PyCdlib(), {}
    iso.open_fp(io.BytesIO(gzip.decompress(base64.b64decode(configdrive))))
    for folder, _, names in iso.walk(rr_path="/"):
        for name in names:
            path, content = f"{folder.rstrip('/')}/{name}", io.BytesIO()
            iso.get_file_from_iso_fp(content, rr_path=path)
            files[path.lstrip("/")] = content.getvalue()
    iso.close()
    return files
