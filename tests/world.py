"""A small world for scenarios: a store in memory, a fake cloud, all controllers, and a clock.

With ``looptime`` the clock is the loop's, so minutes of waiting take no time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from isthmus import controllers
from isthmus.api.meta import Json, Resource
from isthmus.api.v1alpha1 import Offering, Operation, Provider, ServiceBinding, ServiceInstance
from isthmus.controllers.rights import needed
from isthmus.drivers.fake import FakeCloud, driver
from isthmus.ports import Api, Driver, Store
from isthmus.runtime.connections import Connections
from isthmus.runtime.kinds import NAMESPACES, SECRETS, api_of
from isthmus.runtime.manager import Manager
from isthmus.runtime.memory import MemoryStore
from tests.entitled import Entitled
from tests.outward import Outward

R = TypeVar("R", bound=Resource[Any, Any])
START = datetime(2026, 1, 1, tzinfo=UTC)
TEAM = "team-a"


class LoopClock:
    """The loop's time, which ``looptime`` can hold and hurry."""

    def now(self) -> datetime:
        return START + timedelta(seconds=asyncio.get_running_loop().time())


@dataclass
class Scene:
    store: Store
    cloud: FakeCloud
    manager: Manager
    connections: Connections
    planning: controllers.Planning

    async def apply(self, obj: Resource[Any, Any]) -> None:
        api, meta = api_of(type(obj)), obj.metadata
        found = await self.store.get(api, meta.namespace, meta.name)
        if found is None:
            await self.store.create(api, obj.dump())
            return
        body = obj.dump()
        body["metadata"] = found["metadata"] | body["metadata"]
        await self.store.replace(api, body)

    async def get(self, kind: type[R], name: str, namespace: str = TEAM) -> R | None:
        raw = await self.store.get(api_of(kind), namespace if kind.names.namespaced else "", name)
        return kind.parse(raw) if raw is not None else None

    async def delete(self, kind: type[Resource[Any, Any]], name: str) -> None:
        await self.store.delete(api_of(kind), TEAM if kind.names.namespaced else "", name)

    async def annotate(
        self, kind: type[Resource[Any, Any]], name: str, **notes: str | None
    ) -> None:
        named = {f"isthmus.dev/{key.replace('_', '-')}": value for key, value in notes.items()}
        namespace = TEAM if kind.names.namespaced else ""
        await self.store.patch(api_of(kind), namespace, name, {"metadata": {"annotations": named}})

    async def until(
        self,
        kind: type[R],
        name: str,
        holds: Callable[[R | None], object],
        *,
        within: float = 120,
    ) -> R | None:
        seen: R | None = None
        try:
            async with asyncio.timeout(within):
                while True:
                    seen = await self.get(kind, name)
                    if holds(seen):
                        return seen
                    await asyncio.sleep(0.25)  # Of virtual time.
        except TimeoutError:
            raise AssertionError(f"{kind.names.kind} {name} stayed {seen!r}") from None

    async def ready(self, kind: type[R], name: str, *, within: float = 120) -> R:
        found = await self.until(
            kind, name, lambda obj: obj is not None and obj.ready, within=within
        )
        assert found is not None
        return found

    async def refused(self, kind: type[R], name: str, reason: str, *, within: float = 120) -> str:
        """Wait until Ready is false for a reason; return the message."""

        def says(obj: R | None) -> bool:
            ready = obj.condition("Ready") if obj is not None else None
            return (
                ready is not None
                and ready.reason == reason
                and obj is not None
                and ready.observed_generation == obj.metadata.generation
            )

        found = await self.until(kind, name, says, within=within)
        ready = found.condition("Ready") if found is not None else None
        assert ready is not None
        return ready.message

    async def gone(self, kind: type[Resource[Any, Any]], name: str, *, within: float = 120) -> None:
        await self.until(kind, name, lambda obj: obj is None, within=within)

    async def nothing_for(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @property
    def writes(self) -> int:
        assert isinstance(self.store, MemoryStore)
        return self.store.writes

    async def namespace(self, name: str, **labels: str) -> None:
        await self.store.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}})

    async def secret(self, name: str, namespace: str = TEAM, **data: str) -> None:
        from base64 import b64encode

        encoded = {key: b64encode(value.encode()).decode() for key, value in data.items()}
        meta: Json = {"name": name, "namespace": namespace}
        await self.store.create(SECRETS, {"metadata": meta, "data": encoded})

    async def events(self, name: str) -> list[Json]:
        await self.manager.events.flush()
        found = await self.store.list(Api("v1", "events"))
        return [e for e in found.items if e["involvedObject"]["name"] == name]


