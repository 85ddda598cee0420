"""A real MariaDB server behind Aurora MySQL, where the operating system has one.

MariaDB stands in for MySQL: the protocol, TLS, users and grants are the same for what a bound
credential needs; features of Aurora MySQL 3 beyond that are not claimed. Every server writes a
binary log from its first day on, so that a reader replicates by replaying it.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from pymysql.connections import Connection

_MASTER_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, "
    "SHOW DATABASES, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, "
    "CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER"
)


def binaries() -> tuple[Path, Path] | None:
    """The server and its installer, or None if MariaDB is not installed."""
    path = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"
    server = shutil.which("mariadbd") or shutil.which("mariadbd", path=path)
    installer = shutil.which("mariadb-install-db") or shutil.which("mariadb-install-db", path=path)
    return (Path(server), Path(installer)) if server and installer else None


class MariaServer(Server):
    """One MariaDB server over one folder."""

    def __init__(self, folder: Path, programs: tuple[Path, Path], settings: Settings) -> None:
        self.folder = folder
        self._server, self._installer = programs
        self._settings = settings
        self._data = folder / "data"
        self._log = folder / "server.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._host = ""

    def create(self) -> None:
        """Copy the initialised template; make it first if it is absent."""
        name = f"mariadb-{int(self._server.stat().st_mtime)}"
        initialised = template(self._settings.templates, name, self._initialise)
        self.folder.mkdir(mode=0o700)
        shutil.copytree(initialised, self._data)
        children.own(self.folder)

    def start(self, hosts: tuple[str, ...], follows: Server | None = None) -> None:
        """Serve; as a read-only replica when it follows somebody."""
        lock = self._data / "mariadbd.pid"
        children.end_predecessor(lock, self._data, signal.SIGTERM, START_SECONDS)
        self._host = hosts[0]
        first_time = not (self._data / "administrator.done").exists()
        self._child = children.start(
            self._command(hosts, follows, bootstrap=first_time),
            log=self._log,
            reaches=self._data,
            death_signal="TERM",
        )
        await_log_in(self, lambda: self._connect().close(), self._log)
        if first_time:
            (self._data / "bootstrap.sql").unlink()
            (self._data / "administrator.done").touch()
        with self._connect() as session, session.cursor() as cursor:
            cursor.execute("STOP SLAVE")
            if not isinstance(follows, MariaServer):
                cursor.execute("RESET SLAVE ALL")
                return
            # Its own log says what it has, whether it was the writer before, or a copy of it.
            cursor.execute("SET GLOBAL gtid_slave_pos = @@gtid_binlog_pos")
            cursor.execute(
                "CHANGE MASTER TO MASTER_HOST=%s, MASTER_PORT=%s, MASTER_USER=%s, "
                "MASTER_PASSWORD=%s, MASTER_SSL=1, MASTER_SSL_VERIFY_SERVER_CERT=0, "
                "MASTER_CONNECT_RETRY=1, MASTER_USE_GTID=slave_pos",
                (
                    follows._host,
                    self._settings.port,
                    ADMINISTRATOR,
                    self._settings.administrator_password,
                ),
            )
            cursor.execute("START SLAVE")

    def stop(self) -> None:
        """Clean shutdown."""
        if self._child is not None:
            children.stop(self._child, signal.SIGTERM)
            self._child = None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.poll() is None

    def set_master(self, login: Login) -> None:
        """Give the master user the rights that it has in RDS: all but those of a superuser."""
        with self._connect() as session, session.cursor() as cursor:
            user = (login.username, login.password)
            cursor.execute("CREATE USER IF NOT EXISTS %s@'%%' IDENTIFIED BY %s", user)
            cursor.execute("ALTER USER %s@'%%' IDENTIFIED BY %s", user)
            cursor.execute(
                f"GRANT {_MASTER_RIGHTS} ON *.* TO %s@'%%' WITH GRANT OPTION", (login.username,)
            )
            if login.database:
                name = login.database.replace("`", "``")
                cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}`")

    def clone(self, folder: Path) -> None:
        """Stop for a moment and copy: MariaDB's own hot backup is not part of the package."""
        was_running, host = self.running, self._host
        self.stop()
        folder.mkdir(mode=0o700)
        shutil.copytree(self._data, folder / "data")
        children.own(folder)
        if was_running:
            self.start((host,))

    def await_caught_up(self, writer: Server) -> None:
        """Return once this replica has applied what the writer has committed."""
        if not isinstance(writer, MariaServer):
            raise TypeError("a MariaDB replica follows a MariaDB server")
        position = writer._value("SELECT @@gtid_binlog_pos")
        if not position:
            return
        if self._value("SELECT MASTER_GTID_WAIT(%s, %s)", position, START_SECONDS) != "0":
            raise DatabaseFailed("the reader does not catch up with the writer")

    def _initialise(self, draft: Path) -> None:
        where = ["--no-defaults", f"--datadir={draft}"]
        what = ["--skip-test-db", "--auth-root-authentication-method=normal"]
        children.run([self._installer, *where, *what], reaches=draft)

    def _command(
        self, hosts: tuple[str, ...], follows: Server | None, *, bootstrap: bool
    ) -> list[str | Path]:
        settings = self._settings
        command: list[str | Path] = [
            self._server,
            "--no-defaults",
            f"--datadir={self._data}",
            f"--bind-address={','.join(hosts)}",
            f"--port={settings.port}",
            "--socket=",
            f"--pid-file={self._data / 'mariadbd.pid'}",
            f"--ssl-cert={settings.certificate}",
            f"--ssl-key={settings.key}",
            f"--require-secure-transport={'ON' if settings.force_tls else 'OFF'}",
            f"--server-id={1 + ord(self.folder.name[0]) - ord('a')}",
            f"--read-only={'OFF' if follows is None else 'ON'}",
            "--log-bin=binlog",
            "--log-slave-updates=ON",
            "--gtid-strict-mode=OFF",
            "--skip-name-resolve",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=8M",
            "--innodb-log-file-size=4M",
            "--innodb-flush-log-at-trx-commit=2",
            "--key-buffer-size=1M",
            "--max-connections=60",
        ]
        if bootstrap:
            command.append(f"--init-file={self._write_bootstrap()}")
        return command

    def _write_bootstrap(self) -> Path:
        """Rights that each server sets by itself, outside the replicated history."""
        password = self._settings.administrator_password
        script = self._data / "bootstrap.sql"
        script.touch(mode=0o600)
        script.write_text(
            "SET sql_log_bin=0;\n"
            "DROP USER IF EXISTS 'root'@'localhost';\n"
            "DELETE FROM mysql.global_priv WHERE User = '';\n"
            f"CREATE USER IF NOT EXISTS '{ADMINISTRATOR}'@'%' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON *.* TO '{ADMINISTRATOR}'@'%' WITH GRANT OPTION;\n"
            "FLUSH PRIVILEGES;\n"
        )
        children.own(script)
        return script

    def _connect(self) -> Connection[Any]:
        import ssl

        import pymysql

        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return pymysql.connect(
            host=self._host,
            port=self._settings.port,
            user=ADMINISTRATOR,
            password=self._settings.administrator_password,
            ssl=context,
            autocommit=True,
            connect_timeout=5,
        )

    def _value(self, question: str, *arguments: object) -> str:
        with self._connect() as session, session.cursor() as cursor:
            cursor.execute(question, arguments)
            row: tuple[Any, ...] | None = cursor.fetchone()
        return str(row[0]) if row else ""
