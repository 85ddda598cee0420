"""What Heat asked for and never noted goes with its stack; what it noted, or others made, stays."""

from dataclasses import replace
from typing import Any

import pytest

from isthmus.api.meta import Adopt, Json
from isthmus.core import stacks
from isthmus.core.stacks import TAG_UID, NativeStack, StackName
from isthmus.drivers.openstack.engine import Heat
from isthmus.errors import DeletionBlocked, NotYet, Unavailable
from tests.catalog_files import composed
from tests.heat_double import GROUP, SERVER, Stacks
from tests.openstack_double import Double, serving

UID = "7a1e0c52-uid"
SHOP = composed("kubernetes-nova", "dev", uid=UID)
STACK = stacks.external_name(SHOP)
NOTED, LOST, FOREIGN = "noted", "lost", "foreign"
ROUND = 40
VOLUME: Json = {"type": "OS::Cinder::Volume", "properties": {"size": 1}}
TEMPLATE: Json = SHOP.spec.template | {
    "resources": SHOP.spec.template["resources"] | {"data": VOLUME}
}
TYPES = {
    "servers": SERVER,
    "server_groups": "OS::Nova::ServerGroup",
    "floatingips": "OS::Neutron::FloatingIP",
    "routers": "OS::Neutron::Router",
    "ports": "OS::Neutron::Port",
    "subnets": "OS::Neutron::Subnet",
    "networks": "OS::Neutron::Net",
    "security_groups": "OS::Neutron::SecurityGroup",
    "security_group_rules": "OS::Neutron::SecurityGroupRule",
    "volumes": "OS::Cinder::Volume",
    "loadbalancers": "OS::Octavia::LoadBalancer",
    "listeners": "OS::Octavia::Listener",
    "pools": "OS::Octavia::Pool",
}
HREF = f"http://heat/v1/p/stacks/{STACK}/1"


def thing(kind: str, whose: str) -> Json:
    """A thing as its service shows it; what is foreign has a name that only looks like ours."""
    mark = STACK if whose != FOREIGN else f"{STACK}2"
    found: Json = {"id": f"{kind}-{whose}", "tags": [], "status": "ACTIVE"}
    match kind:
        case "floatingips" | "security_group_rules":
            return found | {"description": f"of stack {mark}"}
        case "servers":
            return found | {"name": "shop-control-0", "metadata": {"isthmus-stack": mark}}
        case "volumes":
            used = {"created_at": "2026-01-01T00:00:00.0", "updated_at": "2026-01-01T00:00:04.0"}
            return found | used | {"metadata": {"isthmus-stack": mark}, "status": "available"}
        case "loadbalancers" | "listeners" | "pools":
            found |= {"provisioning_status": "ACTIVE"}
        case _:
            pass
    return found | {"name": f"{mark}-{kind}-a2b3c4d5e6f7"}


