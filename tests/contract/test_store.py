"""What every Store promises: the one in memory, the embedded API, and a real kube-apiserver."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from isthmus.api.crd import crd
from isthmus.api.meta import FINALIZER, Json
from isthmus.api.v1alpha1 import Provider, ServiceInstance
from isthmus.apiserver import ApiServer, ServerConfig
from isthmus.errors import AlreadyExists, Conflict, IsthmusError, NotFound
from isthmus.faces.cli import client, kubeconfig
from isthmus.ports import Api, Expired, Store, WatchEvent
from isthmus.runtime.kinds import NAMESPACES, SECRETS, api_of
from isthmus.runtime.kube import KubeStore
from isthmus.runtime.memory import MemoryStore
from isthmus.runtime.transport import AsgiTransport, HttpTransport
from tests.kubernetes_plane import MARKS
from tests.on_cluster import Plane
from tests.polling import eventually

CRDS = Api("apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False)
INSTANCES = api_of(ServiceInstance)
PROVIDERS = api_of(Provider)
MANIFESTS = [crd(kind) for kind in (ServiceInstance, Provider)]
TEAM = "team-a"


def an_instance(name: str = "db", **spec: Any) -> Json:
    return {
        "apiVersion": "isthmus.dev/v1alpha1",
        "kind": "ServiceInstance",
        "metadata": {"name": name, "namespace": TEAM},
        "spec": {"offering": "database", "plan": "dev"} | spec,
    }


async def _furnished(store: Store) -> Store:
    if isinstance(store, KubeStore):
        for manifest in MANIFESTS:
            await store.create(CRDS, manifest)
    await store.create(
        NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}}
    )
    return store


@pytest.fixture(params=["memory", "in-process", pytest.param("kube-apiserver", marks=MARKS)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield await _furnished(MemoryStore())
        return
    if request.param == "kube-apiserver":
        async with _real(request.getfixturevalue("plane_with_kinds")) as real:
            yield real
        return
    server, token = await _server(tmp_path)
    try:
        yield await _furnished(KubeStore(AsgiTransport(server.app, token=token)))
    finally:
        await server.close()


@asynccontextmanager
async def _real(plane: Plane) -> AsyncIterator[Store]:
    """A real cluster, without any of our objects before and after."""
    target = kubeconfig.load(str(plane.kubeconfig))
    transport = HttpTransport(target.server, tls=client.tls(target))
    found = KubeStore(transport)
    try:
        with suppress(AlreadyExists):
            await found.create(NAMESPACES, {"metadata": {"name": TEAM}})
        yield found
        for api in (INSTANCES, PROVIDERS):
            for item in (await found.list(api)).items:
                meta = item["metadata"]
                where = (api, meta.get("namespace", ""), meta["name"])
                await found.patch(*where, {"metadata": {"finalizers": None}})
                await found.delete(*where)
    finally:
        await transport.close()


@pytest.fixture
async def distant(tmp_path: Path) -> AsyncIterator[Store]:
    """The same over the network, with TLS."""
    server, token = await _server(tmp_path)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: _serving(server))
    pem = server.ca_pem
    tls = ssl.create_default_context(cadata=pem if isinstance(pem, str) else pem.decode())
    transport = HttpTransport(server.url, token=token, tls=tls)
    try:
        yield await _furnished(KubeStore(transport))
    finally:
        await transport.close()
        await server.close()
        await serving


async def _server(folder: Path) -> tuple[ApiServer, str]:
    server = await ApiServer.open(ServerConfig(data_dir=folder))
    return server, server.issue_token("tester", ["system:masters"])


async def test_what_was_created_is_found(store: Store) -> None:
    stored = await store.create(INSTANCES, an_instance())
    meta = stored["metadata"]
    assert meta["uid"]
    assert meta["generation"] == 1
    assert await store.get(INSTANCES, TEAM, "db") == stored
    assert await store.get(INSTANCES, TEAM, "other") is None


async def test_a_name_is_taken_once(store: Store) -> None:
    await store.create(INSTANCES, an_instance())
    with pytest.raises(AlreadyExists):
        await store.create(INSTANCES, an_instance())


async def test_a_list_tells_from_where_to_watch(store: Store) -> None:
    for name in ("a", "b"):
        await store.create(INSTANCES, an_instance(name))
    listing = await store.list(INSTANCES)
    assert [item["metadata"]["name"] for item in listing.items] == ["a", "b"]
    await store.create(INSTANCES, an_instance("c"))
    (event,) = await first(1, store, INSTANCES, listing.version)
    assert (event.type, event.object["metadata"]["name"]) == ("ADDED", "c")


async def test_a_list_may_select(store: Store) -> None:
    labelled = an_instance("a")
    labelled["metadata"]["labels"] = {"tier": "gold"}
    await store.create(INSTANCES, labelled)
    await store.create(INSTANCES, an_instance("b"))
    listing = await store.list(INSTANCES, TEAM, "tier=gold")
    assert [item["metadata"]["name"] for item in listing.items] == ["a"]
    assert (await store.list(INSTANCES, "elsewhere")).items == ()


async def test_only_the_newest_version_can_be_replaced(store: Store) -> None:
    stored = await store.create(INSTANCES, an_instance())
    await store.replace(INSTANCES, stored | {"spec": stored["spec"] | {"plan": "big"}})
    with pytest.raises(Conflict):
        await store.replace(INSTANCES, stored | {"spec": stored["spec"] | {"plan": "huge"}})


async def test_the_generation_follows_the_spec_only(store: Store) -> None:
    stored = await store.create(INSTANCES, an_instance())
    changed = await store.replace(INSTANCES, stored | {"spec": stored["spec"] | {"plan": "big"}})
    assert changed["metadata"]["generation"] == 2
    labelled = await store.patch(INSTANCES, TEAM, "db", {"metadata": {"labels": {"a": "b"}}})
    assert labelled["metadata"]["generation"] == 2


async def test_a_status_is_written_alone_and_with_little(store: Store) -> None:
    stored = await store.create(INSTANCES, an_instance())
    meta = stored["metadata"]
    body: Json = {
        "apiVersion": stored["apiVersion"],
        "kind": stored["kind"],
        "metadata": {
            "name": "db",
            "namespace": TEAM,
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
        "status": {"provider": "here", "observedGeneration": 1},
    }
    written = await store.replace(INSTANCES, body, "status")
    assert written["spec"] == stored["spec"]
    assert written["status"]["provider"] == "here"
    assert written["metadata"]["generation"] == 1
    with pytest.raises(Conflict):
        await store.replace(INSTANCES, body, "status")
    after = await store.replace(INSTANCES, written | {"status": {"provider": "there"}})
    assert after["status"]["provider"] == "here"


async def test_a_write_that_changes_nothing_is_no_new_version(store: Store) -> None:
    stored = await store.create(INSTANCES, an_instance())
    again = await store.replace(INSTANCES, stored)
    assert again["metadata"]["resourceVersion"] == stored["metadata"]["resourceVersion"]


async def test_a_patch_merges_and_may_insist_on_a_version(store: Store) -> None:
    stored = await store.create(INSTANCES, an_instance())
    patch = {"metadata": {"annotations": {"note": "x"}}}
    patched = await store.patch(INSTANCES, TEAM, "db", patch)
    assert patched["metadata"]["annotations"]["note"] == "x"
    removed = await store.patch(
        INSTANCES, TEAM, "db", {"metadata": {"annotations": {"note": None}}}
    )
    assert "note" not in removed["metadata"].get("annotations", {})
    stale = stored["metadata"]["resourceVersion"]
    with pytest.raises(Conflict):
        await store.patch(
            INSTANCES, TEAM, "db", {"metadata": {"finalizers": ["a/b"], "resourceVersion": stale}}
        )


async def test_a_finalizer_keeps_the_object_until_it_is_taken_off(store: Store) -> None:
    wanted = an_instance()
    wanted["metadata"]["finalizers"] = [FINALIZER]
    await store.create(INSTANCES, wanted)
    await store.delete(INSTANCES, TEAM, "db")
    await store.delete(INSTANCES, TEAM, "db")
    going = await store.get(INSTANCES, TEAM, "db")
    assert going is not None
    assert going["metadata"]["deletionTimestamp"]
    patch = {
        "metadata": {
            "finalizers": [],
            "resourceVersion": going["metadata"]["resourceVersion"],
        }
    }
    await store.patch(INSTANCES, TEAM, "db", patch)
    assert await store.get(INSTANCES, TEAM, "db") is None


async def test_only_the_meant_object_is_deleted(store: Store) -> None:
    await store.create(INSTANCES, an_instance())
    with pytest.raises(Conflict):
        await store.delete(INSTANCES, TEAM, "db", "00000000-0000-0000-0000-000000000000")
    await store.delete(INSTANCES, TEAM, "db")
    await store.delete(INSTANCES, TEAM, "db")
    assert await store.get(INSTANCES, TEAM, "db") is None


async def test_what_is_not_there_cannot_be_written(store: Store) -> None:
    stored = await store.create(INSTANCES, an_instance())
    await store.delete(INSTANCES, TEAM, "db")
    with pytest.raises((NotFound, Conflict)):
        await store.replace(INSTANCES, stored, "status")
    with pytest.raises(NotFound):
        await store.patch(INSTANCES, TEAM, "db", {"metadata": {"labels": {"a": "b"}}})


async def test_what_an_object_owned_goes_with_it(store: Store) -> None:
    owner = await store.create(INSTANCES, an_instance())
    reference = {
        "apiVersion": "isthmus.dev/v1alpha1",
        "kind": "ServiceInstance",
        "name": "db",
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    secret: Json = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": TEAM, "ownerReferences": [reference]},
        "data": {"a": "Yg=="},
    }
    await store.create(SECRETS, secret)
    await store.delete(INSTANCES, TEAM, "db")

    async def gone() -> bool:
        return await store.get(SECRETS, TEAM, "s") is None

    # A real cluster's collector looks for new kinds each half minute.
    await eventually(gone, within=90)


async def test_a_watch_tells_all_that_follows_in_order(store: Store) -> None:
    start = (await store.list(INSTANCES)).version
    stored = await store.create(INSTANCES, an_instance())
    await store.replace(INSTANCES, stored | {"spec": stored["spec"] | {"plan": "big"}})
    await store.delete(INSTANCES, TEAM, "db")
    events = await first(3, store, INSTANCES, start)
    assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(event.object["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


async def test_a_version_that_is_too_old_to_watch_from_is_said(store: Store) -> None:
    await store.create(INSTANCES, an_instance())
    if isinstance(store, MemoryStore):
        await store.expire()
    with pytest.raises(Expired):
        await first(1, store, INSTANCES, "1")


async def test_of_lean_resources_only_metadata_travels(store: Store) -> None:
    if not isinstance(store, KubeStore):
        pytest.skip("nothing travels to a store in memory")
    lean = KubeStore(store._transport, lean=[SECRETS])  # pyright: ignore[reportPrivateUsage]
    start = (await lean.list(SECRETS)).version
    meta: Json = {"name": "lean", "namespace": TEAM, "labels": {"a": "b"}}
    whole = {"metadata": meta, "data": {"a": "Yg=="}}
    await lean.create(SECRETS, whole)
    try:
        (event,) = await first(1, lean, SECRETS, start, "lean")
        listed = [i for i in (await lean.list(SECRETS)).items if i["metadata"]["name"] == "lean"]
        for seen in (event.object, *listed):
            assert "data" not in seen
            assert seen["metadata"]["labels"] == {"a": "b"}
        found = await lean.get(SECRETS, TEAM, "lean")
        assert found is not None
        assert found["data"] == {"a": "Yg=="}, "who asks by name is given all"
    finally:
        await lean.delete(SECRETS, TEAM, "lean")


async def test_a_cluster_scoped_kind_has_no_namespace(store: Store) -> None:
    body: Json = {
        "apiVersion": "isthmus.dev/v1alpha1",
        "kind": "Provider",
        "metadata": {"name": "here"},
        "spec": {"driver": "fake"},
    }
    stored = await store.create(PROVIDERS, body)
    assert not stored["metadata"].get("namespace")
    assert await store.get(PROVIDERS, "", "here") == stored


async def test_failures_are_ours(store: Store) -> None:
    with pytest.raises(IsthmusError):
        await store.create(INSTANCES, {"metadata": {"namespace": TEAM}, "spec": {}, "kind": "X"})


async def test_over_the_network_it_is_the_same(distant: Store) -> None:
    for promise in (
        test_what_was_created_is_found,
        test_a_status_is_written_alone_and_with_little,
        test_a_patch_merges_and_may_insist_on_a_version,
        test_a_watch_tells_all_that_follows_in_order,
        test_a_list_tells_from_where_to_watch,
        test_failures_are_ours,
    ):
        await promise(distant)
        for item in (await distant.list(INSTANCES)).items:
            await distant.delete(INSTANCES, TEAM, item["metadata"]["name"])


async def _serving(server: ApiServer) -> bool:
    return bool(server.url) and not server.url.endswith(":0")


async def first(count: int, store: Store, api: Api, since: str, name: str = "") -> list[WatchEvent]:
    """The first events, of objects of that name where one is given: a cluster has others too."""
    events: list[WatchEvent] = []
    async with asyncio.timeout(60):
        async for event in store.watch(api, since):
            if event.type != "BOOKMARK" and name in ("", event.object["metadata"]["name"]):
                events.append(event)
            if len(events) == count:
                break
    return events
