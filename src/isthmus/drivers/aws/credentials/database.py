"""What the SQL dialects share: whom they log in as, and whom they make."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, LiteralString, Protocol

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 30
READWRITE: Final = "isthmus_readwrite"
READONLY: Final = "isthmus_readonly"
"""Group roles that hold the rights of all bindings of a kind."""
RIGHTS: Final[tuple[tuple[LiteralString, str], ...]] = (("ALL", READWRITE), ("SELECT", READONLY))
"""What each group may do with tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Where and as whom we log in."""

    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    authorities: str = ""
    """PEM text; empty: those that the SDK trusts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlAccount:
    """The user of one binding."""

    name: str
    password: str = field(repr=False)
    readonly: bool
    schemas: tuple[str, ...]
    mark: str
    """What says that the user is ours, where the database can keep it."""

    @property
    def group(self) -> str:
        """The group role that it belongs to."""
        return READONLY if self.readonly else READWRITE


class Dialect(Protocol):
    """One engine's way. Both calls block and are idempotent."""

    def grant(self, login: Login, account: SqlAccount) -> None:
        """Make the user with exactly these rights, or change it to them."""
        ...

    def revoke(self, login: Login, account: SqlAccount) -> None:
        """End its sessions and drop it; what it made stays with the others."""
        ...


@contextmanager
def authorities_file(pem: str) -> Generator[str]:
    """Yield the path of a file with the authorities: libpq takes no text."""
    from botocore.httpsession import where

    if not pem:
        yield where()
        return
    with tempfile.NamedTemporaryFile("w", prefix="isthmus-", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        yield file.name
