"""Files of the data folder that were lost, emptied or exchanged: refused, nothing is touched."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from isthmus.apiserver.store import StorageFailed
from tests.apiserver_client import running

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
LEFT_BY_A_CRASH = """
import asyncio, os, sys
from pathlib import Path
from tests.apiserver_client import running

async def main(folder, first, last):
    async with running(Path(folder)) as (server, api):
        server.issue_token("ann", [])
        for number in range(int(first), int(last)):
            for kind in ("configmaps", "secrets"):
                body = {"metadata": {"name": f"c{number}"}, "data": {"x": "eHh4" * 99}}
                answer = await api("POST", f"/api/v1/namespaces/default/{kind}", body)
                assert answer.code == 201
        os._exit(0)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def crashes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Folders as they are after `kill -9`, by their objects: what came last is in the log alone."""
    made: dict[int, Path] = {}
    for objects in (0, 20, 60):
        made[objects] = tmp_path_factory.mktemp("crashed")
        crash(made[objects], 0, objects)
    return made


def crash(folder: Path, first: int, last: int) -> None:
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", LEFT_BY_A_CRASH, str(folder), str(first), str(last)],
        env={"PYTHONPATH": f"{root}/src:{root}"},
        check=True,
    )
    assert (folder / "objects.sqlite-wal").stat().st_size > 0


Crashed = Callable[..., Path]


@pytest.fixture
def crashed(crashes: dict[int, Path], tmp_path: Path) -> Crashed:
    """Makes a copy of one of them."""

    def copy(name: str = "home", objects: int = 20) -> Path:
        return shutil.copytree(crashes[objects], tmp_path / name)

    return copy


async def count(folder: Path) -> int:
    async with running(folder) as (_, api):
        return len((await api("GET", CONFIG_MAPS)).json["items"])


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


async def refused(folder: Path, *words: str) -> None:
    before = contents(folder)
    with pytest.raises(StorageFailed) as raised:
        await count(folder)
    assert contents(folder) == before
    for word in (str(folder), *words):
        assert word in str(raised.value)


@pytest.mark.parametrize("log", [True, False], ids=["after a crash", "after a stop"])
@pytest.mark.parametrize("emptied", [True, False], ids=["emptied", "missing"])
async def test_a_lost_database_is_not_begun_anew(
    crashed: Crashed, log: bool, emptied: bool
) -> None:
    folder = crashed()
    if not log:
        assert await count(folder) == 20
    whole = contents(folder)
    database = folder / "objects.sqlite"
    database.write_bytes(b"") if emptied else database.unlink()

    await refused(folder, "objects.sqlite is", "restore a backup", "name an empty folder")

    database.write_bytes(whole["objects.sqlite"])
    assert await count(folder) == 20


async def test_each_key_alone_says_that_there_was_a_database(
    tmp_path: Path, crashed: Crashed
) -> None:
    folder = crashed()
    assert await count(folder) == 20
    for name in ("secrets.key", "tokens.key", "tokens.json"):
        alone = tmp_path / name
        alone.mkdir()
        shutil.copy(folder / name, alone)
        await refused(alone, "objects.sqlite is missing", name)


async def test_a_first_start_that_was_interrupted_goes_on(tmp_path: Path, crashed: Crashed) -> None:
    """The database is there, or begun, and no key is."""
    folder = crashed(objects=0)
    for name in ("secrets.key", "tokens.key", "tokens.json"):
        (folder / name).unlink()
    assert await count(folder) == 0
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "objects.sqlite").touch()
    assert await count(begun) == 0


async def test_the_log_of_another_database_is_not_applied(crashed: Crashed) -> None:
    """SQLite would mix both files; the one that was put there must survive the attempt."""
    folder, other = crashed(), crashed("other", 60)
    assert (await count(folder), await count(other)) == (20, 60)
    crash(folder, 20, 30)
    shutil.copy(other / "objects.sqlite", folder)

    await refused(folder, "objects.sqlite-wal", "put back the file that the log belongs to")


async def test_a_missing_key_is_not_made_anew(crashed: Crashed) -> None:
    folder = crashed()
    key = (folder / "secrets.key").read_text()
    (folder / "secrets.key").unlink()
    with pytest.raises(StorageFailed, match=r"secrets\.key is missing or another one"):
        await count(folder)
    assert not (folder / "secrets.key").exists()
    (folder / "secrets.key").write_text(key)
    assert await count(folder) == 20


@pytest.mark.parametrize(
    "name", ["secrets.key", "tokens.key", "tokens.json", "tls/ca.key", "tls/ca.crt"]
)
@pytest.mark.parametrize("content", [b"", b"\x00\xffnoise"], ids=["emptied", "exchanged"])
async def test_a_spoilt_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    async with running(tmp_path) as (server, _):
        server.issue_token("ann", [])
    (tmp_path / "tls").mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)

    await refused(tmp_path, name, "put it back")


async def test_the_database_of_another_installation_is_refused(crashed: Crashed) -> None:
    folder, other = crashed(), crashed("other", 60)
    assert await count(folder) + 40 == await count(other)
    shutil.copy(other / "objects.sqlite", folder)

    with pytest.raises(StorageFailed, match=r"secrets\.key is missing or another one"):
        await count(folder)


@pytest.mark.parametrize("format_", [0, 2])
async def test_the_database_of_another_program_is_refused(tmp_path: Path, format_: int) -> None:
    path = tmp_path / "objects.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs(x)")
        connection.execute(f"PRAGMA user_version={format_}")

    with pytest.raises(StorageFailed, match="the database of another program"):
        await count(tmp_path)

    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("theirs",)]


async def test_a_folder_in_the_place_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "objects.sqlite").mkdir()
    with pytest.raises(StorageFailed, match="cannot be read"):
        await count(tmp_path)
