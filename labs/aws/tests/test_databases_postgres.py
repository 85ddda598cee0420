"""A cluster of the lab is a real PostgreSQL: log-ins, TLS, replica, failover, restart."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from isthmus_lab_aws.databases import children
from isthmus_lab_aws.databases.certificates import Authority
from isthmus_lab_aws.databases.cluster import DatabaseCluster, State
from isthmus_lab_aws.databases.registry import Databases, NewCluster
from isthmus_lab_aws.databases.server import DatabaseFailed, Login

MASTER = Login("adm", 'it\'s a "secret"', "app")


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    made = Databases(tmp_path_factory.mktemp("databases"))
    if absent := made.missing("postgresql", "16.4"):
        pytest.skip(absent)
    yield made
    for key in made.health():
        made.delete(key)
    made.close()


@pytest.fixture
def cluster(databases: Databases, request: pytest.FixtureRequest) -> Iterator[DatabaseCluster]:
    key = request.node.name
    yield databases.create(key, NewCluster("postgresql", "16.4", MASTER))
    databases.delete(key)


def log_in(
    databases: Databases, cluster: DatabaseCluster, host: str = "localhost", **changes: str
) -> psycopg.Connection:
    settings = {
        "user": MASTER.username,
        "password": MASTER.password,
        "dbname": "app",
        "sslmode": "verify-full",
        "sslrootcert": str(databases.certificate_authority),
        **changes,
    }
    return psycopg.connect(
        host=host, port=cluster.endpoint.port, autocommit=True, connect_timeout=5, **settings
    )


def numbers(databases: Databases, cluster: DatabaseCluster, host: str) -> list[int]:
    with log_in(databases, cluster, host) as session:
        return [row[0] for row in session.execute("SELECT n FROM t ORDER BY n")]


def test_a_master_that_was_half_made_when_the_lab_was_killed_is_made_whole(
    databases, cluster
) -> None:
    with log_in(databases, cluster, dbname="postgres") as session:
        session.execute("DROP DATABASE app")
    cluster.set_password(MASTER)
    log_in(databases, cluster).close()


def test_master_logs_in_with_full_verification_and_is_no_superuser(databases, cluster) -> None:
    with log_in(databases, cluster) as session:
        session.execute("CREATE ROLE app LOGIN PASSWORD 'x'")
        session.execute("GRANT app TO adm")
        session.execute("CREATE SCHEMA mine AUTHORIZATION app")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("COPY (SELECT 1) TO PROGRAM 'cat'")


@pytest.mark.parametrize("replicated", [False, True])
def test_a_cluster_with_an_address_that_is_taken_does_not_count_as_running(
    databases, cluster, replicated: bool
) -> None:
    where = cluster.endpoint
    if replicated:
        cluster.add_replica()
    cluster.stop()
    with socket.create_server((where.reader_host if replicated else where.host, where.port)):
        with pytest.raises(DatabaseFailed, match="cannot listen"):
            cluster.start()
        assert not cluster.running
    cluster.start()
    log_in(databases, cluster).close()
    log_in(databases, cluster, where.reader_host).close()


def test_a_restart_leaves_alone_what_is_just_being_made(tmp_path) -> None:
    state = State("postgresql", "16.4", children.free_port(("127.0.0.1",)))
    claimed = DatabaseCluster(tmp_path / "claimed", state, Authority(tmp_path), "secret")
    claimed.resume()
    assert not (tmp_path / "claimed").exists()


def test_wrong_password_and_missing_tls_are_refused(databases, cluster) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        log_in(databases, cluster, password="wrong")
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        log_in(databases, cluster, sslmode="disable")


def test_without_forced_tls_a_plain_session_is_served(databases, cluster) -> None:
    cluster.set_force_tls(False)
    with log_in(databases, cluster, sslmode="disable") as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_replica_is_read_only_and_becomes_writer_at_failover(databases, cluster) -> None:
    reader = cluster.endpoint.reader_host
    with log_in(databases, cluster) as session:
        session.execute("CREATE TABLE t (n int)")
        session.execute("INSERT INTO t VALUES (1)")
    with log_in(databases, cluster, reader) as session:
        session.execute("INSERT INTO t VALUES (2)")  # no replica yet: the writer answers
    cluster.add_replica()
    assert numbers(databases, cluster, reader) == [1, 2]
    with (
        log_in(databases, cluster, reader) as session,
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
    ):
        session.execute("INSERT INTO t VALUES (3)")
    for n in (3, 4):
        cluster.fail_over()
        with log_in(databases, cluster) as session:
            session.execute("INSERT INTO t VALUES (%s)", [n])
    assert numbers(databases, cluster, "localhost") == [1, 2, 3, 4]
    cluster.remove_replica()
    assert numbers(databases, cluster, reader) == [1, 2, 3, 4]
    with pytest.raises(DatabaseFailed, match="reader"):
        cluster.fail_over()


def test_changed_master_password_is_the_only_one_accepted(databases, cluster) -> None:
    cluster.add_replica()
    cluster.set_password(Login(MASTER.username, "new"))
    for host in ("localhost", cluster.endpoint.reader_host):
        log_in(databases, cluster, host, password="new").close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            log_in(databases, cluster, host)


def test_stopped_cluster_refuses_log_ins_until_started(databases, cluster) -> None:
    session = log_in(databases, cluster)
    cluster.stop()
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    session.close()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        log_in(databases, cluster)
    cluster.start()
    log_in(databases, cluster).close()


def test_snapshot_holds_the_data_of_its_moment(databases, cluster, request) -> None:
    with log_in(databases, cluster) as session:
        session.execute("CREATE TABLE t (n int)")
        session.execute("INSERT INTO t VALUES (1)")
        databases.snapshot(request.node.name, "moment")
        session.execute("INSERT INTO t VALUES (2)")
    restored = databases.restore("restored", "moment", NewCluster("postgresql", "16.4", MASTER))
    assert numbers(databases, restored, "localhost") == [1]
    databases.delete("restored")
    databases.delete_snapshot("moment")


def test_deleted_cluster_leaves_no_folder(databases) -> None:
    made = databases.create("gone", NewCluster("postgresql", "17.4", MASTER))
    assert made.folder.exists()
    databases.delete("gone")
    assert not made.folder.exists()
    assert databases.find("gone") is None


KILLED_LAB = """
import os, pathlib, signal, sys
from isthmus_lab_aws.databases.registry import Databases, NewCluster
from isthmus_lab_aws.databases.server import Login
made = Databases(pathlib.Path(sys.argv[1])).create(
    "kept", NewCluster("postgresql", "16.4", Login("adm", "secret", "app")))
made.set_password(Login("adm", "changed"))
print(made.endpoint.port, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_lab_leaves_no_process_and_its_data_come_back(tmp_path: Path) -> None:
    died = subprocess.run(
        [sys.executable, "-c", KILLED_LAB, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/usr/sbin"},
    )
    assert died.returncode == -9, died.stderr
    deadline = time.monotonic() + 20
    while processes_of(tmp_path):
        assert time.monotonic() < deadline, "a server outlives its lab"
        time.sleep(0.05)
    databases = Databases(tmp_path)
    databases.resume()
    kept = databases.find("kept")
    assert kept is not None
    assert kept.endpoint.port == int(died.stdout)
    log_in(databases, kept, password="changed").close()
    databases.delete("kept")
    databases.close()


def processes_of(folder: Path) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes()
        except OSError:
            continue
        if str(folder / "clusters").encode() in command:
            found.append(entry.parent.name)
    return found
