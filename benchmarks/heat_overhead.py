"""What we add to Heat: 128 servers through Isthmus, and the same template by a bare create.

Both run in turn on the OpenStack lab, where servers are records, so that everything else counts.
Ours begins when a NodePool is applied to the embedded API and ends when its Stack is Ready there:
rendering, Heat's own dry run, the quotas, the creation, and how soon we notice its end. Theirs is
what ``openstack stack create --wait`` does: one request with the very template that we had
rendered, then a look every second.

    python benchmarks/heat_overhead.py --lab ./lab          # one that runs
    python benchmarks/heat_overhead.py                      # one of its own
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from isthmus import controllers, drivers
from isthmus.api.crd import crd
from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import KINDS, Cluster, NodePool, Offering, Provider, Stack
from isthmus.apiserver import ApiServer, ServerConfig
from isthmus.drivers.fake.nodes import FakeCluster
from isthmus.ports import Api, ClusterNodes, Store
from isthmus.runtime import telemetry
from isthmus.runtime.clock import SystemClock
from isthmus.runtime.kinds import NAMESPACES, SECRETS, api_of
from isthmus.runtime.kube import KubeStore
from isthmus.runtime.manager import Manager
from isthmus.runtime.transport import AsgiTransport

ROOT = Path(__file__).parents[1]
CRDS = Api("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
NAMESPACE = "bench"
PACKAGES = ("/usr/sbin/mariadbd", "/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/bin/memcached")
LOOK_SECONDS = 1.0
LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """The project demo of a running lab."""

    auth: dict[str, str]
    region: str
    cloud: Any
    """openstacksdk's connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one turn of both has taken."""

    ours: float
    before: float
    """Of ours: until Heat had begun."""
    noticed: float
    """Of ours: from Heat's end until we had noticed it."""
    theirs: float


@contextmanager
def running(state: str) -> Generator[Lab]:
    """Use the lab in a state folder, or one of our own for as long as the block."""
    with tempfile.TemporaryDirectory(prefix="isthmus-heat-") as folder:
        clouds = Path(state) / "etc" / "clouds.yaml" if state else _start(Path(folder) / "lab")
        try:
            yield _connect(clouds)
        finally:
            if not state:
                _order("reset", Path(folder) / "lab")


def _start(state: Path) -> Path:
    return Path(json.loads(_order("up", state))["clouds"])


def _order(verb: str, state: Path) -> str:
    command = [sys.executable, "-m", "isthmus_lab_openstack", verb, "--state", str(state)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "labs" / "openstack" / "src")}
    return subprocess.run(
        command, check=True, env=environment, stdout=subprocess.PIPE, text=True
    ).stdout


def _connect(clouds: Path) -> Lab:
    from keystoneauth1.identity.v3 import Password
    from keystoneauth1.session import Session
    from openstack.config.cloud_region import from_session
    from openstack.connection import Connection

    entry = json.loads(clouds.read_text())["clouds"]["lab"]
    auth, region = cast("dict[str, str]", entry["auth"]), str(entry["region_name"])
    password: Any = Password
    session = Session(auth=password(**auth))
    cloud = Connection(config=from_session(session, region_name=region))
    return Lab(auth=auth, region=region, cloud=cloud)


@asynccontextmanager
async def home(lab: Lab) -> AsyncGenerator[Store]:
    """Run API and controllers, with a Provider and a cluster that takes whoever comes."""
    clock = SystemClock()
    cluster = FakeCluster(clock)

    @asynccontextmanager
    async def reach(_: str) -> AsyncGenerator[ClusterNodes]:
        yield cluster

    with tempfile.TemporaryDirectory(prefix="isthmus-bench-") as folder:
        server = await ApiServer.open(ServerConfig(data_dir=Path(folder)))
        token = server.issue_token("benchmark", ["system:masters"])
        store = KubeStore(AsgiTransport(server.app, token=token))
        try:
            for kind in KINDS:
                await store.create(CRDS, crd(kind))
            await _furnish(store, lab)
            cluster.join("control", labels={"node-role.kubernetes.io/control-plane": ""})
            manager = Manager(store, clock=clock)
            controllers.build(manager, load=drivers.load, installation="bench", open_cluster=reach)
            async with manager:
                yield store
        finally:
            await server.close()


async def _furnish(store: Store, lab: Lab) -> None:
    named: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await store.create(NAMESPACES, named)
    auth = lab.auth
    login = {
        "username": auth["username"],
        "password": auth["password"],
        "user-domain-name": auth["user_domain_name"],
    }
    await store.create(SECRETS, _secret("cloud", login))
    await store.create(SECRETS, _secret("theirs", {"kubeconfig": "a cluster in memory"}))
    spec: Json = {
        "driver": "openstack",
        "region": lab.region,
        "settings": {
            "authUrl": auth["auth_url"],
            "projectName": auth["project_name"],
            "projectDomainName": auth["project_domain_name"],
        },
        "credentialsSecret": {"namespace": NAMESPACE, "name": "cloud"},
    }
    body: Json = {"metadata": {"name": "lab"}, "spec": spec}
    await store.create(api_of(Provider), Provider.model_validate(body).dump())
    file = ROOT / "catalog" / "offerings" / "kubernetes-nova-pool.yaml"
    offering = Offering.parse(yaml.safe_load(file.read_text()))
    await store.create(api_of(Offering), offering.dump())
    attached: Json = {"kubeconfigSecret": {"name": "theirs", "key": "kubeconfig"}}
    body = {"metadata": {"name": "c", "namespace": NAMESPACE}, "spec": attached}
    await store.create(api_of(Cluster), Cluster.model_validate(body).dump())


