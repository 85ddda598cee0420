"""Kills a server under load again and again, and looks whether it kept what it promised.

Writers create, change and delete over the network; watchers keep a copy as controllers do. After
the last kill:

- every acknowledged write is there; what was under way at a kill happened wholly or not at all;
- no resourceVersion stands for two things, in answers, events and lists together;
- every watcher's copy equals the list, and versions only ever grew for it.

Usage: ``python -m tests.apiserver_kills ROUNDS [FOLDER]``.
"""

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import orjson

from tests.apiserver_process import TOKEN, ApiProcess

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
WRITERS, WATCHERS = 8, 4
LAST = "the-last"


@dataclass
class Fate:
    """What is known of one object: its last acknowledged version, and what was under way."""

    version: int | None = None
    gone: bool = False
    under_way: str = ""

    def allows(self, found: int | None) -> bool:
        """Whether an object may be found so; None: it is not there."""
        if found is None:
            return self.gone or self.version is None or self.under_way == "delete"
        if self.version is None:
            return self.under_way == "create"
        if self.gone:
            return False
        return found == self.version or (self.under_way == "update" and found > self.version)


@dataclass
class Ledger:
    """All that was promised."""

    fates: dict[str, Fate] = field(default_factory=dict[str, Fate])
    versions: dict[int, str] = field(default_factory=dict[int, str])
    writes: int = 0
    unknown: int = 0
    relists: int = 0

    def seen(self, version: int, name: str) -> None:
        """A version stands for one thing only."""
        known = self.versions.setdefault(version, name)
        assert known == name, f"version {version} was issued for {known} and for {name}"


@dataclass
class Report:
    rounds: int
    seconds: float
    ledger: Ledger
    objects: int

    def __str__(self) -> str:
        led = self.ledger
        return (
            f"{self.rounds} kills in {self.seconds:.0f} s: {led.writes} acknowledged writes,"
            f" 0 lost; {led.unknown} under way at a kill, each done wholly or not at all;"
            f" {len(led.versions)} resourceVersions seen, none twice; {WATCHERS} watchers agree on"
            f" {self.objects} objects after {led.relists} lists"
        )


