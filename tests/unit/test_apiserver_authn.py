"""Tokens: issued again without being stored, rotated, revoked by file."""

import stat
from pathlib import Path

import orjson

from isthmus.apiserver.authn import TokenFile


def tokens(folder: Path, admin: str | None = None) -> TokenFile:
    return TokenFile(folder / "tokens.json", folder / "tokens.key", admin)


def test_a_token_is_the_same_at_every_call_and_start(tmp_path: Path) -> None:
    first = tokens(tmp_path).issue("dev", ["devs"])

    again = tokens(tmp_path)

    assert again.issue("dev", ["devs"]) == first
    user = again.authenticate(first)
    assert user is not None
    assert (user.name, user.groups) == ("dev", {"devs", "system:authenticated"})


def test_neither_file_holds_the_token_and_both_are_private(tmp_path: Path) -> None:
    token = tokens(tmp_path).issue("dev", [])

    for path in tmp_path.iterdir():
        assert token.encode() not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_rotation_refuses_the_old_token(tmp_path: Path) -> None:
    issuer = tokens(tmp_path)
    old = issuer.issue("dev", [])

    new = issuer.issue("dev", [], rotate=True)

    assert issuer.authenticate(old) is None
    assert issuer.authenticate(new) is not None


def test_removing_the_entry_revokes_for_good(tmp_path: Path) -> None:
    token = tokens(tmp_path).issue("dev", [])
    (tmp_path / "tokens.json").write_bytes(orjson.dumps([]))

    after = tokens(tmp_path)

    assert after.authenticate(token) is None
    assert after.issue("dev", []) != token


def test_unknown_and_empty_tokens_are_nobody(tmp_path: Path) -> None:
    known = tokens(tmp_path, admin="secret")

    assert known.authenticate("") is None
    assert known.authenticate("Secret") is None
    admin = known.authenticate("secret")
    assert admin is not None
    assert admin.is_master


def test_a_token_that_another_process_issued_is_known_at_once(tmp_path: Path) -> None:
    server = tokens(tmp_path)
    assert server.authenticate("nobody's") is None
    token = tokens(tmp_path).issue("anna", [])
    user = server.authenticate(token)
    assert user is not None
    assert user.name == "anna"
