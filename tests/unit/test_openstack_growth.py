"""What is there and grows in place is held against the quotas, by what it grows."""

import pytest

from isthmus.core.stacks import NativeStack, StackName
from isthmus.drivers.openstack import readings, template
from isthmus.drivers.openstack.observation import Observer
from isthmus.drivers.openstack.previews import Preview, Previews
from isthmus.drivers.openstack.quotas import Quotas
from isthmus.drivers.openstack.session import Cloud
from isthmus.errors import CapacityExhausted, InvalidSpec
from tests.openstack_double import Double, serving

LIMITS = {
    "maxTotalInstances": 2, "totalInstancesUsed": 2, "maxTotalCores": 4, "totalCoresUsed": 2,
    "maxTotalRAMSize": 4096, "totalRAMUsed": 1024,
    "maxTotalVolumes": 1, "totalVolumesUsed": 1,
    "maxTotalVolumeGigabytes": 20, "totalGigabytesUsed": 10,
}  # fmt: skip
STACK = {
    "id": "i", "stack_name": "s", "stack_status": "CREATE_COMPLETE", "stack_status_reason": "",
    "links": [], "tags": [], "outputs": [], "parameters": {}, "parent": None,
    "creation_time": "2026-01-01T00:00:00Z", "updated_time": None,
}  # fmt: skip


def a_cloud(server: dict | None = None, volume: dict | None = None, count: int = 1) -> Double:
    """One whose Heat would change these in place."""
    wanted = [("OS::Nova::Server", server), ("OS::Cinder::Volume", volume)]
    found = [
        {"resource_name": f"{kind[-6:].lower()}{n}", "resource_type": kind, "properties": given}
        for kind, given in wanted
        for n in range(count if given is not None else 0)
    ]
    there = [
        {
            "resource_name": one["resource_name"],
            "logical_resource_id": one["resource_name"],
            "physical_resource_id": f"id-of-{one['resource_name']}",
            "resource_type": one["resource_type"],
            "resource_status": "CREATE_COMPLETE",
            "resource_status_reason": "",
            "links": [],
        }
        for one in found
    ]
    path = readings.read_stack(STACK).path
    double = Double(limits=LIMITS)
    double.servers = [{"id": f"id-of-server{n}", "flavor": {"id": "1"}} for n in range(count)]
    double.volumes = [{"id": "id-of-volume0", "size": 10, "status": "in-use"}]
    changes = {"updated": found, "added": [], "replaced": [], "deleted": []}
    double.heat = {
        f"{path}/preview": {"resource_changes": changes},
        f"{path}/template": {"resources": {}},
        f"{path}/files": {},
        f"{path}/resources?nested_depth=5": {"resources": there},
        "/stacks/preview": {"stack": {"resources": found}},
    }
    return double


async def previewed(cloud: Cloud) -> Preview:
    stack = NativeStack(name=StackName("s"), template={"resources": {}}, digest="d")
    native = readings.read_stack(STACK)
    previews = Previews(cloud, Observer(cloud))
    return await previews.of_change(stack, template.prepare(stack), native)


THREE = "(for server0, server1 and 1 more)"


@pytest.mark.parametrize(
    ("cloud", "said"),
    [
        (a_cloud(server={"flavor": "m1"}), ()),
        (
            a_cloud(server={"flavor": "m2"}),
            ("quota cores: 3 more are needed, and 2 of 4 are left (for server0)",),
        ),
        (
            a_cloud(server={"flavor": "2"}, count=3),
            (
                f"quota cores: 9 more are needed, and 2 of 4 are left {THREE}",
                f"quota ram: 4608 MiB more are needed, and 3072 of 4096 are left {THREE}",
            ),
        ),
        (a_cloud(volume={"size": 20}), ()),
        (
            a_cloud(volume={"size": 21}),
            ("quota gigabytes: 11 GiB more are needed, and 10 of 20 are left (for volume0)",),
        ),
        (a_cloud(volume={"size": 10}), ()),
    ],
)
async def test_what_grows_in_place_needs_the_difference(cloud: Double, said: tuple[str, ...]):
    with serving(cloud) as opened:
        found = await previewed(opened)
        assert dict(found.coming) == {}
        assert await Quotas(opened).lacking(found.coming.items(), found.growing) == said
        if said:
            with pytest.raises(CapacityExhausted, match="Quota"):
                await Quotas(opened).require(found.coming.items(), found.growing)


async def test_a_server_whose_flavor_nobody_knows_any_more_is_not_counted():
    double = a_cloud(server={"flavor": "m2"})
    double.servers[0]["flavor"] = {"id": "gone"}
    with serving(double) as opened:
        found = await previewed(opened)
        assert await Quotas(opened).lacking((), found.growing) == ()


async def test_another_flavor_that_is_not_there_is_found_before_anything_is_asked():
    with serving(a_cloud(server={"flavor": "huge"})) as opened:
        found = await previewed(opened)
        with pytest.raises(InvalidSpec, match=r"no flavor 'huge' here, which server0 .*: m1, m2"):
            await Quotas(opened).lacking((), found.growing)
