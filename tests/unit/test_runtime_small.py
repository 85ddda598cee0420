"""Connections, Events, logs, the API's refusals and the manager: their small promises."""

import asyncio
import json
from collections.abc import AsyncGenerator, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.api.v1alpha1 import Provider
from isthmus.drivers.fake import FakeCloud, driver
from isthmus.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    InternalError,
    InvalidSpec,
    IsthmusError,
    NotFound,
    NotYet,
    Throttled,
    Unavailable,
)
from isthmus.ports import Connection, Endpoint
from isthmus.runtime.cache import Cache, metadata_only
from isthmus.runtime.connections import IDLE, Connections
from isthmus.runtime.events import Events
from isthmus.runtime.kinds import EVENTS, NAMESPACES, SECRETS, api_of
from isthmus.runtime.kube import KubeStore, error_of, path_of
from isthmus.runtime.memory import MemoryStore, merge
from isthmus.runtime.outcome import Happening
from isthmus.runtime.telemetry import redact
from isthmus.runtime.transport import Answer, AsgiTransport

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
OBJECTS = st.dictionaries(st.text(max_size=3), JSON_VALUES, max_size=4)


class Clock:
    time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


def a_provider(generation: int = 1, **spec: Any) -> Provider:
    meta = {"name": "here", "uid": "u", "generation": generation}
    return Provider.model_validate({"metadata": meta, "spec": {"driver": "fake"} | spec})


class Pool:
    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.secrets = Cache(self.store, SECRETS, trim=metadata_only)
        self.cloud = FakeCloud(self.clock)
        self.opened: list[Endpoint] = []
        self.closed = 0
        inner = driver(lambda _: self.cloud)

        @asynccontextmanager
        async def connect(endpoint: Endpoint) -> AsyncGenerator[Connection, None]:
            self.opened.append(endpoint)
            async with inner.open(endpoint) as connection:
                yield connection
            self.closed += 1

        self.connections = Connections(
            self.store,
            self.secrets,
            load=lambda _: replace(inner, open=connect),
            installation="test",
            clock=self.clock,
        )


async def test_an_account_is_opened_once_for_all() -> None:
    pool = Pool()

    async def use() -> None:
        async with pool.connections.use(a_provider()) as connection:
            await connection.probe()

    await asyncio.gather(*(use() for _ in range(5)))
    assert len(pool.opened) == 1
    await pool.connections.close()
    assert pool.closed == 1


async def test_a_changed_provider_is_opened_anew_and_the_former_closes_after_its_last_user() -> (
    None
):
    pool = Pool()
    async with pool.connections.use(a_provider(1)), pool.connections.use(a_provider(2)):
        assert (len(pool.opened), pool.closed) == (2, 0)
    assert pool.closed == 1


async def test_a_changed_secret_is_a_new_account() -> None:
    pool = Pool()
    provider = a_provider(credentialsSecret={"namespace": "system", "name": "keys"})
    with pytest.raises(NotYet, match="'keys'"):
        async with pool.connections.use(provider):
            pass
    meta = {"namespace": "system", "name": "keys"}
    for value in ("b25l", "dHdv"):
        await pool.store.delete(SECRETS, "system", "keys")
        stored = await pool.store.create(SECRETS, {"metadata": meta, "data": {"key": value}})
        pool.secrets.put(stored)
        async with pool.connections.use(provider):
            pass
    assert [dict(endpoint.credentials) for endpoint in pool.opened] == [
        {"key": "one"},
        {"key": "two"},
    ]
    assert "one" not in repr(pool.opened)


@pytest.mark.looptime
async def test_an_idle_account_is_closed() -> None:
    pool = Pool()
    async with pool.connections.use(a_provider()):
        pass
    sweeping = asyncio.create_task(pool.connections.sweep())
    await asyncio.sleep(300)
    assert pool.closed == 0
    pool.clock.time += IDLE
    await asyncio.sleep(300)
    assert pool.closed == 1
    sweeping.cancel()
    with suppress(asyncio.CancelledError):
        await sweeping


