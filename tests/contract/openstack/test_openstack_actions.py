"""Day-2 actions on servers of a real Nova: every form that an offering may declare."""

import asyncio
import uuid
from time import monotonic
from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.core.stacks import TAG_INSTALLATION, TAG_UID, NativeStack, StackName, digest
from isthmus.errors import InvalidSpec, StackFailed, StateForbids
from isthmus.ports import ActionCall, ActionState, Connection, Endpoint
from tests.contract.test_stack_engine import applied
from tests.openstack_lab import OpenStackLab

pytestmark = [pytest.mark.labs, pytest.mark.openstack, pytest.mark.slow, pytest.mark.timeout(300)]

SECONDS = 120.0


@pytest.fixture
async def outputs(connection: Connection, openstack_lab: OpenStackLab) -> dict[str, str]:
    """The outputs of a stack with a server and a volume."""
    endpoint: Endpoint = openstack_lab.endpoint()
    properties = {"flavor": "m1.tiny", "image": "cirros", "networks": [{"network": "n"}]}
    properties["networks"] = [{"network": {"get_resource": "net"}}]
    resources: Json = {
        "net": {"type": "OS::Neutron::Net"},
        "subnet": {
            "type": "OS::Neutron::Subnet",
            "properties": {"network": {"get_resource": "net"}, "cidr": "10.9.0.0/24"},
        },
        "server": {"type": "OS::Nova::Server", "properties": properties, "depends_on": "subnet"},
        "volume": {"type": "OS::Cinder::Volume", "properties": {"size": 1}},
    }
    template = {
        "heat_template_version": "2021-04-16",
        "resources": resources,
        "outputs": {n: {"value": {"get_resource": n}} for n in ("server", "volume")},
    }
    uid = str(uuid.uuid4())
    native = NativeStack(
        name=StackName(f"isthmus-heat-{uid}"),
        template=template,
        digest=digest(template),
        tags={TAG_UID: uid, TAG_INSTALLATION: endpoint.installation},
    )
    return dict((await applied(connection.engine, native)).outputs)


def on_server(operation: str, server: str, **arguments: Any) -> Json:
    return {
        "service": "compute",
        "operation": operation,
        "arguments": {"server": server} | arguments,
    }


def until(server: str, *states: str) -> Json:
    return on_server("get_server", server) | {
        "path": "status",
        "until": list(states),
        "failed": ["ERROR"],
    }


async def ran(connection: Connection, spec: Json, token: str = "") -> ActionState:
    call = ActionCall(token=token or uuid.uuid4().hex, spec=spec)
    state = await connection.actions.start(call)
    deadline = monotonic() + SECONDS
    while not state.done:
        assert monotonic() < deadline, state
        await asyncio.sleep(0.2)
        state = await connection.actions.poll(call, state.handle)
    return state


async def test_a_server_is_stopped_started_and_grown(connection, outputs, openstack_lab):
    server = outputs["server"]
    larger = openstack_lab.connect().compute.find_flavor("m1.small", ignore_missing=False)
    stop = {
        "requires": [
            on_server("get_server", server)
            | {"path": "status", "in": ["ACTIVE"], "already": ["SHUTOFF"]}
        ],
        "calls": [on_server("stop_server", server)],
        "wait": until(server, "SHUTOFF"),
        "result": {"status": "status"},
    }
    assert (await ran(connection, stop)).result == {"status": "SHUTOFF"}
    assert (await ran(connection, stop)).result == {"status": "SHUTOFF"}
    start = {
        "calls": [on_server("start_server", server)],
        "wait": until(server, "ACTIVE"),
        "result": {"status": "status"},
    }
    await ran(connection, start)
    with pytest.raises(StateForbids):
        await ran(connection, start)
    resize = {
        "calls": [on_server("resize_server", server, flavor=larger.id)],
        "wait": until(server, "VERIFY_RESIZE"),
    }
    await ran(connection, resize)
    confirm = {
        "calls": [on_server("confirm_server_resize", server)],
        "wait": until(server, "ACTIVE"),
        "result": {"flavor": "flavor.original_name"},
    }
    assert (await ran(connection, confirm)).result["flavor"] == "m1.small"
    for calls, states in (
        ([on_server("reboot_server", server, reboot_type="HARD")], ("ACTIVE",)),
        ([on_server("pause_server", server)], ("PAUSED",)),
        ([on_server("unpause_server", server)], ("ACTIVE",)),
    ):
        await ran(connection, {"calls": calls, "wait": until(server, *states)})


async def test_a_snapshot_is_made_once_for_a_token(connection, outputs, openstack_lab):
    name = "heat-${call.token}"
    snapshot = {
        "calls": [
            on_server("create_server_image", outputs["server"], name=name)
            | {"result": {"image": "id"}}
        ],
        "wait": {
            "service": "image",
            "operation": "get_image",
            "arguments": {"image": "${result.image}"},
            "path": "status",
            "until": ["active"],
            "failed": ["killed", "deleted"],
        },
        "result": {"name": "name"},
    }
    done = await ran(connection, snapshot)
    assert done.result["name"].startswith("heat-")
    openstack_lab.connect().image.delete_image(done.result["image"])


async def test_a_console_a_rebuild_and_a_volume(connection, outputs):
    server, volume = outputs["server"], outputs["volume"]
    console = {
        "calls": [
            on_server("create_server_remote_console", server, protocol="vnc", type="novnc")
            | {"result": {"url": "url"}}
        ]
    }
    assert (await ran(connection, console)).result["url"].startswith("http")
    attach = {
        "calls": [on_server("create_volume_attachment", server, volume_id=volume)],
        "wait": {
            "service": "block_storage",
            "operation": "get_volume",
            "arguments": {"volume": volume},
            "path": "status",
            "until": ["in-use"],
            "failed": ["error"],
        },
    }
    await ran(connection, attach)
    detach = {
        "calls": [on_server("delete_volume_attachment", server, volume=volume)],
        "wait": attach["wait"] | {"until": ["available"]},
    }
    await ran(connection, detach)


async def test_what_is_not_allowed_is_not_called(connection):
    with pytest.raises(InvalidSpec, match="delete_server"):
        await ran(connection, {"calls": [on_server("delete_server", "x")]})
    with pytest.raises(InvalidSpec, match="compute"):
        await ran(connection, {"calls": [{"service": "identity", "operation": "users"}]})


async def test_a_target_that_failed_ends_the_wait(connection, outputs):
    spec = {"wait": until(outputs["server"]) | {"failed": ["ACTIVE"]}}
    with pytest.raises(StackFailed, match="ACTIVE"):
        await ran(connection, spec)
