"""Volumes of a Machine by its actions: plugged in once, never deleted, nobody else's touched."""

from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.core import catalog, schemas
from isthmus.core.render import substitute
from isthmus.drivers.openstack.actions import ApiActions
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import InvalidSpec, Retryable, StateForbids
from isthmus.ports import ActionCall, ActionState
from tests.catalog_files import offering
from tests.openstack_double import Double, serving

OURS, THEIRS = (f"0a1b2c3d-0000-4000-8000-00000000000{n}" for n in range(2))
MOST = 12


def a_cloud(**options: Any) -> Double:
    """A server of ours; a volume that nobody uses, and one of another server."""
    double = Double(**options)
    double.servers = [{"id": n, "name": n, "status": "ACTIVE"} for n in ("vm", "other")]
    double.volumes = [
        {"id": OURS, "status": "available", "attachments": []},
        {"id": THEIRS, "status": "in-use", "attachments": [{"server_id": "other"}]},
    ]
    return double


def action(name: str, volume: str) -> ActionCall:
    spec = offering("machine").spec
    given: Json = {"volume": volume}
    schemas.check(catalog.action_of(spec, name).parameters, given, field="spec.parameters")
    scope = {"outputs.ServerId": "vm", "action.volume": volume}
    calls: Json = substitute(spec.stacks["openstack"].actions[name], scope, path=name)
    return ActionCall(token="t", spec=calls)


async def ran(cloud: Cloud, call: ActionCall) -> ActionState:
    """Run an action as an Operation does: again after whatever may pass."""
    actions, state = ApiActions(cloud), None
    for _ in range(MOST):
        try:
            state = await (actions.poll(call, state.handle) if state else actions.start(call))
        except Retryable:
            continue
        if state.done:
            return state
    raise AssertionError(state)


async def lived(cloud: Cloud, double: Double) -> None:
    plugged = await ran(cloud, action("attach-volume", OURS))
    assert plugged.result == {"volumeId": OURS, "device": "/dev/vdb"}
    assert double.volumes[0]["attachments"][0]["server_id"] == "vm"
    assert (await ran(cloud, action("attach-volume", OURS))).result == plugged.result
    free = await ran(cloud, action("detach-volume", OURS))
    assert free.result == {"volumeId": OURS}
    assert (double.volumes[0]["status"], double.volumes[0]["attachments"]) == ("available", [])
    await ran(cloud, action("detach-volume", OURS))
    assert double.volumes[1]["attachments"] == [{"server_id": "other"}]


async def test_a_volume_is_plugged_in_and_out_whatever_fails():
    double = a_cloud()
    with serving(double) as cloud:
        await lived(cloud, double)
        calls = [call for call in double.calls if not call.startswith("GET")]
        assert len(calls) == 2
        assert not any("/volumes" in call for call in calls)  # Cinder is asked for nothing.
        for number, call in enumerate(list(double.calls), 1):
            if not call.startswith("GET"):
                double.become(a_cloud(strike=number, lost_answer=True))
                await lived(cloud, double)


@pytest.mark.parametrize("name", ["attach-volume", "detach-volume"])
async def test_another_servers_volume_stays_where_it_is(name: str):
    double = a_cloud()
    with serving(double) as cloud:
        with pytest.raises(StateForbids, match="another server"):
            await ran(cloud, action(name, THEIRS))
        assert double.volumes[1]["attachments"] == [{"server_id": "other"}]


@pytest.mark.parametrize("volume", ["data", "", "0A1B2C3D-0000-4000-8000-000000000000"])
def test_a_volume_is_named_by_its_id(volume: str):
    with pytest.raises(InvalidSpec, match=r"spec\.parameters\.volume: write its id"):
        action("detach-volume", volume)