async def told(clock: Clock, store: MemoryStore, *happenings: Happening) -> list[dict[str, Any]]:
    events = Events(store, clock)
    writing = asyncio.create_task(events.run())
    for happening in happenings:
        events.tell(a_provider(), happening)
        await events.flush()
        clock.time += timedelta(minutes=1)
    writing.cancel()
    with suppress(asyncio.CancelledError):
        await writing
    return list((await store.list(EVENTS)).items)


async def test_equal_happenings_are_one_event_with_a_count_even_after_a_restart() -> None:
    clock, store = Clock(), MemoryStore()
    same = Happening(reason="Throttled", message="slow down", type="Warning")
    await told(clock, store, same, same)
    (event,) = await told(clock, store, same)
    assert (event["count"], event["reason"], event["type"]) == (3, "Throttled", "Warning")
    assert event["involvedObject"]["kind"] == "Provider"


async def test_a_happening_with_a_key_is_told_once_for_ever() -> None:
    clock, store = Clock(), MemoryStore()
    once = Happening(reason="NativeEvent", message="done", key="event-1")
    await told(clock, store, once, once)
    (event,) = await told(clock, store, once)
    assert event["count"] == 1


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, {"kind": "Status", "reason": "NotFound", "message": "no"}, NotFound),
        (409, {"kind": "Status", "reason": "AlreadyExists", "message": "no"}, AlreadyExists),
        (409, {"kind": "Status", "reason": "Conflict", "message": "no"}, Conflict),
        (403, {"kind": "Status", "reason": "Forbidden", "message": "no"}, Forbidden),
        (422, {"kind": "Status", "reason": "Invalid", "message": "no"}, InvalidSpec),
        (429, {"kind": "Status", "reason": "TooManyRequests"}, Throttled),
        (503, {"password": "hunter2"}, Unavailable),
        (418, {"password": "hunter2"}, InternalError),
    ],
)
def test_a_refusal_of_the_api_is_one_of_our_errors(
    status: int, body: dict[str, str], kind: type[IsthmusError]
) -> None:
    error = error_of(Answer(status, json.dumps(body).encode(), "7"))
    assert type(error) is kind
    assert "hunter2" not in error.message + error.detail
    if isinstance(error, Throttled):
        assert error.after == timedelta(seconds=7)


def test_a_body_that_is_no_status_is_not_trusted() -> None:
    for body in (b"", b"<html>secret</html>", b"[1]", b'{"kind":"Secret","message":"secret"}'):
        assert "secret" not in error_of(Answer(500, body)).message


def test_paths_follow_the_rules_of_the_api() -> None:
    assert path_of(SECRETS, "ns", "s") == "/api/v1/namespaces/ns/secrets/s"
    assert path_of(NAMESPACES, "", "ns") == "/api/v1/namespaces/ns"
    assert path_of(SECRETS) == "/api/v1/secrets"
    path = path_of(api_of(Provider), "ignored", "here", "status")
    assert path == "/apis/isthmus.dev/v1alpha1/providers/here/status"


async def test_an_app_that_breaks_is_unavailable() -> None:
    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        raise RuntimeError("broken")

    store = KubeStore(AsgiTransport(app, token="t"))
    with pytest.raises(Unavailable):
        await store.get(SECRETS, "ns", "s")
    with pytest.raises(Unavailable):
        async for _ in store.watch(SECRETS, "1"):
            pass


@settings(max_examples=30)
@given(OBJECTS, OBJECTS)
def test_a_merge_patch_is_idempotent(old: dict[str, Any], patch: dict[str, Any]) -> None:
    once = merge(old, patch)
    assert merge(once, patch) == once


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=5)))
def test_logs_mask_what_is_called_secret(event: dict[str, str]) -> None:
    event |= {"password": "hunter2", "api_token": "hunter2", "why": "kept"}
    masked = redact(None, "", dict(event))
    assert masked["password"] == masked["api_token"] == "***"
    assert masked["why"] == "kept"