@asynccontextmanager
async def scene(
    *,
    store: Store | None = None,
    cloud: FakeCloud | None = None,
    outward: Outward | None = None,
    furnish: bool = True,
    drivers: Mapping[str, Driver] | None = None,
    **options: Any,
) -> AsyncIterator[Scene]:
    """Run all controllers against a fake cloud, and others for the drivers that are named."""
    clock = LoopClock()
    store = store or MemoryStore(clock)
    cloud = cloud or FakeCloud(clock)
    fake = driver(lambda _: cloud)
    theirs = store
    if outward is not None:
        fake, theirs = outward.driver(fake), outward.store(store)
    entitled = Entitled(theirs)
    manager = Manager(entitled, clock=clock)
    others = drivers or {}
    built = controllers.build(
        manager, load=lambda name: others.get(name, fake), installation="test", **options
    )
    entitled.rights = frozenset(needed(manager))
    here = Scene(store, cloud, manager, built.connections, built.planning)
    if furnish:
        await here.namespace(TEAM, team="a")
        await here.apply(a_provider())
        await here.apply(an_offering())
    async with manager:
        yield here
    assert not entitled.lacking, "isthmus.controllers.rights (and deploy/rbac) lack these"


def a_provider(name: str = "here", **spec: Any) -> Provider:
    allowed: Json = {"driver": "fake", "adoption_selector": {}}
    return Provider.model_validate({"metadata": {"name": name}, "spec": allowed | spec})


PARAMETERS: Json = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "default": 1, "x-updatable": True},
        "engine": {"type": "string", "default": "16", "x-updatable": False},
        "encoding": {"type": "string", "default": "utf8", "x-updatable": True},
        "licence": {"type": "string", "writeOnly": True, "x-updatable": True},
    },
}
OFFERING: Json = {
    "title": "Database",
    "description": "A database in the fake cloud.",
    "category": "database",
    "parameters": PARAMETERS,
    "plans": [
        {"name": "dev", "title": "Dev"},
        {"name": "big", "title": "Big", "parameters": {"size": 9}},
    ],
    "stacks": {
        "fake": {
            "template": {
                "resources": {
                    "Network": {"type": "Fake::Network"},
                    "Database": {
                        "type": "Fake::Database",
                        "stateful": True,
                        "replaceOn": ["encoding"],
                        "properties": {
                            "size": "${size}",
                            "engine": "${engine}",
                            "encoding": "${encoding}",
                            "licence": {"parameter": "Licence"},
                        },
                    },
                },
                "outputs": {
                    "Host": "${Database.host}",
                    "Port": "${Database.port}",
                    "Stack": "${stack.name}",
                },
            },
            "parameters": {"Licence": "${licence}"},
            "credentials": [{"strategy": "sql-user", "spec": {"host": "${outputs.Host}"}}],
            "actions": {
                "stop": {
                    "stack": "${outputs.Stack}",
                    "resource": "Database",
                    "requires": ["running"],
                    "set": "stopped",
                    "seconds": 3,
                    "result": {"note": "${action.note}"},
                }
            },
        }
    },
    "binding": {
        "type": "postgresql",
        "keys": {
            "host": "${outputs.Host}",
            "username": "${credential.username}",
            "password": "${credential.password}",
            "uri": "postgresql://${credential.username}:${credential.password}@${outputs.Host}",
        },
        "parameters": {
            "type": "object",
            "properties": {"access": {"enum": ["readwrite", "readonly"], "default": "readwrite"}},
        },
    },
    "actions": [
        {
            "name": "stop",
            "title": "Stop",
            "parameters": {
                "type": "object",
                "properties": {"note": {"type": "string", "default": "none"}},
            },
        }
    ],
}


def an_offering(name: str = "database", **spec: Any) -> Offering:
    return Offering.model_validate({"metadata": {"name": name}, "spec": OFFERING | spec})


def an_instance(name: str = "db", **spec: Any) -> ServiceInstance:
    return ServiceInstance.model_validate(
        {
            "metadata": {"name": name, "namespace": TEAM},
            "spec": {"offering": "database", "plan": "dev"} | spec,
        }
    )


def a_binding(name: str = "app", **spec: Any) -> ServiceBinding:
    return ServiceBinding.model_validate(
        {"metadata": {"name": name, "namespace": TEAM}, "spec": {"instance": "db"} | spec}
    )


def an_operation(name: str = "stop-it", **spec: Any) -> Operation:
    return Operation.model_validate(
        {
            "metadata": {"name": name, "namespace": TEAM},
            "spec": {"target": {"name": "db"}, "action": "stop"} | spec,
        }
    )
