"""A new key for Secrets: afterwards nothing can be read with the old one, and nothing is lost."""

import shutil
from pathlib import Path

import pytest

from isthmus.apiserver.secretbox import SecretBox, UnreadableSecret, parse_keys
from isthmus.apiserver.store import StorageFailed
from tests.apiserver_client import Client, running

SECRETS = "/api/v1/namespaces/default/secrets"
ROTATE = "/maintenance/encryption-key"


async def furnish(api: Client) -> None:
    for number in range(5):
        body = {"metadata": {"name": f"s{number}"}, "stringData": {"p": f"hunter{number}"}}
        assert (await api("POST", SECRETS, body)).code == 201


async def held(api: Client) -> list[str]:
    return [item["data"]["p"] for item in (await api("GET", SECRETS)).json["items"]]


async def test_secrets_outlive_their_key(tmp_path: Path) -> None:
    key = tmp_path / "home" / "secrets.key"
    async with running(tmp_path / "home") as (_, api):
        await furnish(api)
        before, old = await held(api), parse_keys(key.read_bytes())
        sealed = _sealed(tmp_path / "home")

        answer = await api("POST", ROTATE)

        assert answer.json == {"rewritten": 5}
        new = parse_keys(key.read_bytes())
        assert len(new) == 1
        assert new != old
        assert await held(api) == before
        body = {"metadata": {"name": "later"}, "stringData": {"p": "x"}}
        assert (await api("POST", SECRETS, body)).code == 201
        disk = b"".join(path.read_bytes() for path in (tmp_path / "home").glob("objects.sqlite*"))
        assert not [body for body in sealed if body in disk], "old ciphertext is on the disk"
    async with running(tmp_path / "home") as (_, api):
        assert (await held(api))[1:] == before


def _sealed(folder: Path) -> list[bytes]:
    """The ciphertexts of a copy of the database; a running server holds the file itself."""
    import sqlite3
    from contextlib import closing

    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    with closing(sqlite3.connect(copy / "objects.sqlite")) as connection:
        rows = connection.execute("SELECT body FROM objects WHERE resource='/secrets'").fetchall()
    shutil.rmtree(copy)
    assert rows
    return [row[0] for row in rows]


@pytest.mark.parametrize("rewritten", [False, True], ids=["before", "after"])
async def test_a_rotation_that_was_interrupted_is_ended_by_the_next_start(
    tmp_path: Path, rewritten: bool
) -> None:
    key = tmp_path / "secrets.key"
    async with running(tmp_path) as (_, api):
        await furnish(api)
        before = await held(api)
        old = key.read_text()
        if rewritten:
            await api("POST", ROTATE)
    current = key.read_text()
    key.write_text(current + old if rewritten else "ab" * 32 + "\n" + old)

    async with running(tmp_path) as (_, api):
        assert await held(api) == before
    assert key.read_text() == (current if rewritten else "ab" * 32 + "\n")


async def test_another_key_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    key = tmp_path / "secrets.key"
    async with running(tmp_path) as (_, api):
        await furnish(api)
    right = key.read_text()
    key.write_text("ab" * 32)
    with pytest.raises(StorageFailed, match=r"secrets\.key"):
        async with running(tmp_path):
            pass
    key.write_text(right)
    async with running(tmp_path) as (_, api):
        assert len(await held(api)) == 5


def test_a_sealed_body_belongs_to_its_place() -> None:
    box = SecretBox([b"k" * 32])
    sealed = box.seal("/secrets/a/b", b"text")
    assert box.open_sealed("/secrets/a/b", sealed) == b"text"
    with pytest.raises(UnreadableSecret):
        box.open_sealed("/secrets/a/c", sealed)
