"""Storage in clusters: a cluster is a Provider, a StorageBackend lands there, and both go again."""

from typing import Any

import pytest

from isthmus.api.v1alpha1 import Cluster, Provider, ServiceInstance, Stack, StorageBackend
from isthmus.core.compose.cluster_provider import CLUSTER_UID
from isthmus.errors import Unavailable
from tests.cluster_world import Clusters, a_cluster, clusters
from tests.outward import Outward
from tests.world import OFFERING, TEAM, a_provider, an_instance, an_offering

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

HOUR = 3600.0
STORAGE: dict[str, Any] = {
    "category": "storage",
    "parameters": {
        "type": "object",
        "required": ["userKey"],
        "properties": {
            "classes": {
                "type": "array",
                "items": {"type": "object"},
                "default": [{"name": "usual"}],
                "x-updatable": True,
            },
            "clusterId": {"type": "string", "default": "", "x-updatable": False},
            "authUrl": {"type": "string", "default": "", "x-updatable": True},
            "userKey": {"type": "string", "writeOnly": True, "x-updatable": True},
        },
    },
    "plans": [{"name": "dev", "title": "Dev"}],
    "binding": None,
    "actions": [],
    "stacks": {
        "kubernetes": {
            "template": {
                "resources": {
                    "Driver": {
                        "type": "Fake::Network",
                        "properties": {
                            "classes": "${classes}",
                            "cluster": "${clusterId}",
                            "cloud": "${authUrl}",
                            "key": {"parameter": "UserKey"},
                        },
                    }
                },
                "outputs": {"Driver": "csi.test", "StorageClasses": "fast,slow"},
            },
            "parameters": {"UserKey": "${userKey}"},
        }
    },
}


def a_backend(name: str = "disks", **spec: Any) -> StorageBackend:
    usual = {"offering": "storage", "cluster": "c", "credentials_secret": "user"}
    return StorageBackend.model_validate(
        {"metadata": {"name": name, "namespace": TEAM}, "spec": usual | spec}
    )


async def furnished(world: Clusters) -> None:
    await world.here.apply(an_offering("storage", **STORAGE))
    await world.here.secret("user", **{"user-key": "hunter2"})


async def up(world: Clusters, **spec: Any) -> StorageBackend:
    await furnished(world)
    await world.here.apply(a_cluster())
    await world.here.ready(Cluster, "c", within=HOUR)
    await world.here.apply(a_backend(**spec))
    return await world.here.ready(StorageBackend, "disks", within=HOUR)


async def test_a_cluster_is_a_provider_for_its_own_namespace() -> None:
    async with clusters() as world:
        await world.here.apply(a_cluster())
        cluster = await world.here.ready(Cluster, "c", within=HOUR)
        assert cluster.status.own_provider == "team-a.c"
        provider = await world.here.ready(Provider, "team-a.c")
        secret = provider.spec.credentials_secret
        assert secret is not None
        assert (secret.namespace, secret.name) == (TEAM, "c-kubeconfig")
        assert provider.spec.driver == "kubernetes"
        await world.here.namespace("team-b")
        both = {"fake": OFFERING["stacks"]["fake"], "kubernetes": OFFERING["stacks"]["fake"]}
        await world.here.apply(an_offering("database", stacks=both))
        theirs = an_instance("db", provider="team-a.c")
        elsewhere = theirs.metadata.model_copy(update={"namespace": "team-b"})
        await world.here.apply(theirs.model_copy(update={"metadata": elsewhere}))
        await world.here.nothing_for(5)
        refused = await world.here.get(ServiceInstance, "db", "team-b")
        ready = refused.condition("Ready") if refused is not None else None
        assert ready is not None
        assert "may not use Provider" in ready.message
        await world.here.apply(an_instance("usual"))
        usual = await world.here.ready(ServiceInstance, "usual")
        assert usual.status.provider == "here", "who names no place does not land in a cluster"


async def test_storage_lands_in_the_cluster_with_what_it_needs_to_know() -> None:
    async with clusters() as world:
        backend = await up(world, classes=[{"name": "fast", "type": "ssd", "default": True}])
        assert (backend.status.driver, backend.status.classes) == ("csi.test", ("fast", "slow"))
        stack = await world.here.ready(Stack, "storage-disks")
        assert stack.spec.provider == "team-a.c"
        cluster = await world.here.ready(Cluster, "c")
        properties = stack.spec.template["resources"]["Driver"]["properties"]
        assert properties["classes"] == [{"name": "fast", "type": "ssd", "default": True}]
        assert properties["cluster"] == f"c-{cluster.metadata.uid}"
        key = stack.spec.parameters["UserKey"].secret_key_ref
        assert key is not None
        assert (key.name, key.key) == ("user", "user-key")
        assert "hunter2" not in repr(stack.dump())
        await world.here.delete(StorageBackend, "disks")
        await world.here.gone(StorageBackend, "disks")
        assert not [s for s in world.here.cloud.stacks if "storage" in s]