def a_cloud(status: str = "CREATE_FAILED", **options: Any) -> Double:
    """A cloud with one of each kind that Heat noted, one that it lost, and one of others."""
    double = Double(**options)
    for kind in TYPES:
        getattr(double, kind).extend(thing(kind, whose) for whose in (NOTED, LOST, FOREIGN))
    noted = [
        {
            "resource_name": kind, "resource_type": of, "physical_resource_id": f"{kind}-{NOTED}",
            "resource_status": "CREATE_COMPLETE", "links": [{"rel": "stack", "href": HREF}],
        }
        for kind, of in TYPES.items()
    ]  # fmt: skip
    noted.append(
        noted[0]
        | {"resource_type": "OS::Neutron::RouterInterface", "physical_resource_id": _joins(NOTED)}
    )
    stack = {
        "stack_name": STACK, "id": "1", "stack_status": status, "tags": [f"isthmus:uid={UID}"],
        "creation_time": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    double.heat = {
        f"/stacks/{STACK}": {"stack": stack},
        f"/stacks/{STACK}/1/resources?nested_depth=5": {"resources": noted},
        f"/stacks/{STACK}/1/events?nested_depth=5&limit=1&sort_dir=desc": {"events": []},
        "/stacks?owner_id=1&show_nested=true": {"stacks": []},
    }
    return double


def _joins(subnet: str) -> str:
    return f"routers-{NOTED}:subnet_id=subnets-{subnet}"


def native(template: Json = TEMPLATE, name: str = STACK) -> NativeStack:
    return NativeStack(name=StackName(name), template=template, tags={TAG_UID: UID})


def there(double: Double) -> set[str]:
    return {
        one["id"] for kind in TYPES for one in getattr(double, kind) if one["status"] != "deleting"
    }


def ids(*whose: str) -> set[str]:
    return {f"{kind}-{one}" for kind in TYPES for one in whose}


def _deletes(call: str) -> bool:
    return call.startswith("DELETE orchestration")


async def deleted(double: Double, stack: NativeStack | None = None) -> list[str]:
    """Repeat until Heat is asked to delete the stack; return what was waited for."""
    with serving(double) as cloud:
        return await repeated(Heat(cloud), double, stack or native())


async def repeated(engine: Heat, double: Double, stack: NativeStack) -> list[str]:
    waited: list[str] = []
    for _ in range(ROUND):
        try:
            await engine.delete(stack)
        except NotYet as exc:
            waited.append(exc.message)
        except Unavailable:
            continue
        else:
            assert [c for c in double.calls if _deletes(c)]
            return waited
    raise AssertionError(waited)


async def test_what_is_lost_goes_and_nothing_else():
    double = a_cloud()
    waited = await deleted(double)
    assert there(double) == ids(NOTED, FOREIGN)
    assert "load balancer" in waited[0]
    assert any("server shop-control-0 is ACTIVE" in words for words in waited)


async def test_each_kind_of_call_fails_once():
    """Before its effect, and after it."""
    few = ("servers", "floatingips", "volumes")
    stack = native({"resources": {kind: {"type": TYPES[kind]} for kind in few}})
    wanted = ids(NOTED, FOREIGN, LOST) - {f"{kind}-{LOST}" for kind in few}
    double = a_cloud()
    with serving(double) as cloud:
        await repeated(Heat(cloud), double, stack)
        for call, number in {call: n for n, call in enumerate(double.calls, 1)}.items():
            for lost_answer in (False,) if call.startswith("GET") else (False, True):
                double.become(a_cloud(strike=number, lost_answer=lost_answer))
                await repeated(Heat(cloud), double, stack)
                assert there(double) == wanted, call


async def test_a_whole_stack_is_only_looked_at():
    double = a_cloud("CREATE_COMPLETE")
    for kind in TYPES:
        getattr(double, kind)[:] = [thing(kind, NOTED), thing(kind, FOREIGN)]
    assert await deleted(double) == []
    (asked,) = [call for call in double.calls if not call.startswith("GET")]
    assert _deletes(asked)


async def test_what_somebody_else_uses_blocks_with_its_name():
    double = a_cloud()
    double.ports.append({"id": "guest", "tags": [], "network_id": "networks-lost", "status": ""})
    with pytest.raises(DeletionBlocked, match=r"made and lost network .*: .*network .* in use"):
        await deleted(double)
    assert not [call for call in double.calls if _deletes(call)]


async def test_a_subnet_goes_with_a_network_of_the_stack_and_a_lost_interface_goes_off_its_router():
    double = a_cloud()
    double.subnets[1]["network_id"] = "networks-noted"
    double.ports += [
        _interface("ours", NOTED), _interface("lost-one", LOST), _interface("theirs", FOREIGN),
    ]  # fmt: skip
    double.heat[f"/stacks/{STACK}/1/resources?nested_depth=5"]["resources"].append(
        {"resource_name": "second", "resource_type": TYPES["subnets"],
         "physical_resource_id": "subnets-lost", "resource_status": "CREATE_COMPLETE", "links": []}
    )  # fmt: skip
    await deleted(double)
    assert {"ours", "theirs"} <= there(double)
    assert "lost-one" not in there(double)


def _interface(name: str, subnet: str) -> Json:
    return {
        "id": name, "tags": [], "device_id": "routers-noted", "status": "ACTIVE",
        "device_owner": "network:router_interface",
        "fixed_ips": [{"subnet_id": f"subnets-{subnet}"}],
    }  # fmt: skip


async def test_a_subnet_in_use_by_the_stack_does_not_hold_it_up():
    double = a_cloud()
    double.subnets[1]["network_id"] = "networks-noted"
    double.ports[0]["fixed_ips"] = [{"subnet_id": "subnets-lost"}]
    await deleted(double)
    assert there(double) == ids(NOTED, FOREIGN) | {"subnets-lost"}


async def test_volumes_that_somebody_used_and_what_is_to_be_kept_stay():
    later = {"updated_at": "2026-01-01T00:10:00.0"}
    for changes in ({"attachments": [{"server_id": "s"}]}, later, {"status": "in-use"}):
        double = a_cloud()
        double.volumes[1] |= changes
        await deleted(double, native({"resources": {"data": VOLUME}}))
        assert there(double) == ids(NOTED, LOST, FOREIGN)
    double = a_cloud()
    kept = {"resources": {"data": VOLUME | {"deletion_policy": "Retain"}}}
    await deleted(double, native({"resources": {"data": VOLUME}, "files": {"more": kept}}))
    assert there(double) == ids(NOTED, LOST, FOREIGN)


async def test_a_volume_that_is_being_made_is_waited_for():
    double = a_cloud()
    double.volumes[1]["status"] = "creating"
    with serving(double) as cloud:
        engine, stack = Heat(cloud), native({"resources": {"data": VOLUME}})
        for _ in range(2):
            with pytest.raises(NotYet, match="volume volumes-lost is creating"):
                await engine.delete(stack)
        double.volumes[1]["status"] = "available"
        await engine.delete(stack)
    assert "volumes-lost" not in there(double)


async def test_a_stack_below_that_heat_lost_goes_first():
    double = a_cloud()
    child = f"{STACK}-nodes-a2b3c4d5e6f7"
    lost = {"stack_name": child, "id": "2", "stack_status": "CREATE_COMPLETE"}
    noted = {"stack_name": child.replace("nodes", "ports"), "id": "3"}
    resources = double.heat[f"/stacks/{STACK}/1/resources?nested_depth=5"]["resources"]
    resources[0]["links"] = [{"rel": "nested", "href": HREF.replace("/1", "/3")}]
    double.heat["/stacks?owner_id=1&show_nested=true"]["stacks"] = [lost, noted]
    group = {"resources": {"nodes": {"type": GROUP}}}
    waited = await deleted(double, native(group))
    assert waited == [f"What Heat made and lost goes first: stack {child} is CREATE_COMPLETE."]
    gone = [call for call in double.calls if _deletes(call)]
    assert gone == [
        f"DELETE orchestration /stacks/{child}/2", f"DELETE orchestration /stacks/{STACK}/1",
    ]  # fmt: skip


async def test_only_what_the_stack_has_is_asked_for():
    double = a_cloud(services=("compute", "network", "block-storage", "orchestration"))
    await deleted(double)
    assert not [call for call in double.calls if "load-balancer" in call]
    double.calls.clear()
    await deleted(double, native({"resources": {"ip": {"type": TYPES["floatingips"]}}}))
    assert {call.split()[1] for call in double.calls} == {"network", "orchestration"}


async def test_who_may_not_see_things_of_a_kind_has_none():
    double = a_cloud(strike=2, failure=(403, {}))
    await deleted(double, native({"resources": {"ip": {"type": TYPES["floatingips"]}}}))
    assert double.calls[1] == "GET network /floatingips"


async def test_an_adopted_stack_has_a_name_that_proves_nothing():
    double = a_cloud()
    for path in list(double.heat):
        double.heat[path.replace(STACK, "legacy")] = double.heat[path]
    double.heat["/stacks/legacy"]["stack"]["stack_name"] = "legacy"
    await deleted(double, native(name="legacy"))
    assert there(double) == ids(NOTED, LOST, FOREIGN)


def a_heat() -> tuple[Stacks, Double]:
    """A Heat that behaves, and the cloud that it is in."""
    servers: list[Json] = []
    limits: Json = dict.fromkeys(("maxTotalInstances", "maxTotalCores", "maxTotalRAMSize"), -1)
    heat = Stacks(servers)
    return heat, Double(servers=servers, stacks=heat, limits=limits)


def of_a_server() -> NativeStack:
    server = {"type": SERVER, "properties": {"image": "debian", "flavor": "m1"}}
    return native({"heat_template_version": "2021-04-16", "resources": {"a": server}})


async def test_a_stack_that_is_taken_over_is_not_changed_by_that():
    heat, double = a_heat()
    with serving(double) as cloud:
        engine = Heat(cloud)
        await engine.apply(of_a_server())
        heirs = replace(of_a_server(), tags={TAG_UID: "heir"}, adopted=True, former_owner=UID)
        await engine.adopt(heirs, Adopt(external_name=STACK))
        assert (await engine.preview(heirs)).changes == ()
        await engine.apply(heirs)
    assert heat.updated == []
    assert double.servers[0]["metadata"] == {"isthmus-stack": STACK}


@pytest.mark.parametrize(("status", "goes"), [("CREATE", True), ("UPDATE", False)])
async def test_a_creation_that_was_broken_off_goes_on_without_what_was_lost(
    status: str, goes: bool
):
    """It would be in the way: a port is plugged into one server only."""
    stack, (heat, double) = of_a_server(), a_heat()
    with serving(double) as cloud:
        engine = Heat(cloud)
        await engine.apply(stack)
        (made,) = double.servers
        assert made["metadata"] == {"isthmus-stack": STACK}
        double.servers.append(made | {"id": "lost", "name": "a"})
        heat.stacks[STACK].status = f"{status}_IN_PROGRESS"
        if goes:
            with pytest.raises(NotYet, match="server a is ACTIVE"):
                await engine.apply(stack)
            assert heat.stacks[STACK].status == "CREATE_IN_PROGRESS"
            double.servers[:] = [s for s in double.servers if not s.get("going")]
        await engine.apply(stack)
    assert heat.stacks[STACK].status == "UPDATE_COMPLETE"
    assert [s["id"] for s in double.servers] == [made["id"], *([] if goes else ["lost"])]
