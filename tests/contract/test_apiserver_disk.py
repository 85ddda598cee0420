"""A disk that is full, damaged, old, or held by somebody else: a clear refusal, nothing lost."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver import database
from isthmus.apiserver.store import StorageFailed
from isthmus.apiserver.tls import Certificates, ClockIsBehind
from tests.apiserver_client import running

ROOT = Path(__file__).parents[2]
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


async def names(folder: Path) -> set[str]:
    async with running(folder) as (_, api):
        items = (await api("GET", CONFIG_MAPS)).json["items"]
        return {item["metadata"]["name"] for item in items}


# --- full ----------------------------------------------------------------------------------------

FILLS_THE_DISK = """
import asyncio, json, sys
from pathlib import Path
from tests.apiserver_client import running

async def main(folder, full, room):
    async with running(Path(folder)) as (_, api):
        async def make(number):
            body = {"metadata": {"name": f"c{number}"}, "data": {"x": "y" * 50_000}}
            return await api("POST", "/api/v1/namespaces/default/configmaps", body)
        kept, refused = [], None
        full()
        for number in range(200):
            answer = await make(number)
            if answer.code == 201:
                kept.append(number)
            else:
                refused = refused or answer
        readable = (await api("GET", "/api/v1/namespaces/default/configmaps")).json["items"]
        room()
        again = await make(999)
        print(json.dumps({
            "kept": kept, "code": refused and refused.code, "status": refused and refused.json,
            "readable": len(readable), "again": again.code,
        }))
"""
BY_LIMIT = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def full(): resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
def room(): resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
asyncio.run(main(sys.argv[1], full, room))
"""
BY_FILE = """
ballast = Path(sys.argv[1]) / "ballast"
ballast.write_bytes(b"x" * 2**20)
asyncio.run(main(sys.argv[1], lambda: None, ballast.unlink))
"""


async def filled(folder: Path, script: str) -> None:
    """Run the script on `folder`, and look at what it says and at what is there afterwards."""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FILLS_THE_DISK + script, str(folder)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said["code"] == 503, "the disk was never full"
    assert "the database refused the write" in said["status"]["message"]
    assert said["readable"] == len(said["kept"]), "what was refused is visible"
    assert said["again"] == 201, "there is room, and it is not used"
    assert await names(folder) >= {f"c{number}" for number in (*said["kept"], 999)}


async def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    await filled(tmp_path, BY_LIMIT)


@pytest.mark.labs
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
async def test_a_full_file_system(tmp_path: Path) -> None:
    mounted = await asyncio.to_thread(
        subprocess.run,
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        await filled(tmp_path, BY_FILE)
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", str(tmp_path)], check=True)


# --- damaged -------------------------------------------------------------------------------------


async def furnished(folder: Path, count: int = 200) -> Path:
    async with running(folder) as (_, api):
        for number in range(count):
            body = {"metadata": {"name": f"c{number:04}"}, "data": {"x": "y" * 500}}
            assert (await api("POST", CONFIG_MAPS, body)).code == 201
    return folder / "objects.sqlite"


@pytest.mark.timeout(600)  # a start for each page
async def test_no_page_goes_bad_unnoticed(tmp_path: Path) -> None:
    """Each page is spoilt in turn: the server either refuses, or nothing at all is missing."""
    path = await furnished(tmp_path)
    whole = path.read_bytes()
    expected = await names(tmp_path)
    refused = 0
    for start in range(4096, len(whole), 4096):
        path.write_bytes(whole[:start] + os.urandom(4096) + whole[start + 4096 :])
        try:
            assert await names(tmp_path) >= expected
        except StorageFailed as error:
            refused += str(path) in str(error)
        assert path.stat().st_size == len(whole)
    assert refused > len(whole) / 4096 / 2
    path.write_bytes(whole)
    assert await names(tmp_path) == expected


@pytest.mark.parametrize("kept", [100, 4096, 50_000])
async def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    path = await furnished(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])

    with pytest.raises(StorageFailed, match="restore a backup"):
        await names(tmp_path)
    assert path.read_bytes() == whole[:kept]


# --- held by somebody else -----------------------------------------------------------------------

HOLDS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("SELECT count(*) FROM objects").fetchall()
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path, statement: str) -> Generator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path), statement],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


@pytest.mark.parametrize("statement", ["BEGIN EXCLUSIVE", "BEGIN"])
async def test_a_database_in_use_is_refused_until_it_is_free(
    tmp_path: Path, statement: str
) -> None:
    path = await furnished(tmp_path, 3)
    with held(path, statement), pytest.raises(StorageFailed, match="locked by another process"):
        await names(tmp_path)
    assert len(await names(tmp_path)) >= 3


