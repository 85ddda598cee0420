"""Users in MySQL, MariaDB and Aurora MySQL.

Objects have no owner there: dropping a user leaves tables alone. Views that name it as DEFINER
would break and are given to the master; stored routines and triggers cannot be, and keep the name.
https://dev.mysql.com/doc/refman/8.4/en/drop-user.html
"""

import ssl
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, cast

import pymysql
from pymysql.connections import Connection
from pymysql.err import MySQLError, OperationalError

from isthmus.drivers.aws.credentials.database import (
    CONNECT_SECONDS,
    STATEMENT_SECONDS,
    Login,
    SqlAccount,
    authorities_file,
)
from isthmus.errors import Forbidden, InvalidSpec, IsthmusError, Unavailable

_READWRITE: Final = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, INDEX, ALTER, REFERENCES, LOCK TABLES, "
    "CREATE TEMPORARY TABLES, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, "
    "TRIGGER, EVENT"
)
_READONLY: Final = "SELECT, SHOW VIEW"
_NO_SUCH_THREAD: Final = 1094
_DENIED: Final = frozenset({1044, 1095, 1142, 1227})
_LOGIN_REFUSED: Final = 1045


class MySql:
    """See ``database.Dialect``."""

    def grant(self, login: Login, account: SqlAccount) -> None:
        """Make or change the user; it must use TLS."""
        rights = _READONLY if account.readonly else _READWRITE
        with connect(login) as connection, connection.cursor() as cursor:
            user = (account.name, account.password)
            cursor.execute("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s REQUIRE SSL", user)
            cursor.execute("ALTER USER %s@'%%' IDENTIFIED BY %s REQUIRE SSL", user)
            cursor.execute("REVOKE ALL PRIVILEGES, GRANT OPTION FROM %s@'%%'", (account.name,))
            where = _pattern(login.database)
            cursor.execute(f"GRANT {rights} ON {where}.* TO %s@'%%'", (account.name,))

    def revoke(self, login: Login, account: SqlAccount) -> None:
        """Lock it out, end its sessions, drop it."""
        with connect(login) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM mysql.user WHERE user = %s", (account.name,))
            if cursor.fetchone() is None:
                return
            cursor.execute("ALTER USER %s@'%%' ACCOUNT LOCK", (account.name,))
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE user = %s", (account.name,)
            )
            for (session,) in cast("tuple[tuple[int], ...]", cursor.fetchall()):
                _end(cursor, session)
            _take_views(cursor, account)
            cursor.execute("DROP USER IF EXISTS %s@'%%'", (account.name,))


@contextmanager
def connect(login: Login) -> Generator["Connection[Any]"]:
    """Log in with TLS that checks the server's name; the driver's errors become ours."""
    try:
        with authorities_file(login.authorities) as authorities:
            context = ssl.create_default_context(cafile=authorities)
            connection = pymysql.connect(
                host=login.host,
                port=login.port,
                user=login.username,
                password=login.password,
                database=login.database,
                ssl=context,
                connect_timeout=CONNECT_SECONDS,
                read_timeout=STATEMENT_SECONDS,
                write_timeout=STATEMENT_SECONDS,
                autocommit=True,
            )
        with connection:
            yield connection
    except (MySQLError, ssl.SSLError, OSError) as exc:
        raise translate(exc) from exc


def translate(exc: Exception) -> IsthmusError:
    """Return our error for one of the client library, without the statement."""
    code = _code(exc)
    words = str(exc.args[1]) if len(exc.args) > 1 else type(exc).__name__
    if "certificate" in words or isinstance(exc, ssl.SSLError):
        return Forbidden(
            "The database's certificate is not trusted; check databaseCaBundle in the Provider's "
            "settings.",
            detail=words,
        )
    if code == _LOGIN_REFUSED:
        return Unavailable("The database does not accept its master password now.", detail=words)
    if code in _DENIED:
        return Forbidden("The database's master user may not do this.", detail=words)
    if isinstance(exc, OperationalError | OSError):
        return Unavailable("The database does not answer.", detail=words)
    return InvalidSpec("The database refused.", detail=words)


def _code(exc: Exception) -> int:
    return exc.args[0] if exc.args and isinstance(exc.args[0], int) else 0


def _pattern(database: str) -> str:
    """Quote a database's name for GRANT, where ``_`` and ``%`` are wildcards."""
    plain = database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    # Percent signs are doubled for the client library, which fills in arguments by ``%``.
    return f"`{plain.replace('`', '``')}`".replace("%", "%%")


def _identifier(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _end(cursor: Any, session: int) -> None:
    """End a session; on RDS the master does it by a procedure."""
    try:
        cursor.execute("KILL %s", (session,))
    except MySQLError as exc:
        if _code(exc) == _NO_SUCH_THREAD:
            return
        if _code(exc) not in _DENIED:
            raise
        cursor.execute("CALL mysql.rds_kill(%s)", (session,))


def _take_views(cursor: Any, account: SqlAccount) -> None:
    cursor.execute(
        "SELECT table_schema, table_name, security_type, view_definition "
        "FROM information_schema.views WHERE definer = %s",
        (f"{account.name}@%",),
    )
    for schema, name, security, definition in cursor.fetchall():
        view = f"{_identifier(schema)}.{_identifier(name)}"
        cursor.execute(
            f"ALTER DEFINER = CURRENT_USER SQL SECURITY {security} VIEW {view} AS {definition}"
        )
