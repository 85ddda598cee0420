"""Stacks in a real Kubernetes control plane without nodes: what the embedded API cannot show."""

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from isthmus.api.meta import Adopt, Json
from isthmus.api.v1alpha1 import Phase
from isthmus.core.stacks import (
    TAG_UID,
    NativeStack,
    Observed,
    StackName,
    Verb,
)
from isthmus.core.why import root_cause
from isthmus.drivers.kubernetes import DRIVER
from isthmus.drivers.kubernetes.kube import Kube, Ref
from isthmus.errors import AlreadyExists, ApprovalRequired, CapacityExhausted, InvalidSpec
from isthmus.ports import ActionCall, Connection
from tests.kubernetes_home import (
    CRDS,
    config_map,
    endpoint,
    inhabited,
    queue,
    queue_definition,
)
from tests.kubernetes_plane import MARKS
from tests.kubernetes_stacks import a_stack, changed
from tests.polling import accepted, eventually

pytestmark = [*MARKS]

SECONDS = 100.0
"""Controllers of a cluster look at some things each half minute only."""


@dataclass
class Here:
    kube: Kube
    connection: Connection
    namespace: str

    def ref(self, kind: str, name: str, api_version: str = "v1") -> Ref:
        return Ref(api_version, kind, self.namespace, name)

    async def until(self, native: NativeStack, holds: Callable[[Observed], object]) -> Observed:
        """Observe the stack until it holds, and return what was seen then."""
        seen: list[Observed] = []

        async def reached() -> bool:
            seen.append(await self.connection.engine.observe(native.name))
            return bool(holds(seen[-1]))

        try:
            await eventually(reached, within=SECONDS)
        except TimeoutError as exc:
            raise AssertionError(seen[-1]) from exc
        return seen[-1]

    async def apply(self, native: NativeStack) -> None:
        await accepted(lambda: self.connection.engine.apply(native), within=SECONDS)

    async def ready(self, native: NativeStack) -> Observed:
        return await self.until(native, lambda seen: seen.phase is Phase.READY)

    async def gone(self, native: NativeStack) -> None:
        async def is_gone() -> bool:
            await self.connection.engine.delete(native)
            return (await self.connection.engine.observe(native.name)).phase is Phase.ABSENT

        await eventually(is_gone, within=SECONDS)


@pytest.fixture
async def here(kubernetes_plane: str) -> AsyncIterator[Here]:
    config, namespace = kubernetes_plane, f"t{uuid.uuid4().hex[:8]}"
    settings = {"namespace": namespace}
    async with (
        inhabited(config, namespace) as kube,
        DRIVER.open(endpoint(config, **settings)) as connection,
    ):
        yield Here(kube, connection, namespace)


def a_deployment(name: str = "web", *, replicas: int = 1, **container: Any) -> Json:
    labels = {"app": name}
    box = {"name": "c", "image": "registry.test/c:1"} | container
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [box]}},
        },
    }


async def test_the_cluster_says_who_it_is(here: Here) -> None:
    facts = await here.connection.probe()
    assert facts.engine.startswith("Kubernetes v1.")


async def test_a_pod_without_a_node_is_named_as_the_cause(here: Here) -> None:
    native = a_stack(a_deployment())
    await here.connection.engine.apply(native)
    # The scheduler writes its event and the pod's condition in any order.
    observed = await here.until(
        native, lambda seen: "finds no node" in seen.message and root_cause(seen.events)
    )
    assert (observed.phase, observed.changeable) == (Phase.WORKING, True)
    assert "Deployment/web" in observed.message
    cause = root_cause(observed.events)
    assert cause is not None
    assert "FailedScheduling" in cause.status
    assert cause.logical_id == "Deployment/web"

    none = changed(native, a_deployment(replicas=0))
    await here.connection.engine.apply(none)
    assert (await here.ready(native)).digest == none.digest
    await here.gone(none)
    assert await here.kube.get(here.ref("Deployment", "web", "apps/v1")) is None


async def test_an_image_that_cannot_be_pulled_is_named(here: Here) -> None:
    native = a_stack(a_deployment())
    await here.connection.engine.apply(native)
    pods: list[Json] = []

    async def made() -> bool:
        pods[:] = (await here.kube.read(f"/api/v1/namespaces/{here.namespace}/pods"))["items"]
        return bool(pods)

    await eventually(made, within=SECONDS)
    name = pods[0]["metadata"]["name"]
    target = {"target": {"apiVersion": "v1", "kind": "Node", "name": "played"}}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}} | target
    pod = f"/api/v1/namespaces/{here.namespace}/pods/{name}"
    await here.kube.send("POST", f"{pod}/binding", body=binding)
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling "registry.test/c:1"'}
    container = {"name": "c", "image": "registry.test/c:1", "imageID": "", "ready": False}
    container |= {"restartCount": 0, "state": {"waiting": waiting}}
    status = {"containerStatuses": [container]}  # As a kubelet says it.
    await here.kube.merge(here.ref("Pod", name), {"status": status}, "status")
    seen = await here.until(native, lambda seen: "ImagePullBackOff" in seen.message)
    assert f"container c of pod {name}: ImagePullBackOff" in seen.message


