"""Users in Amazon Redshift, by a connection or, without a way into its network, by its Data API.

Redshift speaks an old PostgreSQL dialect: groups instead of roles, no REASSIGN OWNED, no
transactions around users. Only statements that Redshift and PostgreSQL both know are used.
https://docs.aws.amazon.com/redshift/latest/dg/r_DROP_USER.html
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, LiteralString, cast

from psycopg import sql

from isthmus.api.meta import Json
from isthmus.drivers.aws.credentials.database import (
    READONLY,
    READWRITE,
    RIGHTS,
    STATEMENT_SECONDS,
    Dialect,
    Login,
    SqlAccount,
)
from isthmus.drivers.aws.credentials.postgresql import connect
from isthmus.drivers.aws.errors import clean
from isthmus.drivers.aws.session import Aws
from isthmus.errors import InvalidSpec, Unavailable

Rows = list[tuple[Any, ...]]
Run = Callable[[str], Rows]
"""Runs one statement and returns its rows."""
_POLL_SECONDS = 0.25


def dialect(aws: Aws, spec: Json) -> Dialect:
    """Return the way that the offering asks for: ``via: direct`` or ``data-api``."""
    via = str(spec.get("via") or "direct")
    if via == "direct":
        return Redshift(_direct)
    if via == "data-api":
        return Redshift(_data_api(aws, spec))
    raise InvalidSpec("credentials.spec.via: write direct or data-api.")


class Redshift:
    """See ``database.Dialect``."""

    def __init__(self, session: Callable[[Login], AbstractContextManager[Run]]) -> None:
        self._session = session

    def grant(self, login: Login, account: SqlAccount) -> None:
        """Make or change the user, and keep what it will make open to the group."""
        with self._session(login) as run:
            for group in (READWRITE, READONLY):
                if not run(_q("SELECT 1 FROM pg_group WHERE groname = {}", text=(group,))):
                    run(_q("CREATE GROUP {}", group))
            _group_rights(run, login.database, account.schemas)
            known = _exists(run, account)
            statement: LiteralString = _ALTER_USER if known else _CREATE_USER
            run(_q(statement, account.name, text=(account.password,)))
            if not _is_redshift(run):
                # Redshift's master is a superuser; where PostgreSQL stands in for it, it is none.
                run(_q("GRANT {} TO CURRENT_USER", account.name))
            _move(run, account)
            for schema in account.schemas:
                _future(run, account, schema, "GRANT", "TO")

    def revoke(self, login: Login, account: SqlAccount) -> None:
        """Let its password expire, end its sessions, take over what it made, drop it."""
        with self._session(login) as run:
            if not _exists(run, account):
                return
            run(_q("ALTER USER {} VALID UNTIL '1970-01-01'", account.name))
            _end_sessions(run, account)
            for schema in account.schemas:
                _future(run, account, schema, "REVOKE", "FROM")
            for schema, table in run(_q(_TABLES, text=(account.name,))):
                run(_q("ALTER TABLE {}.{} OWNER TO {}", schema, table, login.username))
            for (schema,) in run(_q(_SCHEMAS, text=(account.name,))):
                run(_q("ALTER SCHEMA {} OWNER TO {}", schema, login.username))
            run(_q("ALTER GROUP {} DROP USER {}", account.group, account.name))
            run(_q("DROP USER {}", account.name))


_CREATE_USER = "CREATE USER {} PASSWORD {} VALID UNTIL 'infinity'"
_ALTER_USER = "ALTER USER {} PASSWORD {} VALID UNTIL 'infinity'"
_TABLES = (
    "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "JOIN pg_user u ON u.usesysid = c.relowner WHERE c.relkind IN ('r', 'v') AND u.usename = {}"
)
_MEMBER = (
    "SELECT 1 FROM pg_group g, pg_user u WHERE u.usesysid = ANY (g.grolist) "
    "AND g.groname = {} AND u.usename = {}"
)
_SCHEMAS = (
    "SELECT n.nspname FROM pg_namespace n JOIN pg_user u ON u.usesysid = n.nspowner "
    "WHERE u.usename = {}"
)


def _q(statement: LiteralString, *names: str, text: Sequence[str] = ()) -> str:
    """Fill identifiers, then texts, into ``{}``, quoted."""
    parts = [*map(sql.Identifier, names), *map(sql.Literal, text)]
    return sql.SQL(statement).format(*parts).as_string(None)


def _is_redshift(run: Run) -> bool:
    return "Redshift" in str(run("SELECT version()")[0][0])


def _exists(run: Run, account: SqlAccount) -> bool:
    return bool(run(_q("SELECT 1 FROM pg_user WHERE usename = {}", text=(account.name,))))


def _group_rights(run: Run, database: str, schemas: Sequence[str]) -> None:
    run(_q("GRANT CREATE, TEMPORARY ON DATABASE {} TO GROUP {}", database, READWRITE))
    for schema in schemas:
        run(_q("GRANT USAGE, CREATE ON SCHEMA {} TO GROUP {}", schema, READWRITE))
        run(_q("GRANT USAGE ON SCHEMA {} TO GROUP {}", schema, READONLY))
        run(_q("GRANT ALL ON ALL TABLES IN SCHEMA {} TO GROUP {}", schema, READWRITE))
        run(_q("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO GROUP {}", schema, READONLY))


def _move(run: Run, account: SqlAccount) -> None:
    """Put the user into its group and out of the other."""
    other = READWRITE if account.readonly else READONLY
    if _is_member(run, other, account):
        run(_q("ALTER GROUP {} DROP USER {}", other, account.name))
    if not _is_member(run, account.group, account):
        run(_q("ALTER GROUP {} ADD USER {}", account.group, account.name))


def _is_member(run: Run, group: str, account: SqlAccount) -> bool:
    return bool(run(_q(_MEMBER, text=(group, account.name))))


def _future(
    run: Run, account: SqlAccount, schema: str, verb: LiteralString, to: LiteralString
) -> None:
    """Give the groups their rights on what the user makes later, or take them back."""
    for rights, group in RIGHTS:
        statement = (
            f"ALTER DEFAULT PRIVILEGES FOR USER {{}} IN SCHEMA {{}} {verb} {rights} ON TABLES "
            f"{to} GROUP {{}}"
        )
        run(_q(statement, account.name, schema, group))


def _end_sessions(run: Run, account: SqlAccount) -> None:
    sessions: LiteralString = (
        "SELECT process FROM stv_sessions WHERE user_name = {}"
        if _is_redshift(run)
        else "SELECT pid FROM pg_stat_activity WHERE usename = {}"
    )
    for (pid,) in run(_q(sessions, text=(account.name,))):
        run(f"SELECT pg_terminate_backend({int(pid)})")


@contextmanager
def _direct(login: Login) -> Generator[Run]:
    with connect(login) as connection:

        def run(statement: str) -> Rows:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description is not None else []

        yield run


def _data_api(aws: Aws, spec: Json) -> Callable[[Login], AbstractContextManager[Run]]:
    """Return sessions of https://docs.aws.amazon.com/redshift/latest/mgmt/data-api.html."""
    admin = cast("Json", spec.get("admin") or {})
    target: Json = {"SecretArn": str(admin.get("secretArn") or "")}
    if spec.get("cluster"):
        target["ClusterIdentifier"] = str(spec["cluster"])
    elif spec.get("workgroup"):
        target["WorkgroupName"] = str(spec["workgroup"])
    else:
        raise InvalidSpec("credentials.spec: via data-api needs `cluster` or `workgroup`.")

    @contextmanager
    def session(login: Login) -> Generator[Run]:
        def run(statement: str) -> Rows:
            arguments = target | {"Database": login.database, "Sql": statement}
            started = aws.call_now("redshift-data", "execute_statement", arguments)
            return _wait(aws, str(started["Id"]))

        yield run

    return session


def _wait(aws: Aws, statement_id: str) -> Rows:
    deadline = time.monotonic() + STATEMENT_SECONDS
    while time.monotonic() < deadline:
        state = aws.call_now("redshift-data", "describe_statement", {"Id": statement_id})
        if state["Status"] == "FINISHED":
            return _rows(aws, statement_id) if state.get("HasResultSet") else []
        if state["Status"] in ("FAILED", "ABORTED"):
            raise InvalidSpec(f"Redshift refused: {clean(str(state.get('Error', '')))}.")
        time.sleep(_POLL_SECONDS)
    raise Unavailable("Redshift's Data API takes long.")


def _rows(aws: Aws, statement_id: str) -> Rows:
    answer = aws.call_now("redshift-data", "get_statement_result", {"Id": statement_id})
    records = cast("list[list[Json]]", answer.get("Records", []))
    return [tuple(next(iter(cell.values()), None) for cell in row) for row in records]
