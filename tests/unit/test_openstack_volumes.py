"""Volumes of a Machine by its actions: plugged in once, never deleted, nobody else's touched."""

from typing import Any

import pytest

from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import InvalidSpec, StateForbids
from isthmus.ports import ActionCall
from tests.openstack_double import Double, serving
from tests.openstack_operations import call_of, ran

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
    return call_of("machine", name, {"ServerId": "vm"}, {"volume": volume})


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
