"""What Heat's engine promises beyond every engine's: nested stacks, quotas, adoption, drift."""

import asyncio
import uuid
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic
from typing import Any

import pytest

from isthmus.api.meta import Adopt, Json
from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import TAG_UID, NativeStack, Observed, StackName, Verb
from isthmus.core.why import root_cause
from isthmus.drivers.openstack import DRIVER
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.settings import parse
from isthmus.errors import (
    ApprovalRequired,
    CapacityExhausted,
    Forbidden,
    InvalidSpec,
    NotFound,
    NotYet,
)
from isthmus.ports import Connection, Endpoint, StackEngine
from tests.contract.test_stack_engine import SECONDS, applied, deleted, settled
from tests.openstack_lab import OpenStackLab
from tests.openstack_stacks import NET, hot, stack_of, with_template
from tests.polling import eventually

pytestmark = [pytest.mark.labs, pytest.mark.openstack]

VOLUME: Json = {"type": "OS::Cinder::Volume", "properties": {"size": 1}}


def pool(count: Any, *, member: Json | None = None) -> Json:
    """A group of nested stacks with a network and a volume each."""
    group = {
        "type": "OS::Heat::ResourceGroup",
        "properties": {"count": count, "resource_def": {"type": "member.yaml"}},
    }
    nested = hot(member or {"net": NET, "data": VOLUME})
    return hot({"pool": group}, files={"member.yaml": nested})


async def test_the_probe_says_project_and_engine(connection: Connection) -> None:
    facts = await connection.probe()
    assert len(facts.account) == 32
    assert facts.engine.startswith("Heat, templates to 20")
    assert {"compute", "load-balancer", "network", "orchestration"} <= facts.services


async def test_wrong_credentials_are_named(endpoint: Endpoint) -> None:
    wrong = replace(endpoint, credentials={**endpoint.credentials, "password": "hunter2"})
    async with DRIVER.open(wrong) as opened:
        with pytest.raises(Forbidden, match="credentials") as caught:
            await opened.probe()
    assert "hunter2" not in caught.value.message + caught.value.detail


async def test_a_region_that_is_not_there_is_named(endpoint: Endpoint) -> None:
    async with DRIVER.open(replace(endpoint, region="Elsewhere")) as opened:
        with pytest.raises(InvalidSpec, match=r"spec\.region"):
            await opened.probe()


async def test_a_failure_in_a_nested_stack_is_named_by_its_path(
    endpoint: Endpoint, engine: StackEngine
) -> None:
    bad = {"type": "OS::Neutron::Net", "properties": {"value_specs": {"no luck": "1"}}}
    native = stack_of(endpoint, pool(1, member={"net": NET, "bad": bad | {"depends_on": "net"}}))
    failed = await applied(engine, native)
    cause = root_cause(failed.events)
    assert failed.phase is Phase.FAILED
    assert cause is not None
    assert (cause.logical_id, cause.type) == ("pool/0/bad", "OS::Neutron::Net")
    assert "no luck" in cause.reason
    assert "pool/0/bad (OS::Neutron::Net)" in failed.message
    assert "pool/0/bad" in [r.logical_id for r in failed.resources]
    mended = with_template(native, pool(2, member={"net": NET}))
    seen = await applied(engine, mended)
    assert (seen.phase, seen.digest) == (Phase.READY, mended.digest)
    assert root_cause(seen.events) is None or seen.phase is Phase.READY
    await deleted(engine, mended)


