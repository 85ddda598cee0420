"""Who is calling: bearer tokens of a file that is kept private and read again when it changes.

The file holds no token, only hashes and salts, so reading it lets nobody in. An issued token is
derived from a key, the salt of its entry and the user, which is why it can be issued again without
being stored. Removing an entry revokes the token.
"""

import base64
import hashlib
import hmac
import os
import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from isthmus.apiserver.secretbox import write_private

MASTERS = "system:masters"
AUTHENTICATED = "system:authenticated"
ANONYMOUS, UNAUTHENTICATED = "system:anonymous", "system:unauthenticated"
_CHECK_SECONDS = 1.0
_REMEMBERED_LETTERS = 128
"""Hashes of longer tokens are not remembered: anybody may send some."""


@dataclass(frozen=True, slots=True)
class User:
    """A caller.

    Attributes:
        name: Name that RBAC subjects of kind `User` refer to.
        groups: Groups, `system:authenticated` included.
        uid: What tells them from others of the same name; rights do not ask for it, nor for more.
        extra: More that is known of them, by key.
        named: The groups that an impersonator named.
    """

    name: str
    groups: frozenset[str]
    uid: str = field(default="", compare=False)
    extra: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), compare=False)
    named: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_master(self) -> bool:
        """Whether every request is allowed."""
        return MASTERS in self.groups


class TokenFile:
    """The users of `tokens.json` and the tokens they show.

    Args:
        path: The token file; made when the first token is issued.
        key_path: The key from which tokens are derived; made when it is missing.
        admin_token: A token that acts as `admin` besides those of the file.
    """

    def __init__(self, path: Path, key_path: Path, admin_token: str | None) -> None:
        self._path = path
        if not key_path.exists():
            write_private(key_path, os.urandom(32))
        self.key = key_path.read_bytes()
        self._admin = _hash(admin_token) if admin_token else None
        self._users: dict[str, User] = {}
        self._stamp: tuple[int, int] | None = None
        self._next_check = 0.0
        self._reload()

    def authenticate(self, token: str) -> User | None:
        """The user who holds this token, or None."""
        digest = _hash(token)
        # A new user's first request may come right after the command that wrote the file.
        if time.monotonic() >= self._next_check or digest not in self._users:
            self._reload()
        return self._users.get(digest)

    def issue(self, name: str, groups: list[str], *, rotate: bool = False) -> str:
        """The token of a user, made when there is none.

        Args:
            name: The user.
            groups: Groups of the user from now on.
            rotate: Make a new token and refuse the old one.
        """
        entries = [entry for entry in self._read() if entry["user"] != name]
        known = next((entry for entry in self._read() if entry["user"] == name), None)
        salt = known["salt"] if known and "salt" in known and not rotate else os.urandom(16).hex()
        digest = hmac.new(self.key, f"{salt}\0{name}".encode(), hashlib.sha256).digest()
        token = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        entry = {"user": name, "groups": groups, "salt": salt, "sha256": _hash(token)}
        if entry != known:
            content = orjson.dumps([*entries, entry], option=orjson.OPT_INDENT_2)
            write_private(self._path, content + b"\n")
            self._reload()
        return token

    def _read(self) -> list[dict[str, Any]]:
        return orjson.loads(self._path.read_bytes()) if self._path.exists() else []

    def _reload(self) -> None:
        self._next_check = time.monotonic() + _CHECK_SECONDS
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
        except FileNotFoundError:
            stamp = (0, 0)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self._users = {
            entry["sha256"]: User(entry["user"], frozenset((*entry["groups"], AUTHENTICATED)))
            for entry in self._read()
        }
        if self._admin:
            self._users[self._admin] = User("admin", frozenset((MASTERS, AUTHENTICATED)))


def _hash(token: str) -> str:
    """Tokens are long and random, so a plain hash cannot be reversed."""
    return _remembered(token) if len(token) <= _REMEMBERED_LETTERS else _digest(token)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


_remembered = lru_cache(256)(_digest)
