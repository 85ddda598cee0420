"""Kinds beside ServiceInstance that are realised from an offering: typed fields, own Stacks."""

from typing import Any

import pytest

from isthmus.api.v1alpha1 import Machine, Network, Operation, OperationPhase, ServiceInstance, Stack
from tests.world import TEAM, an_instance, an_offering, an_operation, scene

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

MACHINES: dict[str, Any] = {
    "category": "compute",
    "parameters": {
        "type": "object",
        "required": ["image"],
        "properties": {
            "image": {"type": "string", "minLength": 2, "x-updatable": True},
            "sshKey": {"type": "string", "default": "", "x-updatable": False},
            "disk": {"type": "integer", "default": 10, "x-updatable": True},
        },
    },
    "plans": [{"name": "small", "title": "Small"}],
    "binding": None,
    "stacks": {
        "fake": {
            "template": {
                "resources": {
                    "Server": {
                        "type": "Fake::Database",
                        "properties": {"image": "${image}", "key": "${sshKey}", "disk": "${disk}"},
                    }
                },
                "outputs": {"Address": "${Server.host}", "Stack": "${stack.name}"},
            },
            "actions": {
                "stop": {"stack": "${outputs.Stack}", "resource": "Server", "set": "stopped"}
            },
        }
    },
    "actions": [{"name": "stop", "title": "Stop"}],
}


def a_machine(name: str = "db", **spec: Any) -> Machine:
    return Machine.model_validate(
        {"metadata": {"name": name, "namespace": TEAM}, "spec": {"image": "debian-12"} | spec}
    )


async def test_a_machine_and_an_instance_of_one_name_stand_side_by_side() -> None:
    async with scene() as here:
        await here.apply(an_offering("machine", **MACHINES))
        await here.apply(an_instance("db"))
        await here.apply(a_machine("db", ssh_key="anna", parameters={"disk": 20}))
        machine = await here.ready(Machine, "db")
        instance = await here.ready(ServiceInstance, "db")
        assert machine.status.outputs["Address"] != instance.status.outputs["Host"]
        stack = await here.ready(Stack, "machine-db")
        assert stack.metadata.labels == {"isthmus.dev/machine": "db"}
        server = stack.spec.template["resources"]["Server"]["properties"]
        assert server == {"image": "debian-12", "key": "anna", "disk": 20}
        await here.delete(Machine, "db")
        await here.gone(Machine, "db")
        assert await here.get(Stack, "machine-db") is None
        assert (await here.ready(ServiceInstance, "db")).ready


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"image": "x"}, "spec.image"),
        ({"parameters": {"image": "debian"}}, "spec.parameters.image: set spec.image instead"),
        ({"parameters": {"disk": "much"}}, "spec.parameters.disk"),
    ],
)
async def test_a_wrong_value_is_named_where_it_was_set(spec: dict[str, Any], said: str) -> None:
    async with scene() as here:
        await here.apply(an_offering("machine", **MACHINES))
        await here.apply(a_machine("m", **spec))
        assert said in await here.refused(Machine, "m", "InvalidSpec")


async def test_what_cannot_change_is_refused() -> None:
    async with scene() as here:
        await here.apply(an_offering("machine", **MACHINES))
        await here.apply(a_machine("m"))
        await here.ready(Machine, "m")
        await here.apply(a_machine("m", ssh_key="eve"))
        assert "sshKey" in await here.refused(Machine, "m", "InvalidSpec")


async def test_an_operation_acts_on_a_machine() -> None:
    async with scene() as here:
        await here.apply(an_offering("machine", **MACHINES))
        await here.apply(a_machine("m"))
        await here.ready(Machine, "m")
        await here.apply(an_operation(target={"kind": "Machine", "name": "m"}))
        done = await here.until(
            Operation, "stop-it", lambda o: o and o.status.phase is OperationPhase.SUCCEEDED
        )
        assert done is not None
        await here.apply(an_operation("other", target={"kind": "Provider", "name": "here"}))
        message = await here.refused(Operation, "other", "InvalidSpec")
        assert "ServiceInstance, Machine" in message


async def test_a_network_waits_for_its_offering() -> None:
    async with scene() as here:
        network = Network.model_validate(
            {"metadata": {"name": "n", "namespace": TEAM}, "spec": {"cidr": "10.0.0.0/24"}}
        )
        await here.apply(network)
        assert "spec.offering" in await here.refused(Network, "n", "DependencyNotReady")