async def test_a_pool_grows_without_approval_and_shrinks_with_it(
    endpoint: Endpoint, engine: StackEngine
) -> None:
    native = stack_of(endpoint, pool(1))
    assert [c.logical_id for c in (await engine.preview(native)).changes if c.stateful] == [
        "pool/0/data"
    ]
    await applied(engine, native)
    bigger = with_template(native, pool(2))
    changes = await engine.preview(bigger)
    made = {c.logical_id for c in changes.changes if c.verb is Verb.CREATE}
    assert {"pool/1/net", "pool/1/data"} <= made
    assert changes.losing_data == ()
    assert (await applied(engine, bigger)).phase is Phase.READY
    lost = (await engine.preview(native)).losing_data
    assert [(c.verb, c.logical_id) for c in lost] == [(Verb.DELETE, "pool/1/data")]
    with pytest.raises(ApprovalRequired, match="pool/1/data"):
        await engine.apply(native)
    after = await applied(engine, replace(native, replacement_approved=True))
    assert (after.phase, after.digest) == (Phase.READY, native.digest)
    await deleted(engine, native)


def admin_of(lab: OpenStackLab) -> Cloud:
    auth = lab.auth("lab-admin")
    endpoint = replace(
        lab.endpoint(projectName=auth["project_name"]),
        credentials={"username": auth["username"], "password": auth["password"]},
    )
    return Cloud(parse(endpoint))


async def test_what_the_quota_does_not_allow_is_not_begun(
    endpoint: Endpoint, engine: StackEngine, cloud: Cloud, openstack_lab: OpenStackLab
) -> None:
    project = await cloud.project()
    admin = admin_of(openstack_lab)
    path = f"/quotas/{project}"
    used = (await cloud.get("network", f"/quotas/{project}/details"))["quota"]["network"]["used"]
    native = stack_of(endpoint, hot({"one": NET, "two": NET}))
    try:
        await admin.ask("network", "PUT", path, body={"quota": {"network": used + 1}})
        [note] = (await engine.preview(native)).notes
        words = f"2 more are needed, and 1 of {used + 1} are left (for one, two)"
        assert note == f"quota networks: {words}"
        with pytest.raises(CapacityExhausted, match="Quota networks"):
            await engine.apply(native)
        assert (await engine.observe(native.name)).phase is Phase.ABSENT
    finally:
        await admin.ask("network", "PUT", path, body={"quota": {"network": -1}})
        admin.close()


async def test_a_foreign_stack_is_adopted_by_its_tags_alone(
    endpoint: Endpoint, engine: StackEngine, cloud: Cloud
) -> None:
    name = StackName(f"heat-foreign-{uuid.uuid4().hex[:8]}")
    template = hot({"net": NET})
    body: Json = {"stack_name": name, "template": template, "tags": "theirs"}
    await cloud.ask("orchestration", "POST", "/stacks", body=body)
    native = replace(stack_of(endpoint, template), name=name, adopted=True)
    before = await settled(engine, native)
    assert name in [owned.name for owned in await engine.adoptable()]
    await engine.adopt(native, Adopt(external_name=name))
    adopted = await settled(engine, native)
    assert (adopted.phase, adopted.owner_uid) == (Phase.READY, native.tags[TAG_UID])
    ready = await applied(engine, native)
    assert (ready.phase, ready.digest) == (Phase.READY, native.digest)
    assert [r.physical_id for r in ready.resources] == [r.physical_id for r in before.resources]
    [owned] = [owned for owned in await engine.owned() if owned.name == name]
    assert owned.object_name == "a" * 100
    tags = (await cloud.get("orchestration", f"/stacks/{name}"))["stack"]["tags"]
    assert "theirs" in tags
    await deleted(engine, native)


async def test_a_check_finds_what_somebody_deleted_and_an_update_makes_it_anew(
    endpoint: Endpoint, engine: StackEngine, cloud: Cloud
) -> None:
    native = stack_of(endpoint, hot({"data": VOLUME, "net": NET}))
    first = await applied(engine, native)
    checked = await checked_for_drift(engine, native)
    assert checked.drift is not None
    assert (checked.phase, checked.drift.drifted) == (Phase.READY, False)
    victim = next(r for r in first.resources if r.logical_id == "data").physical_id
    await cloud.ask("block-storage", "DELETE", f"/volumes/{victim}")
    await eventually(lambda: gone(cloud, f"/volumes/{victim}"), within=SECONDS)
    amiss = await checked_for_drift(engine, native)
    assert amiss.drift is not None
    assert (amiss.phase, amiss.drift.resources) == (Phase.READY, ("data",))
    assert [r.logical_id for r in amiss.resources if r.drifted] == ["data"]
    approved = replace(native, digest="f" * 64, replacement_approved=True)
    healed = await applied(engine, approved)
    assert (healed.phase, healed.drift) == (Phase.READY, None)
    assert victim not in [r.physical_id for r in healed.resources]
    await deleted(engine, native)


