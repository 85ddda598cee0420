"""Users in PostgreSQL and Aurora PostgreSQL.

All objects that bindings make belong to one group role, because a session of a readwrite user
begins as that role. So a second or a rotated credential sees the same tables, a readonly one sees
what will be made later, and dropping a user takes nothing along. The master is no superuser on RDS:
it makes itself a member of what it must reassign.
https://www.postgresql.org/docs/current/role-removal.html
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from isthmus.drivers.aws.credentials.database import (
    CONNECT_SECONDS,
    READONLY,
    READWRITE,
    RIGHTS,
    STATEMENT_SECONDS,
    Login,
    SqlAccount,
    authorities_file,
)
from isthmus.errors import Forbidden, InvalidSpec, IsthmusError, Unavailable

_LOCK: Final = 0x49735468  # Any number, the same for every Isthmus: one changes roles at a time.

Connection = psycopg.Connection[tuple[Any, ...]]


class PostgreSql:
    """See ``database.Dialect``."""

    def grant(self, login: Login, account: SqlAccount) -> None:
        """Make or change the user."""
        with connect(login) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            for group in (READWRITE, READONLY):
                _make_group(connection, group)
            _give_rights(connection, login.database, account.schemas)
            _make_user(connection, login.database, account)

    def revoke(self, login: Login, account: SqlAccount) -> None:
        """Lock it out first, so that no session comes while we end the open ones."""
        with connect(login) as connection:
            if not _is_ours(connection, account):
                return
            _run(connection, "ALTER ROLE {} NOLOGIN", account.name)
            _run(connection, "GRANT {} TO CURRENT_USER", account.name)
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE usename = %s AND pid <> pg_backend_pid()",
                (account.name,),
            )
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                _run(connection, "REASSIGN OWNED BY {} TO {}", account.name, READWRITE)
                _run(connection, "DROP OWNED BY {}", account.name)
                _run(connection, "DROP ROLE {}", account.name)


@contextmanager
def connect(login: Login) -> Generator[Connection]:
    """Log in with TLS that checks the server's name; the driver's errors become ours."""
    try:
        with (
            authorities_file(login.authorities) as authorities,
            psycopg.connect(
                host=login.host,
                port=login.port,
                dbname=login.database,
                user=login.username,
                password=login.password,
                sslmode="verify-full",
                sslrootcert=authorities,
                connect_timeout=CONNECT_SECONDS,
                options=f"-c statement_timeout={STATEMENT_SECONDS}s",
                client_encoding="utf8",
                application_name="isthmus",
                autocommit=True,
            ) as connection,
        ):
            yield connection
    except psycopg.Error as exc:
        raise translate(exc) from exc


def translate(exc: psycopg.Error) -> IsthmusError:
    """Return our error for one of the client library. A connection's text holds no password."""
    words = " ".join((exc.diag.message_primary or str(exc)).split())
    if isinstance(exc, psycopg.errors.InsufficientPrivilege):
        return Forbidden(f"The database's master user may not do this: {words}.")
    if not isinstance(exc, psycopg.OperationalError):
        return InvalidSpec(f"The database refused: {words}.")
    if "certificate" in words:
        return Forbidden(
            "The database's certificate is not trusted; check databaseCaBundle in the Provider's "
            "settings.",
            detail=words,
        )
    if "authentication failed" in words:
        return Unavailable("The database does not accept its master password now.", detail=words)
    return Unavailable("The database does not answer.", detail=words)


def _run(connection: Connection, statement: LiteralString, *names: str) -> None:
    """Execute a statement with quoted identifiers in place of ``{}``."""
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def _exists(connection: Connection, role: str) -> bool:
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    return found.fetchone() is not None


def _make_group(connection: Connection, group: str) -> None:
    if not _exists(connection, group):
        _run(connection, "CREATE ROLE {} NOLOGIN", group)
    _run(connection, "GRANT {} TO CURRENT_USER", group)


def _give_rights(connection: Connection, database: str, schemas: Sequence[str]) -> None:
    _run(connection, "GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {} TO {}", database, READWRITE)
    _run(connection, "GRANT CONNECT ON DATABASE {} TO {}", database, READONLY)
    for schema in schemas:
        _run(connection, "GRANT USAGE, CREATE ON SCHEMA {} TO {}", schema, READWRITE)
        _run(connection, "GRANT USAGE ON SCHEMA {} TO {}", schema, READONLY)
        _give_objects(connection, schema, "TABLES")
        _give_objects(connection, schema, "SEQUENCES")


def _give_objects(connection: Connection, schema: str, kind: LiteralString) -> None:
    """Give rights on what is there and on what the master or a binding makes later."""
    for rights, group in RIGHTS:
        _run_if_allowed(
            connection, f"GRANT {rights} ON ALL {kind} IN SCHEMA {{}} TO {{}}", schema, group
        )
        _run(
            connection,
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA {{}} GRANT {rights} ON {kind} TO {{}}",
            schema,
            group,
        )
    _run(
        connection,
        f"ALTER DEFAULT PRIVILEGES FOR ROLE {{}} IN SCHEMA {{}} GRANT SELECT ON {kind} TO {{}}",
        READWRITE,
        schema,
        READONLY,
    )


def _run_if_allowed(connection: Connection, statement: LiteralString, *names: str) -> None:
    """Execute what may touch objects of others; those are not ours to give."""
    try:
        with connection.transaction():
            _run(connection, statement, *names)
    except psycopg.errors.InsufficientPrivilege:
        return


def _make_user(connection: Connection, database: str, account: SqlAccount) -> None:
    # The verifier is made here: the password itself reaches neither the server nor its log.
    verifier = connection.pgconn.encrypt_password(
        account.password.encode(), account.name.encode(), b"scram-sha-256"
    ).decode()
    verb = "ALTER" if _exists(connection, account.name) else "CREATE"
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL(verb), sql.Identifier(account.name), sql.Literal(verifier)
        )
    )
    other = READWRITE if account.readonly else READONLY
    _run(connection, "REVOKE {} FROM {}", other, account.name)
    _run(connection, "GRANT {} TO {}", account.group, account.name)
    _run(
        connection,
        "ALTER ROLE {} IN DATABASE {} SET role TO {}",
        account.name,
        database,
        account.group,
    )
    connection.execute(
        sql.SQL("COMMENT ON ROLE {} IS {}").format(
            sql.Identifier(account.name), sql.Literal(account.mark)
        )
    )


def _is_ours(connection: Connection, account: SqlAccount) -> bool:
    """Tell whether the user is there; refuse one that does not bear our mark."""
    row = connection.execute(
        "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = %s",
        (account.name,),
    ).fetchone()
    if row is None:
        return False
    if row[0] != account.mark:
        raise Forbidden(f"Database user {account.name} does not bear our mark; we leave it alone.")
    return True
