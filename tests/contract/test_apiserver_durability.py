"""What was acknowledged is there, whatever happens to the process or the disk."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver.config import Limits
from isthmus.apiserver.database import FORMAT
from isthmus.apiserver.history import Record
from isthmus.apiserver.secretbox import SecretBox
from isthmus.apiserver.store import StorageFailed, Store
from tests.apiserver_client import running
from tests.apiserver_kills import WATCHERS, kills

ROOT = Path(__file__).parents[2]
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
ROUNDS = 4
LINES_BEFORE_KILL = 150


def killed_writer(folder: Path, round_: int) -> list[str]:
    """Let the writer run for a while, kill it, and return what it acknowledged."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"}
    command = [sys.executable, str(Path(__file__).with_name("apiserver_writer.py"))]
    with subprocess.Popen(
        [*command, str(folder), str(round_)], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(LINES_BEFORE_KILL)]
        process.kill()
        lines += process.stdout.readlines()
    return [line.strip() for line in lines if line.endswith("\n")]


async def test_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    expected: dict[str, int | None] = {}
    writes: dict[str, int] = {}
    issued: set[int] = set()
    for round_ in range(ROUNDS):
        for line in await asyncio.to_thread(killed_writer, tmp_path, round_):
            name, rest = line.split()
            if name == "gone":
                expected[rest] = None
                continue
            version = int(rest)
            assert version not in issued, "a resourceVersion was issued twice"
            issued.add(version)
            expected[name] = version
            writes[name] = writes.get(name, 0) + 1

    async with running(tmp_path) as (_, api):
        found = {
            item["metadata"]["name"]: int(item["metadata"]["resourceVersion"])
            for item in (await api("GET", CONFIG_MAPS)).json["items"]
        }
        made = (await api("POST", CONFIG_MAPS, {"metadata": {"name": "next"}})).json

    for name, version in expected.items():
        if version is None:
            assert name not in found, f"{name} was deleted and is back"
        elif name in found:
            assert found[name] >= version, f"{name} lost a change"
        else:
            # Its deletion was under way: committed, though nobody was told so any more.
            number = int(name.rpartition("-")[2])
            assert number % 3 == 0, f"{name} is lost"
            assert writes[name] == 2, f"{name} is lost"
    assert int(made["metadata"]["resourceVersion"]) > max(issued)


@pytest.mark.labs
@pytest.mark.timeout(300)
async def test_killed_ten_times_under_load_watchers_relist_and_agree(tmp_path: Path) -> None:
    relists = 0
    for attempt in range(6):  # Whoever had seen everything before each kill need not list again.
        report = await kills(tmp_path / str(attempt), 10)
        assert report.ledger.writes > 200
        relists = max(relists, report.ledger.relists)
        if relists > WATCHERS:
            break

    assert relists > WATCHERS


async def open_store(path: Path) -> Store:
    box = SecretBox([b"k" * 32])
    return await Store.open(path / "x.sqlite", box, frozenset(("/secrets",)), Limits())


def record(store: Store, name: str, body: bytes = b"{}") -> Record:
    return Record(("ns", name), store.allocate(), body, f"uid-{name}", {}, ())


async def test_a_refusing_disk_is_told_and_leaves_everything_as_it_was(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    things = store.collection("/things")
    store.stage(things, record(store, "a"))
    await store.commit()

    def full(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 8}")

    loop = asyncio.get_running_loop()
    connection: Any = vars(store)["_database"].connection
    await loop.run_in_executor(vars(store)["_thread"], full, connection)
    before = store.version
    store.stage(things, record(store, "big", b"x" * 1_000_000))
    with pytest.raises(StorageFailed, match="refused"):
        await store.commit()

    assert list(things.records) == [("ns", "a")]
    assert things.current(("ns", "big")) is None
    assert store.version == before
    store.stage(things, record(store, "small"))
    await store.commit()
    assert ("ns", "small") in things.records
    await store.close()


async def test_readers_see_committed_objects_only(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    things = store.collection("/things")

    store.stage(things, record(store, "a"))

    assert things.current(("ns", "a")) is not None
    assert not things.records
    await store.commit()
    assert things.keys == [("ns", "a")]
    await store.close()


async def test_many_writers_share_transactions_and_keep_their_order(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    things = store.collection("/things")

    async def write(number: int) -> int:
        mine = record(store, f"n{number}")
        store.stage(things, mine)
        await store.commit()
        assert things.records[mine.key].version == mine.version
        return mine.version

    versions = await asyncio.gather(*(write(number) for number in range(700)))

    assert versions == sorted(set(versions))
    assert store.version == versions[-1]
    await store.close()
    again = await open_store(tmp_path)
    assert again.version == versions[-1]
    assert len(again.collection("/things").records) == 700
    await again.close()


async def test_coming_and_going_within_one_transaction(tmp_path: Path) -> None:
    store = await open_store(tmp_path)
    things = store.collection("/things")
    for delete in (False, False, True, False, True):
        store.stage(things, record(store, "a"), delete=delete)
    await store.commit()

    events = things.history.since(1)
    assert events is not None
    assert [event.type for event in events] == [
        "ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED",
    ]  # fmt: skip
    assert not things.records
    assert not things.keys
    assert not things.staged
    await store.close()


async def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    store = await open_store(tmp_path)

    with pytest.raises(StorageFailed, match="locked"):
        await open_store(tmp_path)
    await store.close()


async def test_a_newer_database_is_not_touched(tmp_path: Path) -> None:
    await (await open_store(tmp_path)).close()
    with sqlite3.connect(tmp_path / "x.sqlite") as connection:
        connection.execute(f"PRAGMA user_version={FORMAT + 1}")
    connection.close()

    with pytest.raises(StorageFailed, match="newer program"):
        await open_store(tmp_path)


async def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(b"this is no database" * 1000)

    with pytest.raises(StorageFailed, match="cannot be opened"):
        await open_store(tmp_path)