async def test_who_forgets_the_credentials_is_told_where_they_belong() -> None:
    async with clusters() as world:
        await world.here.apply(an_offering("storage", **STORAGE))
        await world.here.apply(a_cluster())
        await world.here.ready(Cluster, "c", within=HOUR)
        await world.here.apply(a_backend(credentials_secret=""))
        said = await world.here.refused(StorageBackend, "disks", "InvalidSpec")
        assert said == "spec.credentialsSecret: name a Secret with the keys user-key."


async def test_storage_waits_for_its_cluster_and_stays_with_it() -> None:
    async with clusters() as world:
        await furnished(world)
        await world.here.apply(a_backend())
        said = await world.here.refused(StorageBackend, "disks", "DependencyNotReady")
        assert "spec.cluster" in said
        await world.here.apply(a_cluster())
        await world.here.ready(StorageBackend, "disks", within=HOUR)
        await world.here.apply(a_cluster("d"))
        await world.here.ready(Cluster, "d", within=HOUR)
        await world.here.apply(a_backend(cluster="d"))
        said = await world.here.refused(StorageBackend, "disks", "InvalidSpec")
        assert "spec.cluster: cannot be changed" in said
        await world.here.apply(a_backend(provider="here"))
        assert "spec.provider" in await world.here.refused(StorageBackend, "disks", "InvalidSpec")


async def test_a_cluster_that_goes_takes_its_storage_along() -> None:
    async with clusters() as world:
        await up(world)
        world.here.cloud.fail_next("observe", *[Unavailable("the cluster is dead")] * 3)
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=HOUR)
        await world.here.gone(StorageBackend, "disks")
        await world.here.gone(Provider, "team-a.c")
        assert not [s for s in world.here.cloud.stacks if "cluster" in s]


async def test_a_cluster_with_somebodys_stack_in_it_stays() -> None:
    async with clusters() as world:
        await up(world)
        stacks = {"kubernetes": OFFERING["stacks"]["fake"]}
        await world.here.apply(an_offering("database", stacks=stacks))
        await world.here.apply(an_instance("db", provider="team-a.c"))
        await world.here.ready(ServiceInstance, "db")
        await world.here.delete(Cluster, "c")
        assert "db" in await world.here.refused(Cluster, "c", "DeletionBlocked")
        assert (await world.here.ready(StorageBackend, "disks")).ready
        await world.here.delete(ServiceInstance, "db")
        await world.here.gone(Cluster, "c", within=30)


async def test_somebody_elses_provider_of_that_name_is_left_alone() -> None:
    async with clusters() as world:
        await world.here.apply(a_provider("team-a.c", driver="other"))
        await world.here.apply(a_cluster())
        assert "team-a.c" in await world.here.refused(Cluster, "c", "AlreadyExists", within=HOUR)
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=HOUR)
        kept = await world.here.get(Provider, "team-a.c")
        assert kept is not None
        assert CLUSTER_UID not in kept.metadata.labels


async def life(outward: Outward) -> None:
    async with clusters(outward=outward) as world:
        world.machines.boot_seconds = 4
        await up(world)
        await world.here.apply(a_backend(classes=[{"name": "other"}]))
        await world.here.ready(StorageBackend, "disks", within=HOUR)
        await world.here.delete(Cluster, "c")
        await world.here.gone(Cluster, "c", within=HOUR)
        assert await world.here.get(StorageBackend, "disks") is None
        assert await world.here.get(Provider, "team-a.c") is None
        assert not [s for s in world.here.cloud.stacks if "cluster" in s]


@pytest.mark.parametrize("lost_answer", [False, True], ids=["refused", "answer lost"])
async def test_each_kind_of_call_fails_once(lost_answer: bool) -> None:
    quiet = Outward()
    await life(quiet)
    for name in (
        "create stacks",
        "replace stacks",
        "delete storagebackends",
        "delete providers",
        "apply",
    ):
        numbers = [n for n, called in enumerate(quiet.calls, 1) if called == name]
        struck = Outward(
            strike=numbers[len(numbers) // 2],
            lost_answer=lost_answer,
            error=lambda: Unavailable("struck"),
        )
        try:
            await life(struck)
        except AssertionError as exc:
            raise AssertionError(f"{name}: {exc}") from exc