class Load:
    """Writers and watchers of one server, through its lives."""

    def __init__(self, process: ApiProcess) -> None:
        self.ledger = Ledger()
        self.copies = [dict[str, int]() for _ in range(WATCHERS)]
        self.stopping = False
        self.client = httpx2.AsyncClient(
            base_url=process.url,
            verify=process.tls,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=httpx2.Timeout(30),
            limits=httpx2.Limits(max_connections=64),
            trust_env=False,
        )

    async def reach(self, writes: int) -> None:
        """Wait for so many acknowledged writes."""
        async with asyncio.timeout(60):
            while self.ledger.writes < writes:  # noqa: ASYNC110 - a counter, and no hurry
                await asyncio.sleep(0.005)

    # --- writers --------------------------------------------------------------------------

    async def write(self, worker: int) -> None:
        number = 0
        while not self.stopping:
            await self._life(f"w{worker}-{number}", deleted=number % 3 == 0)
            number += 1

    async def _life(self, name: str, *, deleted: bool) -> None:
        fate = self.ledger.fates[name] = Fate()
        path = f"{CONFIG_MAPS}/{name}"
        body: Any = {"metadata": {"name": name}, "data": {"n": "0"}}
        body = await self._do(fate, "create", "POST", CONFIG_MAPS, body)
        if body is None:
            return
        body["data"] = {"n": "1"}
        if await self._do(fate, "update", "PUT", path, body) is not None and deleted:
            await self._do(fate, "delete", "DELETE", path)

    async def _do(self, fate: Fate, what: str, method: str, path: str, body: Any = None) -> Any:
        fate.under_way = what
        try:
            answer = await self.client.request(method, path, json=body)
        except httpx2.TransportError as error:
            if isinstance(error, httpx2.ConnectError):
                fate.under_way = ""  # it never left
            else:
                self.ledger.unknown += 1
            await asyncio.sleep(0.05)
            return None
        assert answer.status_code in (200, 201), answer.text
        fate.under_way = ""
        self.ledger.writes += 1
        found = answer.json()
        if what == "delete":
            fate.gone = True
        else:
            fate.version = int(found["metadata"]["resourceVersion"])
            self.ledger.seen(fate.version, f"{found['metadata']['name']} {what}")
        return found

    # --- watchers -------------------------------------------------------------------------

    async def watch(self, copy: dict[str, int]) -> None:
        version = 0
        while LAST not in copy:
            with contextlib.suppress(httpx2.TransportError):
                if not version:
                    version = await self._list(copy)
                async for event in self._events(version):
                    if event["type"] == "ERROR":
                        assert event["object"]["code"] == 410, event
                        version = 0
                        break
                    version = self._apply(copy, event, version)
                    if LAST in copy:
                        return
            await asyncio.sleep(0.02)

    async def _list(self, copy: dict[str, int]) -> int:
        found = (await self.client.get(CONFIG_MAPS)).json()
        self.ledger.relists += 1
        copy.clear()
        for item in found["items"]:
            copy[item["metadata"]["name"]] = int(item["metadata"]["resourceVersion"])
        return int(found["metadata"]["resourceVersion"])

    async def _events(self, version: int) -> AsyncGenerator[Any]:
        query = {"watch": "1", "resourceVersion": str(version), "allowWatchBookmarks": "true"}
        async with self.client.stream("GET", CONFIG_MAPS, params=query) as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                yield orjson.loads(line)

    def _apply(self, copy: dict[str, int], event: Any, before: int) -> int:
        metadata = event["object"]["metadata"]
        version = int(metadata["resourceVersion"])
        if event["type"] == "BOOKMARK":
            assert version >= before
            return version
        assert version > before, "a watch went back"
        what = {"ADDED": "create", "MODIFIED": "update", "DELETED": "delete"}[event["type"]]
        self.ledger.seen(version, f"{metadata['name']} {what}")
        if what == "delete":
            copy.pop(metadata["name"], None)
        else:
            copy[metadata["name"]] = version
        return version


async def kills(folder: Path, rounds: int, *, seed: int = 0) -> Report:
    """Kill a server `rounds` times under load.

    Raises:
        AssertionError: It broke a promise.
    """
    started = time.monotonic()
    with ApiProcess(folder=folder) as process:
        await asyncio.to_thread(process.start)
        load = Load(process)
        async with load.client:
            await _under_load(load, process, rounds, random.Random(seed))
            objects = await _check(load)
    return Report(rounds, time.monotonic() - started, load.ledger, objects)


async def _under_load(load: Load, process: ApiProcess, rounds: int, moments: random.Random) -> None:
    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(load.write(worker)) for worker in range(WRITERS)]
        watchers = [group.create_task(load.watch(copy)) for copy in load.copies]
        for _ in range(rounds):
            before = load.ledger.writes
            await asyncio.sleep(moments.uniform(0, 0.6))
            await load.reach(before + 20)
            process.kill()
            await asyncio.to_thread(process.start)
        load.stopping = True
        await asyncio.wait(writers)
        made = await load.client.post(CONFIG_MAPS, json={"metadata": {"name": LAST}})
        assert made.status_code == 201
        async with asyncio.timeout(60):
            await asyncio.wait(watchers)


async def _check(load: Load) -> int:
    found = (await load.client.get(CONFIG_MAPS)).json()["items"]
    there = {item["metadata"]["name"]: int(item["metadata"]["resourceVersion"]) for item in found}
    for name, fate in load.ledger.fates.items():
        assert fate.allows(there.get(name)), f"{name}: {fate}, found {there.get(name)}"
    for copy in load.copies:
        assert copy == there, "a watcher's copy differs from the list"
    return len(there)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(temporary)
        sys.stdout.write(f"{asyncio.run(kills(place, int(sys.argv[1])))}\n")
