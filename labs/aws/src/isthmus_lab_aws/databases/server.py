"""What one database server process can do, whichever engine it is.

`PostgresServer` and `MariaServer` keep this promise; `DatabaseCluster` makes a writer and a reader
of two of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

START_SECONDS = 30.0
"""How long a server may take until it answers, or until its killed predecessor has ended."""

ADMINISTRATOR = "rdsadmin"
"""The lab's own superuser in each database; as in RDS, nobody else is one."""


class DatabaseFailed(RuntimeError):
    """A database server could not do what it was asked to; the message says what and why."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What every server of a cluster has in common.

    Attributes:
        port: TCP port, equal for writer and reader.
        administrator_password: the password of `ADMINISTRATOR`.
        certificate: server certificate (PEM file).
        key: its key (PEM file, readable by the server's user only).
        force_tls: whether log-ins without TLS are refused.
        templates: folder of the initialised databases that new ones are copied from.
    """

    port: int
    administrator_password: str
    certificate: Path
    key: Path
    force_tls: bool
    templates: Path


@dataclass(frozen=True, slots=True)
class Login:
    """A database user with its password, and a database that it owns ("" for none)."""

    username: str
    password: str
    database: str = ""
    superuser: bool = False
    """Redshift's administrator is one, RDS' is not."""


class Server(Protocol):
    """One server process over one folder of data. All calls block; callers use threads."""

    folder: Path

    def create(self) -> None:
        """Make an empty database in the folder."""
        ...

    def start(self, hosts: tuple[str, ...], follows: Server | None = None) -> None:
        """Serve on these addresses; with `follows`, read-only, as a replica of that server.

        Raises:
            DatabaseFailed: it does not answer within its time.
        """
        ...

    def stop(self) -> None:
        """End the process cleanly; open sessions are cut."""
        ...

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        ...

    def set_master(self, login: Login) -> None:
        """Create the master user if there is none, give it this password, make its database."""
        ...

    def clone(self, folder: Path) -> None:
        """Copy the data to a new folder, consistently; the server may be interrupted for it."""
        ...

    def await_caught_up(self, writer: Server) -> None:
        """On a replica: return once it has all that the writer has committed."""
        ...


def await_log_in(server: Server, log_in: Callable[[], None], log: Path) -> None:
    """Return once `log_in` (one attempt, on a connection of its own) succeeds.

    Raises:
        DatabaseFailed: the server ended or took too long; with the last lines of its log.
    """
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return log_in()
        except Exception as not_yet:
            if not server.running or time.monotonic() > deadline:
                server.stop()
                tail = log.read_text(errors="replace").splitlines()[-5:]
                raise DatabaseFailed(
                    "the database does not start: " + " / ".join(tail)
                ) from not_yet
        time.sleep(0.02)
