"""Backups: made while the server writes, verified, restored elsewhere; refused when not whole."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from isthmus.apiserver import backup
from isthmus.apiserver.backup import SKIPPED_VERSIONS, BackupFailed, Facts
from tests.apiserver_client import Client, running

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
BACKUP = "/maintenance/backup"


async def furnish(api: Client) -> None:
    for number in range(20):
        body = {"metadata": {"name": f"c{number}"}, "data": {"n": str(number)}}
        assert (await api("POST", CONFIG_MAPS, body)).code == 201
    body = {"metadata": {"name": "s"}, "stringData": {"password": "hunter2"}}
    assert (await api("POST", SECRETS, body)).code == 201


async def taken(api: Client, path: Path) -> Path:
    answer = await api("GET", BACKUP)
    assert answer.code == 200, answer.body
    await asyncio.to_thread(path.write_bytes, answer.body)
    return path


@pytest.fixture
async def saved(tmp_path: Path) -> tuple[Path, Path]:
    """A backup and its keys."""
    async with running(tmp_path / "home") as (_, api):
        await furnish(api)
        await taken(api, tmp_path / "backup")
    backup.write_keys(tmp_path / "home", tmp_path / "keys")
    return tmp_path / "backup", tmp_path / "keys"


async def test_a_backup_is_one_moment_of_a_server_that_goes_on_writing(tmp_path: Path) -> None:
    async with running(tmp_path / "home") as (server, api):
        await furnish(api)
        token = server.issue_token("anna", ["system:masters"])
        done = False

        async def write() -> None:
            number = 0
            while not done:
                body = {"metadata": {"name": f"w{number}"}, "data": {"n": "x" * 500}}
                assert (await api("POST", CONFIG_MAPS, body)).code == 201
                number += 1

        writing = asyncio.create_task(write())
        async with api.watch(f"{CONFIG_MAPS}?watch=1") as stream:
            while (await stream.next())["object"]["metadata"]["name"] != "w9":
                pass
        await taken(api, tmp_path / "backup")
        done = True
        await writing
        last = (await api("GET", CONFIG_MAPS)).json["metadata"]["resourceVersion"]
        assert not list((tmp_path / "home").glob(".backup-*"))
    backup.write_keys(tmp_path / "home", tmp_path / "keys")

    facts = backup.restore(
        tmp_path / "backup", tmp_path / "again", backup.read_keys(tmp_path / "keys")
    )
    async with running(tmp_path / "again") as (server, _):
        anna = Client(server, token)
        found = (await anna("GET", CONFIG_MAPS)).json
        names = {item["metadata"]["name"] for item in found["items"]}
        written = sorted(int(name[1:]) for name in names if name.startswith("w"))
        assert {f"c{number}" for number in range(20)} <= names
        assert written == list(range(len(written))), "an earlier write is missing"
        secret = (await anna("GET", f"{SECRETS}/s")).json
        assert secret["data"]["password"] == "aHVudGVyMg=="
        assert facts.secrets == 1

        made = (await anna("POST", CONFIG_MAPS, {"metadata": {"name": "next"}})).json
        assert int(made["metadata"]["resourceVersion"]) > SKIPPED_VERSIONS
        async with anna.watch(f"{CONFIG_MAPS}?watch=1&resourceVersion={last}") as stream:
            event = await stream.next()
            assert event["object"]["code"] == 410, event


async def test_only_who_may_gets_a_backup_and_one_at_a_time(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, api):
        anna = Client(server, server.issue_token("anna", []))
        assert (await anna("GET", BACKUP)).code == 403
        assert (await anna("POST", "/maintenance/encryption-key")).code == 403
        assert (await api("GET", "/maintenance/other")).code == 404
        codes = [a.code for a in await asyncio.gather(*(api("GET", BACKUP) for _ in range(3)))]
        assert sorted(codes) == [200, 429, 429]
        assert (await api("GET", BACKUP)).code == 200


async def test_the_backup_holds_no_secret_in_the_clear_and_no_key(
    saved: tuple[Path, Path], tmp_path: Path
) -> None:
    content = saved[0].read_bytes()
    for secret in (b"hunter2", b"aHVudGVyMg", *_lines(tmp_path / "home" / "secrets.key")):
        assert secret not in content
    assert saved[1].stat().st_mode & 0o777 == 0o600


def _lines(path: Path) -> list[bytes]:
    return [*path.read_bytes().split(), *(bytes.fromhex(x) for x in path.read_text().split())]


def _flip(path: Path, what: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(what)] ^= 1
    path.write_bytes(content)


def _sql(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


DAMAGES: dict[str, Any] = {
    "a bit of a body": lambda path: _flip(path, b'{"n":"7"}'),
    "a bit of a name": lambda path: _sql(path, "UPDATE objects SET name='c99' WHERE name='c9'"),
    "a lost row": lambda path: _sql(path, "DELETE FROM objects WHERE name='c9'"),
    "a lost counter": lambda path: _sql(path, "UPDATE settings SET value=3 WHERE name='version'"),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:-5000]),
    "empty": lambda path: path.write_bytes(b""),
    "something else": lambda path: path.write_bytes(b"hello" * 1000),
    "newer": lambda path: _sql(path, "PRAGMA user_version=99"),
    "no backup": lambda path: _sql(path, "DROP TABLE backup"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_is_not_whole_is_refused_and_nothing_restored(
    saved: tuple[Path, Path], tmp_path: Path, damage: str
) -> None:
    DAMAGES[damage](saved[0])

    with pytest.raises(BackupFailed, match=str(saved[0])):
        backup.restore(saved[0], tmp_path / "again", backup.read_keys(saved[1]))

    assert not (tmp_path / "again").exists()


async def test_keys_must_be_there_and_the_right_ones(
    saved: tuple[Path, Path], tmp_path: Path
) -> None:
    again = tmp_path / "again"
    with pytest.raises(BackupFailed, match="name the key file"):
        backup.restore(saved[0], again, None)
    async with running(tmp_path / "other"):
        pass
    backup.write_keys(tmp_path / "other", tmp_path / "other-keys")
    with pytest.raises(BackupFailed, match="not the one of"):
        backup.restore(saved[0], again, backup.read_keys(tmp_path / "other-keys"))
    with pytest.raises(BackupFailed, match="is no key file"):
        backup.read_keys(saved[0])
    with pytest.raises(BackupFailed, match=r"objects\.sqlite exists"):
        backup.restore(saved[0], tmp_path / "other", backup.read_keys(saved[1]))
    (tmp_path / "other" / "objects.sqlite").unlink()
    with pytest.raises(BackupFailed, match="another key"):
        backup.restore(saved[0], tmp_path / "other", backup.read_keys(saved[1]))
    assert not again.exists()


async def test_an_interrupted_restore_is_done_again(
    saved: tuple[Path, Path], tmp_path: Path
) -> None:
    again = tmp_path / "again"
    again.mkdir()
    (again / "objects.sqlite.new").write_bytes(b"half of it")

    facts = backup.restore(saved[0], again, backup.read_keys(saved[1]))

    assert isinstance(facts, Facts)
    async with running(again) as (_, api):
        assert len((await api("GET", CONFIG_MAPS)).json["items"]) == 20