def _secret(name: str, values: dict[str, str]) -> Json:
    data = {key: b64encode(value.encode()).decode() for key, value in values.items()}
    meta = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


@contextmanager
def network(lab: Lab) -> Generator[dict[str, str]]:
    """Make what the cluster of the pool would have made, as the pool's parameters."""
    net = lab.cloud.network
    made = net.create_network(name="isthmus-bench")
    subnet = net.create_subnet(
        name="isthmus-bench", network_id=made.id, ip_version=4, cidr="10.78.0.0/22"
    )
    group = net.create_security_group(name="isthmus-bench")
    try:
        yield {"networkId": made.id, "subnetId": subnet.id, "securityGroupId": group.id}
    finally:
        net.delete_network(made)
        net.delete_security_group(group)


async def ours(store: Store, lab: Lab, pool: NodePool) -> tuple[float, float, float, Stack]:
    """Create the pool; return seconds: in all, until Heat began, to notice its end; its Stack."""
    api, stacks = api_of(NodePool), api_of(Stack)
    started, began, ended = time.monotonic(), 0.0, 0.0
    await store.create(api, pool.dump())
    while True:
        await asyncio.sleep(LOOK_SECONDS / 2)
        now = time.monotonic()
        found = (await store.list(stacks, NAMESPACE)).items
        stack = Stack.parse(found[0]) if found else None
        status = await asyncio.to_thread(_status, lab, "isthmus-")
        began = began or (now if status else 0.0)
        ended = ended or (now if status.endswith("_COMPLETE") else 0.0)
        _check(status, started)
        if stack is not None and stack.ready:
            return now - started, (began or now) - started, now - (ended or now), stack


async def removed(store: Store, name: str) -> None:
    """Delete the pool, and wait until it has gone."""
    await store.delete(api_of(NodePool), NAMESPACE, name)
    # The API has no event to wait for.
    while await store.get(api_of(NodePool), NAMESPACE, name) is not None:  # noqa: ASYNC110
        await asyncio.sleep(LOOK_SECONDS)


def theirs(lab: Lab, stack: Stack) -> float:
    """Create the same template by Heat's API alone; return the seconds that it takes."""
    heat, name, started = lab.cloud.orchestration, "bare-create", time.monotonic()
    body: Json = {"stack_name": name, "template": stack.spec.template, "timeout_mins": 60}
    answer = heat.post("/stacks", json=body | {"parameters": {"join_token": "none"}})
    answer.raise_for_status()
    while not (status := _status(lab, name)).endswith("_COMPLETE"):
        _check(status, started)
        time.sleep(LOOK_SECONDS)
    seconds = time.monotonic() - started
    heat.delete_stack(name)
    while _status(lab, name):
        time.sleep(LOOK_SECONDS)
    return seconds


def _status(lab: Lab, prefix: str) -> str:
    found = lab.cloud.orchestration.get("/stacks").json()["stacks"]
    mine = (s["stack_status"] for s in found if s["stack_name"].startswith(prefix))
    return str(next(mine, ""))


def _check(status: str, started: float) -> None:
    if status.endswith("_FAILED") or time.monotonic() - started > LONGEST_SECONDS:
        raise SystemExit(f"the stack is {status}; `openstack stack failures list` says why")


async def measure(lab: Lab, nodes: int, rounds: int) -> list[Round]:
    """Measure both in turn."""
    found: list[Round] = []
    with network(lab) as parameters:
        for number in range(rounds):
            async with home(lab) as store:
                pool = _pool(f"workers{number}", nodes, parameters)
                seconds, before, noticed, stack = await ours(store, lab, pool)
                print(f"ours {seconds:.1f} s: {before:.1f} before, {noticed:.1f} after", flush=True)
                await removed(store, pool.metadata.name)
            bare = await asyncio.to_thread(theirs, lab, stack)
            found.append(Round(ours=seconds, before=before, noticed=noticed, theirs=bare))
            print(_said(found[-1]), flush=True)
    return found


def _pool(name: str, nodes: int, parameters: dict[str, str]) -> NodePool:
    spec: Json = {
        "cluster": "c",
        "offering": "kubernetes-nova-pool",
        "plan": "dev",
        "provider": "lab",
        "image": "cirros",
        "flavor": "m1.tiny",
        "replicas": nodes,
        "parameters": parameters,
        "heal": {"afterSeconds": 0},
    }
    meta = {"name": name, "namespace": NAMESPACE}
    return NodePool.model_validate({"metadata": meta, "spec": spec})


def _said(one: Round) -> str:
    return (
        f"ours {one.ours:.1f} s (of it {one.before:.1f} s until Heat had begun, {one.noticed:.1f} s"
        f" until its end was noticed), stack create {one.theirs:.1f} s"
    )


def report(nodes: int, rounds: list[Round]) -> str:
    """Say it in words."""
    us = sum(r.ours for r in rounds) / len(rounds)
    them = sum(r.theirs for r in rounds) / len(rounds)
    added = sum(r.before + r.noticed for r in rounds) / len(rounds)
    return (
        f"{nodes} servers: {us:.1f} s through us, {them:.1f} s by stack create of the same "
        f"template: {us - them:+.1f} s, ratio {us / them:.2f}; before and after Heat's work "
        f"{added:.1f} s"
    )


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--lab", default="", help="state folder of a lab that runs")
    options = parser.parse_args()
    if not options.lab and not all(shutil.which(p) or Path(p).exists() for p in PACKAGES):
        print("skipped: the OpenStack lab needs mariadb-server, rabbitmq-server and memcached")
        return 0
    telemetry.configure(level="WARNING")
    with running(options.lab) as lab:
        found = asyncio.run(measure(lab, options.nodes, options.rounds))
    print(report(options.nodes, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