async def test_a_quota_is_named(here: Here) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "0", "configmaps": "3"}},
    }
    alone = a_stack(quota)
    await here.connection.engine.apply(alone)

    async def counts() -> object:  # Until then it limits nothing.
        return (await here.kube.get(here.ref("ResourceQuota", "small")) or {})["status"].get("used")

    await eventually(counts, within=SECONDS)
    native = changed(alone, quota, a_deployment())
    await here.connection.engine.apply(native)
    await here.until(native, lambda seen: "exceeded quota: small" in seen.message)
    more = changed(native, quota, *(config_map(f"c{number}") for number in range(5)))
    refusals: list[str] = []

    async def refused() -> bool:  # The quota counts with a delay.
        try:
            await here.connection.engine.apply(more)
        except CapacityExhausted as exc:
            refusals.append(exc.message)
        return bool(refusals)

    await eventually(refused, within=SECONDS)
    assert "exceeded quota: small" in refusals[0]


async def test_a_whole_operator_in_one_template(here: Here) -> None:
    group = f"{here.namespace}.example.com"
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{here.namespace}-b"}}
    jobs = queue("jobs", group, size=1)
    jobs["metadata"]["namespace"] = f"{here.namespace}-b"
    native = a_stack(jobs, queue_definition(group), space)
    changes = await here.connection.engine.preview(native)
    assert {change.verb for change in changes.changes} == {Verb.CREATE}
    assert "Queue/" in changes.notes[0]
    await here.apply(native)
    await here.ready(native)

    foreign = {"metadata": {"name": "not-ours"}, "data": {}}
    path = path_of_config_maps(f"{here.namespace}-b")
    await here.kube.send("POST", path, body=foreign | {"apiVersion": "v1", "kind": "ConfigMap"})
    await here.connection.engine.delete(native)
    blocked: list[Observed] = []

    async def named() -> bool:
        await here.connection.engine.delete(native)
        blocked.append(await here.connection.engine.observe(native.name))
        return bool(blocked[-1].blockers)

    await eventually(named, within=SECONDS)
    assert "ConfigMap" in blocked[-1].blockers[0]
    assert "not-ours" in blocked[-1].blockers[0]
    await here.kube.send("DELETE", f"{path}/not-ours")
    await here.gone(native)
    crd = Ref(CRDS.group_version, "CustomResourceDefinition", "", f"queues.{group}")
    assert await here.kube.get(crd) is None


def path_of_config_maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


async def test_a_finalizer_that_holds_is_no_riddle(here: Here) -> None:
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    native = a_stack(held)
    await here.connection.engine.apply(native)
    await here.connection.engine.delete(native)
    seen = await here.until(native, lambda seen: seen.blockers)
    assert "example.com/hold" in seen.blockers[0]
    await here.kube.merge(here.ref("ConfigMap", "held"), {"metadata": {"finalizers": None}})
    await here.gone(native)


async def test_drift_is_seen_and_what_is_gone_is_made_again(here: Here) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
    secret["stringData"] = {"word": {"$parameter": "Word"}}  # type: ignore[assignment]
    native = a_stack(
        config_map("one", size="1"),
        secret,
        parameters={"Word": "hunter2"},
        secret_parameters=frozenset({"Word"}),
    )
    engine = here.connection.engine
    await engine.apply(native)
    await engine.check_drift(native.name)
    drift = (await engine.observe(native.name)).drift
    assert drift is not None
    assert not drift.drifted, drift

    path = path_of_config_maps(here.namespace)
    changed_data = {"data": {"size": "2"}}
    await merged(here, f"{path}/one", changed_data)
    await merged(here, f"/api/v1/namespaces/{here.namespace}/secrets/s", {"data": {"word": "eA=="}})
    await engine.check_drift(native.name)
    drift = (await engine.observe(native.name)).drift
    assert drift is not None
    assert drift.resources == ("ConfigMap/one.data.size", "Secret/s.data.word")
    assert "hunter2" not in repr(drift)

    await here.kube.send("DELETE", f"{path}/one")
    observed = await engine.observe(native.name)
    assert observed.digest == ""
    assert observed.resources[0].status == "Missing"
    await engine.apply(native)
    assert (await engine.observe(native.name)).digest == native.digest


async def merged(here: Here, path: str, patch: Json) -> None:
    await here.kube.send("PATCH", path, body=patch, content="application/merge-patch+json")