async def test_a_server_that_is_off_is_no_drift_and_outlives_an_edit(
    endpoint: Endpoint, engine: StackEngine, cloud: Cloud
) -> None:
    def with_server(**metadata: str) -> Json:
        subnet = {"network": {"get_resource": "net"}, "cidr": "10.83.0.0/24"}
        server: Json = {"image": "cirros", "flavor": "m1.tiny", "metadata": metadata}
        server["networks"] = [{"subnet": {"get_resource": "subnet"}}]
        kinds = {"subnet": ("OS::Neutron::Subnet", subnet), "vm": ("OS::Nova::Server", server)}
        more = {name: {"type": kind, "properties": p} for name, (kind, p) in kinds.items()}
        return hot({"net": NET, **more})

    native = stack_of(endpoint, with_server(), stateful=("vm",))
    first = await applied(engine, native)
    vm = next(r for r in first.resources if r.logical_id == "vm").physical_id
    await cloud.ask("compute", "POST", f"/servers/{vm}/action", body={"os-stop": None})

    async def off() -> bool:
        found = await cloud.get("compute", f"/servers/{vm}")
        return found["server"]["status"] == "SHUTOFF"

    await eventually(off, within=SECONDS)
    checked = await checked_for_drift(engine, native)
    assert checked.drift is not None
    assert (checked.native_status, checked.drift.drifted) == ("CHECK_FAILED", False)
    edited = with_template(native, with_server(tier="web"))
    assert [c.verb for c in (await engine.preview(edited)).changes] == [Verb.UPDATE]
    after = await applied(engine, edited)
    assert (after.phase, after.digest) == (Phase.READY, edited.digest)
    assert vm in [r.physical_id for r in after.resources]
    await deleted(engine, edited)


async def test_a_stack_that_waited_in_vain_is_gone_on_with_after_another_word(
    endpoint: Endpoint, engine: StackEngine, cloud: Cloud
) -> None:
    wait = {"handle": {"get_resource": "handle"}, "count": 1, "timeout": 600}
    handle = {"type": "OS::Heat::WaitConditionHandle"}
    template = hot(
        {"handle": handle, "wait": {"type": "OS::Heat::WaitCondition", "properties": wait}}
    )
    native = stack_of(endpoint, template)
    await engine.apply(native)

    async def made() -> bool:
        seen = (await engine.observe(native.name)).resources
        return "CREATE_COMPLETE" in [r.status for r in seen if r.logical_id == "handle"]

    async def tell(status: str) -> None:
        """Return once Heat has noted it, which is some time after its answer."""
        found = (await cloud.get("orchestration", f"/stacks/{native.name}"))["stack"]
        path = f"/stacks/{native.name}/{found['id']}/resources/handle"
        body = {"id": "control-1", "status": status, "reason": f"control-1: {status}"}
        await cloud.ask("orchestration", "POST", f"{path}/signal", body=body)

        async def noted() -> bool:
            known = (await cloud.get("orchestration", f"{path}/metadata"))["metadata"]
            return known.get("control-1", {}).get("status") == status

        await eventually(noted, within=SECONDS)

    await eventually(made, within=SECONDS)
    await tell("FAILURE")
    failed = await settled(engine, native)
    assert failed.phase is Phase.FAILED
    assert "control-1: FAILURE" in failed.message
    await tell("SUCCESS")
    again = replace(native, digest="f" * 64)
    assert (await applied(engine, again)).phase is Phase.READY
    await deleted(engine, again)


