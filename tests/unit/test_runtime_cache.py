"""The cache: what it keeps, how it survives a broken watch, and what it never keeps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import ServiceInstance
from isthmus.errors import Unavailable
from isthmus.runtime.cache import Cache, Change, metadata_only
from isthmus.runtime.kinds import SECRETS, api_of
from isthmus.runtime.memory import MemoryStore
from tests.polling import eventually

INSTANCES = api_of(ServiceInstance)


def an_instance(name: str, offering: str = "database") -> Json:
    return {
        "metadata": {"name": name, "namespace": "team-a"},
        "spec": {"offering": offering, "plan": "dev"},
    }


@asynccontextmanager
async def running(cache: Cache) -> AsyncIterator[list[Change]]:
    changes: list[Change] = []
    cache.subscribe(changes.append)
    task = asyncio.create_task(cache.run())
    await cache.synced.wait()
    try:
        yield changes
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def has(cache: Cache, *names: str):
    async def check() -> bool:
        keys = cache.keys()
        return {name for _, name in keys} == set(names)

    return check


@pytest.mark.looptime
async def test_it_follows_what_happens() -> None:
    store = MemoryStore()
    await store.create(INSTANCES, an_instance("a"))
    cache = Cache(store, INSTANCES)
    async with running(cache) as changes:
        assert await has(cache, "a")()
        await store.create(INSTANCES, an_instance("b"))
        await eventually(has(cache, "a", "b"))
        await store.delete(INSTANCES, "team-a", "a")
        await eventually(has(cache, "b"))
    assert [(c.key[1], c.old is None, c.new is None) for c in changes] == [
        ("a", True, False),
        ("b", True, False),
        ("a", False, True),
    ]


@pytest.mark.looptime
async def test_after_a_broken_or_expired_watch_it_lists_again() -> None:
    store = MemoryStore()
    cache = Cache(store, INSTANCES)
    async with running(cache):
        await store.create(INSTANCES, an_instance("a"))
        await eventually(has(cache, "a"))
        store.fail_next(Unavailable("down"), Unavailable("down"))
        await store.expire()
        await asyncio.sleep(30)
        await store.delete(INSTANCES, "team-a", "a")
        await store.create(INSTANCES, an_instance("b"))
        await eventually(has(cache, "b"))


async def test_an_older_version_never_comes_back() -> None:
    store = MemoryStore()
    cache = Cache(store, INSTANCES)
    old = await store.create(INSTANCES, an_instance("a"))
    new = await store.patch(INSTANCES, "team-a", "a", {"metadata": {"labels": {"x": "y"}}})
    cache.put(new)
    cache.put(old)
    found = cache.get("team-a", "a")
    assert found is not None
    assert found["metadata"]["labels"] == {"x": "y"}


async def test_an_index_follows_changes() -> None:
    store = MemoryStore()
    cache = Cache(store, INSTANCES)
    cache.index("offering", lambda obj: [obj["spec"]["offering"]])
    cache.put(await store.create(INSTANCES, an_instance("a")))
    stored = await store.create(INSTANCES, an_instance("b"))
    cache.put(stored)
    assert cache.keys_by("offering", "database") == [("team-a", "a"), ("team-a", "b")]
    spec = stored["spec"] | {"offering": "other"}
    cache.put(await store.replace(INSTANCES, stored | {"spec": spec}))
    assert cache.keys_by("offering", "database") == [("team-a", "a")]
    assert cache.keys_by("offering", "other") == [("team-a", "b")]
    cache.forget(("team-a", "a"))
    assert cache.keys_by("offering", "database") == []


async def test_of_secrets_no_value_is_kept() -> None:
    store = MemoryStore()
    cache = Cache(store, SECRETS, trim=metadata_only)
    secret = {"metadata": {"name": "s", "namespace": "team-a"}, "data": {"a": "aHVudGVyMg=="}}
    cache.put(await store.create(SECRETS, secret))
    assert "aHVudGVyMg" not in str(cache.get("team-a", "s"))
    assert "aHVudGVyMg" not in str(vars(cache))
    assert cache.version("team-a", "s") == "1"