async def test_a_running_server_lets_nobody_else_in(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, api):
        with (
            closing(sqlite3.connect(tmp_path / "objects.sqlite", timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("DELETE FROM objects")
        assert (await api("POST", CONFIG_MAPS, {"metadata": {"name": "a"}})).code == 201


# --- other formats -------------------------------------------------------------------------------


def as_format_1(path: Path) -> None:
    """What the first release wrote: no checksums, no number of objects."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute("ALTER TABLE objects DROP COLUMN sum")
        connection.execute("DELETE FROM settings WHERE name='objects'")
        connection.execute("PRAGMA user_version=1")
        connection.execute("COMMIT")


async def test_an_older_format_is_brought_up_to_date_and_kept(tmp_path: Path) -> None:
    path = await furnished(tmp_path, 5)
    expected = await names(tmp_path)
    as_format_1(path)

    assert await names(tmp_path) == expected

    with closing(sqlite3.connect(path)) as connection:
        assert database.format_of(connection) == database.FORMAT
    kept = tmp_path / "objects-format1.sqlite"
    assert kept.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(kept)) as connection:
        assert database.format_of(connection) == 1
        assert connection.execute("SELECT count(*) FROM objects").fetchone()[0] >= 5


async def test_a_step_that_fails_leaves_the_older_format(tmp_path: Path) -> None:
    path = await furnished(tmp_path, 5)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version=1")  # and the column of format 2 is in the way

    with pytest.raises(StorageFailed, match="duplicate column"):
        await names(tmp_path)

    with closing(sqlite3.connect(path)) as connection:
        assert database.format_of(connection) == 1
        connection.execute("PRAGMA user_version=2")
    assert len(await names(tmp_path)) >= 5


async def test_a_newer_format_is_refused_untouched(tmp_path: Path) -> None:
    path = await furnished(tmp_path, 5)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={database.FORMAT + 1}")
    before = path.read_bytes()

    with pytest.raises(StorageFailed, match="use the newer program, or restore a backup"):
        await names(tmp_path)
    assert path.read_bytes() == before


# --- the clock -----------------------------------------------------------------------------------


async def test_a_clock_that_went_back_loses_nothing(tmp_path: Path) -> None:
    """Objects made in what is now the future stay, and versions go on."""
    async with running(tmp_path) as (_, api):
        made = (await api("POST", CONFIG_MAPS, {"metadata": {"name": "later"}})).json
    _move_times(tmp_path / "objects.sqlite", made["metadata"]["creationTimestamp"])

    async with running(tmp_path) as (_, api):
        found = (await api("GET", f"{CONFIG_MAPS}/later")).json
        assert found["metadata"]["creationTimestamp"] > made["metadata"]["creationTimestamp"]
        table = await api("GET", CONFIG_MAPS, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert "0s" in str(table.json["rows"])
        changed = await api("PUT", f"{CONFIG_MAPS}/later", {**found, "data": {"a": "b"}})
        version = int(changed.json["metadata"]["resourceVersion"])
        assert version > int(found["metadata"]["resourceVersion"])


def _move_times(path: Path, today: str) -> None:
    later = (datetime.now(UTC) + timedelta(days=400)).strftime("%Y-%m-%d")
    with closing(sqlite3.connect(path)) as connection, connection:
        for row in connection.execute("SELECT * FROM objects WHERE name='later'").fetchall():
            fresh = (*row[:7], row[7].replace(today[:10].encode(), later.encode()))
            connection.execute(
                "INSERT OR REPLACE INTO objects VALUES(?,?,?,?,?,?,?,?,?)",
                (*fresh, database.checksum(fresh)),
            )


def test_certificates_of_the_future_are_made_anew_or_refused(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority = Certificates(tmp_path, "127.0.0.1", now=now)
    for file in (authority.certificate_path, authority.key_path):
        file.unlink()
    Certificates(tmp_path, "127.0.0.1", now=now + timedelta(days=100))
    future = authority.certificate_path.read_bytes()

    again = Certificates(tmp_path, "127.0.0.1", now=now)
    assert again.ca_pem == authority.ca_pem
    assert again.certificate_path.read_bytes() != future

    with pytest.raises(ClockIsBehind, match="set the clock"):
        Certificates(tmp_path, "127.0.0.1", now=now - timedelta(days=1))
    assert again.ca_pem == authority.ca_path.read_text()
