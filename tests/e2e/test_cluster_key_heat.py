"""A cluster's key on real Heat and Nova: on its servers while they start, and nowhere to be found.

Heat and Nova are real, the blueprint is the catalog's; what would run on the server is played by
the test: it opens the bundle and tells Heat that it has joined.
"""

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import Cluster, Stack
from isthmus.drivers.fake.nodes import FakeCluster
from isthmus.ports import ClusterNodes
from isthmus.runtime import pki
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kinds import api_of
from tests.cloud_place import ITEM, Place, place
from tests.cluster_world import CONTROL
from tests.openstack_lab import OpenStackLab
from tests.world import TEAM

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),  # openstacksdk's own.
]


def a_cluster(**parameters: Any) -> Cluster:
    spec: Json = {
        "offering": "kubernetes-nova",
        "plan": "custom",
        "provider": "lab",
        "parameters": {"image": "cirros", "flavor": "m1.tiny", "waitForNodes": True} | parameters,
    }
    return Cluster.model_validate({"metadata": {"name": "c", "namespace": TEAM}, "spec": spec})


async def files_of(here: Place, server: str) -> Mapping[str, str]:
    """Return what a server's user data write, by their paths."""

    def read() -> Mapping[str, str]:
        found = here.admin.compute.get(f"/servers/{server}", microversion="2.3").json()["server"]
        text = base64.b64decode(found["OS-EXT-SRV-ATTR:user_data"]).decode()
        return {f["path"]: f["content"] for f in yaml.safe_load(text)["write_files"]}

    return await asyncio.to_thread(read)


async def shown_by_heat(here: Place, stack: str) -> dict[str, str]:
    """Return everything that Heat says of a stack, by where it says it: each event's detail too."""
    found = (await here.heat(f"/stacks/{stack}"))["stack"]
    base = f"/stacks/{found['stack_name']}/{found['id']}"
    shown: dict[str, Any] = {"stack": found}
    for part in ("template", "environment", "files", "outputs"):
        shown[part] = await here.heat(f"{base}/{part}")
    resources = (await here.heat(f"{base}/resources"))["resources"]
    events = (await here.heat(f"{base}/events?limit=1000"))["events"]
    for resource in resources:
        name = resource["resource_name"]
        shown[f"resources/{name}"] = await here.heat(f"{base}/resources/{name}")
        shown[f"resources/{name}/metadata"] = await here.heat(f"{base}/resources/{name}/metadata")
    for event in events:
        name, number = event["resource_name"], event["id"]
        where = f"resources/{name}/events/{number}"
        shown[where] = await here.heat(f"{base}/{where}")
    return {where: json.dumps(what) for where, what in shown.items()}


def secrets_in(values: Mapping[str, str]) -> Iterator[str]:
    """Yield what must be found nowhere: the key, and a line out of each private key."""
    yield values["bootstrapKey"]
    for name, text in values.items():
        if name.endswith(".key"):
            yield text.splitlines()[2]


async def test_the_key_reaches_a_waiting_server_and_leaves_no_trace(
    openstack_lab: OpenStackLab,
) -> None:
    cluster_api = FakeCluster(SystemClock(), server_version="v1.36.3", reachable=False)

    @asynccontextmanager
    async def open_cluster(kubeconfig: str) -> AsyncGenerator[ClusterNodes]:
        assert kubeconfig
        yield cluster_api

    async with place(openstack_lab, open_cluster) as here:
        await here.store.create(api_of(Cluster), a_cluster().dump())
        async with here.life():
            held = await here.until(here.keys, lambda found: found)
            stack: Stack = await here.get(Stack, "cluster-c")
            assert stack.status.native_status == "CREATE_IN_PROGRESS"
            values = await here.told("c-cluster")
            assert held == {"c-control-0": values["bootstrapKey"]}
            cluster: Cluster = await here.get(Cluster, "c")
            (server,) = cluster.status.key_holders
            files = await files_of(here, server)
            opened = pki.unseal(files["/etc/isthmus/bundle"], held["c-control-0"])
            assert opened == pki.unseal(values["bootstrapPayload"], values["bootstrapKey"])
            await _hidden(here, stack.status.external_name, values)
            # The played server tells Heat that it has joined.
            done = json.dumps({"status": "SUCCESS", "reason": "it has joined"})
            script = files["/etc/isthmus/signal.sh"]
            await asyncio.to_thread(
                subprocess.run, ["bash", "-c", script, "signal", done], check=True, timeout=240
            )
            await _complete(here, "CREATE_COMPLETE")
        # That life has ended between giving and withdrawing. Another changes the stack first.
        parameters = a_cluster(apiCidr="10.0.0.0/8").spec.parameters
        await here.change(Cluster, "c", parameters=parameters)
        async with here.life():
            await _complete(here, "UPDATE_COMPLETE")
            assert await here.keys() == held
            await asyncio.to_thread(here.cloud.compute.delete, f"/servers/{server}/metadata/{ITEM}")
            await here.until(here.keys, lambda found: found == held)
            cluster_api.join("c-control-0", labels=CONTROL, provider_id=f"openstack:///{server}")
            cluster_api.reachable = True
            await here.until(lambda: here.get(Cluster, "c"), lambda c: c.ready)
            assert await here.keys() == {}
            cluster = await here.get(Cluster, "c")
            assert cluster.status.key_holders == ()
            count = await _hidden(here, stack.status.external_name, values)
            assert count > 60
            await here.store.delete(api_of(Cluster), TEAM, "c")
            await here.until(lambda: here.get(Cluster, "c"), lambda c: c is None)


async def _complete(here: Place, status: str) -> None:
    await here.until(
        lambda: here.get(Stack, "cluster-c"), lambda s: s.status.native_status == status and s.ready
    )


async def _hidden(here: Place, stack: str, values: Mapping[str, str]) -> int:
    """Hold all that Heat shows against the secrets; a live server's metadata are Nova's."""
    shown = await shown_by_heat(here, stack)
    for where, text in shown.items():
        live = where.startswith("resources/control_") and "/events/" not in where
        for secret in secrets_in(values):
            assert live or secret not in text, where
    return len(shown)