async def checked_for_drift(engine: StackEngine, native: NativeStack) -> Observed:
    """Ask for a check, and wait for its own outcome: Heat's times are whole seconds."""
    await asyncio.sleep(1)
    asked = datetime.now(UTC).replace(microsecond=0)
    await engine.check_drift(native.name)
    found: list[Observed] = []

    async def outcome() -> bool:
        found[:] = [await settled(engine, native)]
        drift = found[0].drift
        return drift is not None and drift.checked_at is not None and drift.checked_at >= asked

    await eventually(outcome, within=SECONDS)
    return found[0]


async def gone(cloud: Cloud, path: str) -> bool:
    try:
        await cloud.get("block-storage", path)
    except NotFound:
        return True
    return False


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_a_deletion_that_something_blocks_names_it(
    endpoint: Endpoint, engine: StackEngine, cloud: Cloud
) -> None:
    native = stack_of(endpoint, hot({"net": NET}))
    first = await applied(engine, native)
    network = first.resources[0].physical_id
    body: Json = {"port": {"network_id": network, "name": "heat-blocker", "device_owner": "me:us"}}
    port = (await cloud.ask("network", "POST", "/ports", body=body))["port"]["id"]
    await engine.delete(native)

    async def given_up() -> bool:
        return (await engine.observe(native.name)).phase is Phase.FAILED

    await eventually(given_up, within=300)  # Heat itself tries five times.
    blocked = await engine.observe(native.name)
    assert blocked.phase is Phase.FAILED
    assert "net (OS::Neutron::Net)" in blocked.blockers[0]
    await cloud.ask("network", "DELETE", f"/ports/{port}")
    assert (await deleted(engine, native)).phase is Phase.ABSENT


async def test_what_a_cluster_made_is_removed_before_its_stack(
    endpoint: Endpoint, engine: StackEngine, cloud: Cloud
) -> None:
    native = stack_of(endpoint, hot({"net": NET}))
    cluster = f"c-{native.tags[TAG_UID]}"
    kinds = ("load-balancers", "floating-ips", "security-groups", "ports", "volumes")
    steps: list[Json] = [{"step": "stop-servers"}]
    steps += [{"step": f"delete-{kind}-of-cluster", "cluster": cluster} for kind in kinds]
    await applied(engine, native)
    ours = await leave_volume(cloud, cluster)
    theirs = await leave_volume(cloud, f"{cluster}-not")
    group: Json = {
        "name": "lb",
        "description": f"Security Group for a/b Service LoadBalancer in cluster {cluster}",
    }
    await cloud.ask("network", "POST", "/security-groups", body={"security_group": group})
    with_steps = replace(native, pre_delete=tuple(steps))
    deadline = monotonic() + SECONDS
    while (await settled(engine, native)).phase is not Phase.ABSENT:
        assert monotonic() < deadline
        with suppress(NotYet):
            await engine.delete(with_steps)
    left = (await cloud.get("block-storage", "/volumes"))["volumes"]
    assert ours not in [v["id"] for v in left]
    assert theirs in [v["id"] for v in left]
    groups = (await cloud.get("network", "/security-groups"))["security_groups"]
    assert group["description"] not in [g["description"] for g in groups]
    await cloud.ask("block-storage", "DELETE", f"/volumes/{theirs}")


async def leave_volume(cloud: Cloud, cluster: str) -> str:
    metadata = {"cinder.csi.openstack.org/cluster": cluster}
    body: Json = {"volume": {"size": 1, "name": "heat-pvc", "metadata": metadata}}
    volume = (await cloud.ask("block-storage", "POST", "/volumes", body=body))["volume"]["id"]

    async def available() -> bool:
        answer = await cloud.get("block-storage", f"/volumes/{volume}")
        return answer["volume"]["status"] == "available"

    await eventually(available, within=SECONDS)
    return volume
