"""Which real database stands behind a cluster of the lab, and how it follows the cluster's record.

RDS, Redshift and Redshift Serverless keep records; a record says what its database should be
(`Wanted`), and `follow` makes it so: idempotently, from any state, also after a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from isthmus_lab_aws import lab
from isthmus_lab_aws.databases.cluster import DatabaseCluster, Endpoint
from isthmus_lab_aws.databases.registry import Databases, NewCluster
from isthmus_lab_aws.databases.server import DatabaseFailed, Login
from isthmus_lab_aws.resource import Place, ResourceFailure


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a record wants of its database.

    Attributes:
        key: the database's name in the lab (`key_of`).
        engine: `postgresql` or `mysql`.
        version: engine version, such as `16.4`.
        login: the master user; its database is made with the cluster.
        running: false for a stopped or paused cluster.
        writer: the member that writes; a change of it is a failover.
        replicated: whether readers have a server of their own.
        force_tls: whether log-ins without TLS are refused.
        snapshot: key of the snapshot that a new database starts from, or "".
        port: the port that a new database must have, on addresses of its own; 0 for any.
    """

    key: str
    engine: str
    version: str
    login: Login
    running: bool = True
    writer: str = ""
    replicated: bool = False
    force_tls: bool = True
    snapshot: str = ""
    port: int = 0


_databases: list[Databases] = []
_lock = threading.RLock()
_writers: dict[str, str] = {}
_passwords: dict[str, str] = {}
_absent: dict[str, str] = {}


def databases() -> Databases:
    """The databases of this lab, opened at the first use."""
    with _lock:
        root = lab.current().state / "databases"
        if not _databases or _databases[0].root != root:
            _databases[:] = [Databases(root)]
        return _databases[0]


def key_of(service: str, place: Place, name: str) -> str:
    """The name of a cluster's or a snapshot's database in the lab."""
    return f"{service}-{place.account}-{place.region}-{name.lower()}"


def follow(wanted: Wanted) -> Endpoint | None:
    """Make the database what is wanted; the endpoint, or None if no real one can exist here."""
    absent = databases().missing(wanted.engine, wanted.version)
    if absent:
        _absent[wanted.key] = absent
        return None
    with _lock_of(wanted.key):
        cluster = databases().find(wanted.key) or _make(wanted)
        cluster.set_force_tls(wanted.force_tls)
        if not wanted.running:
            if cluster.running:
                cluster.stop()
            return cluster.endpoint
        if not cluster.running:
            cluster.start()
        _set_members(cluster, wanted)
        if _passwords.get(wanted.key) != wanted.login.password:
            cluster.set_password(wanted.login)
            _passwords[wanted.key] = wanted.login.password
        return cluster.endpoint


def forget(key: str) -> None:
    """Remove a database with its data."""
    with _lock_of(key):
        databases().delete(key)
        for memory in (_writers, _passwords, _absent):
            memory.pop(key, None)


def retain(prefix: str, known: Callable[[], set[str]]) -> None:
    """Remove each database of a service (its keys begin with `prefix`) that no record knows.

    `known` is asked for each, for an interrupted stack may be making records meanwhile.
    """
    for key in databases().health():
        if not key.startswith(f"{prefix.rstrip('-')}-") or key in known():
            continue
        with _lock_of(key):  # Its record may just have been made, and the database been found.
            if key not in known():
                forget(key)


def reboot(key: str) -> None:
    """Restart the servers of a cluster, if it has any."""
    found = databases().find(key)
    if found is not None and found.running:
        found.reboot()


def take_snapshot(key: str, snapshot: str) -> None:
    """Copy a cluster's data, if there is a real database behind it."""
    if databases().find(key) is not None:
        databases().snapshot(key, snapshot)


def drop_snapshot(snapshot: str) -> None:
    """Remove a snapshot's data."""
    databases().delete_snapshot(snapshot)


def health() -> Mapping[str, object]:
    """What stands behind each cluster, and why nothing does where nothing does."""
    running = {key: f"real database, {state}" for key, state in databases().health().items()}
    absent = {key: f"no real database: {why}" for key, why in sorted(_absent.items())}
    return {
        "certificateAuthority": str(databases().certificate_authority),
        "clusters": {**running, **absent},
    }


def stop() -> None:
    """End all servers, as the lab ends."""
    with _lock:
        for opened in _databases:
            opened.close()


@contextmanager
def failures() -> Generator[None]:
    """Turn a database that does not do its work into the failure of its resource."""
    try:
        yield
    except DatabaseFailed as failure:
        raise ResourceFailure(f"Database: {failure}") from failure


_locks: dict[str, threading.RLock] = {}


def _lock_of(key: str) -> threading.RLock:
    with _lock:
        return _locks.setdefault(key, threading.RLock())


def _make(wanted: Wanted) -> DatabaseCluster:
    new = NewCluster(wanted.engine, wanted.version, wanted.login, wanted.port, wanted.force_tls)
    if wanted.snapshot:
        return databases().restore(wanted.key, wanted.snapshot, new)
    _passwords[wanted.key] = wanted.login.password
    return databases().create(wanted.key, new)


def _set_members(cluster: DatabaseCluster, wanted: Wanted) -> None:
    if wanted.replicated:
        cluster.add_replica()
    before = _writers.setdefault(wanted.key, wanted.writer)
    if wanted.writer != before:
        if cluster.replicated and before:
            cluster.fail_over()
        _writers[wanted.key] = wanted.writer
    if not wanted.replicated:
        cluster.remove_replica()