async def test_what_is_there_already_is_refused_or_adopted(here: Here) -> None:
    path = path_of_config_maps(here.namespace)
    theirs = config_map("theirs", a="1") | {"kind": "ConfigMap"}
    theirs["metadata"]["labels"] = {"app.kubernetes.io/instance": "shop"}
    await here.kube.send("POST", path, body=theirs)
    engine = here.connection.engine
    native = a_stack(config_map("theirs", a="2"))
    with pytest.raises(AlreadyExists, match="ConfigMap/theirs"):
        await engine.apply(native)
    assert (await here.kube.read(f"{path}/theirs"))["data"] == {"a": "1"}
    assert [owned.name for owned in await engine.adoptable()] == ["shop"]

    adopting = replace(native, name=StackName("shop"), adopted=True)
    assert (await engine.observe(adopting.name)).native_status == "FOREIGN"
    await engine.adopt(adopting, Adopt(external_name="shop"))
    assert (await here.kube.read(f"{path}/theirs"))["data"] == {"a": "1"}
    assert await engine.adoptable() == ()
    await engine.apply(adopting)
    assert (await here.kube.read(f"{path}/theirs"))["data"] == {"a": "2"}
    assert (await here.ready(adopting)).owner_uid == adopting.tags[TAG_UID]
    await here.gone(adopting)


async def test_a_claim_is_not_lost_unasked(here: Here) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "none",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    native = a_stack(claim, config_map("one"))
    await here.connection.engine.apply(native)
    other = {**claim, "spec": {**claim["spec"], "accessModes": ["ReadWriteMany"]}}  # type: ignore[dict-item]
    replacing = changed(native, other, config_map("one"))
    (change,) = (await here.connection.engine.preview(replacing)).changes
    assert (change.verb, change.stateful) == (Verb.REPLACE, True)
    for losing in (replacing, changed(native, config_map("one"))):
        with pytest.raises(ApprovalRequired, match="data"):
            await here.connection.engine.apply(losing)
    await here.apply(replace(replacing, replacement_approved=True))
    stored = await here.kube.get(here.ref("PersistentVolumeClaim", "data"))
    assert stored is not None
    assert stored["spec"]["accessModes"] == ["ReadWriteMany"]


async def test_a_driver_stays_while_its_volumes_are_in_use(here: Here) -> None:
    name = f"{here.namespace}.csi.test"
    driver = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": name},
        "spec": {"attachRequired": True},
    }
    native = a_stack(driver, a_deployment("csi-node"))
    await here.connection.engine.apply(native)
    volume = Ref("v1", "PersistentVolume", "", f"pvc-{here.namespace}")
    shared = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    spec = shared | {
        "capacity": {"storage": "1Gi"},
        "persistentVolumeReclaimPolicy": "Retain",
        "csi": {"driver": name, "volumeHandle": "v1"},
    }
    body = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume.name}}
    await here.kube.apply(volume, body | {"spec": spec})
    claim = here.ref("PersistentVolumeClaim", "data")
    body = {"apiVersion": "v1", "kind": claim.kind, "metadata": {"name": "data"}}
    wanted = {"volumeName": volume.name, "resources": {"requests": {"storage": "1Gi"}}}
    await here.kube.apply(claim, body | {"spec": shared | wanted})

    async def is_bound() -> bool:
        found = await here.kube.get(volume)
        return found is not None and found["status"].get("phase") == "Bound"

    await eventually(is_bound, within=SECONDS)
    await here.connection.engine.delete(native)
    seen = await here.connection.engine.observe(native.name)
    (blocker,) = seen.blockers
    words = f"PersistentVolume {volume.name} (of PersistentVolumeClaim {here.namespace}/data)"
    assert words in blocker
    assert await here.kube.get(here.ref("Deployment", "csi-node", "apps/v1")) is not None
    for ref in (claim, volume):
        stored = await here.kube.get(ref)
        assert stored is not None
        await here.kube.delete(ref, str(stored["metadata"]["uid"]), policy="Background")
    await here.gone(native)


async def test_ignored_fields_are_left_to_others(here: Here) -> None:
    native = a_stack(
        a_deployment(replicas=0), ignore_fields=("manifests.Deployment/web.spec.replicas",)
    )
    await here.connection.engine.apply(native)
    ref = here.ref("Deployment", "web", "apps/v1")
    path = f"/apis/apps/v1/namespaces/{here.namespace}/deployments/web"
    await merged(here, path, {"spec": {"replicas": 3}})
    again = changed(native, a_deployment(replicas=0, image="registry.test/c:2"))
    await here.connection.engine.apply(again)
    stored = await here.kube.get(ref)
    assert stored is not None
    assert stored["spec"]["replicas"] == 3


async def test_actions_restart_and_scale(here: Here) -> None:
    native = a_stack(a_deployment(replicas=0))
    await here.connection.engine.apply(native)
    target = {"apiVersion": "apps/v1", "kind": "Deployment"}
    target |= {"namespace": here.namespace, "name": "web"}
    actions = here.connection.actions
    call = ActionCall(token="t1", spec={"object": target, "restart": True})
    started = await actions.start(call)

    async def done() -> bool:
        return (await actions.poll(call, started.handle)).done

    await eventually(done, within=SECONDS)
    with pytest.raises(InvalidSpec, match="replicas"):
        await actions.start(ActionCall(token="t2", spec={"object": target}))
    await actions.start(ActionCall(token="t3", spec={"object": target, "replicas": 2}))
    stored = await here.kube.get(here.ref("Deployment", "web", "apps/v1"))
    assert stored is not None
    assert stored["spec"]["replicas"] == 2
