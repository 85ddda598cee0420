"""Behind Aurora MySQL stands a real MariaDB, where the operating system has one."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pymysql
import pytest

from isthmus_lab_aws.databases.cluster import DatabaseCluster
from isthmus_lab_aws.databases.registry import Databases, NewCluster
from isthmus_lab_aws.databases.server import Login

pytestmark = pytest.mark.labs
MASTER = Login("adm", 'it\'s a "secret"', "app")


@pytest.fixture
def databases(tmp_path) -> Iterator[Databases]:
    made = Databases(tmp_path)
    if absent := made.missing("mysql", "8.0"):
        made.close()
        pytest.skip(absent)
    yield made
    for key in made.health():
        made.delete(key)
    made.close()


def log_in(databases: Databases, cluster: DatabaseCluster, host: str, password=MASTER.password):
    trust = ssl.create_default_context(cafile=str(databases.certificate_authority))
    return pymysql.connect(
        host=host,
        port=cluster.endpoint.port,
        user=MASTER.username,
        password=password,
        database="app",
        ssl=trust,
        autocommit=True,
        connect_timeout=5,
    )


def execute(databases: Databases, cluster: DatabaseCluster, host: str, *statements: str):
    with log_in(databases, cluster, host) as session, session.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return [row[0] for row in cursor.fetchall()]


def test_life_of_a_mysql_cluster(databases: Databases) -> None:
    cluster = databases.create("my", NewCluster("mysql", "8.0", MASTER))
    writer, reader = cluster.endpoint.host, cluster.endpoint.reader_host
    execute(
        databases,
        cluster,
        writer,
        "CREATE TABLE t (n int)",
        "INSERT INTO t VALUES (1)",
        "CREATE USER app IDENTIFIED BY 'x' REQUIRE SSL",
        "GRANT SELECT ON app.* TO app",
    )
    cluster.add_replica()
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        execute(databases, cluster, reader, "INSERT INTO t VALUES (9)")
    for n in (2, 3):
        cluster.fail_over()
        execute(databases, cluster, writer, f"INSERT INTO t VALUES ({n})")
    cluster.set_password(Login(MASTER.username, "new"))
    with pytest.raises(pymysql.err.OperationalError, match="Access denied"):
        log_in(databases, cluster, writer)
    log_in(databases, cluster, reader, "new").close()
    cluster.set_password(MASTER)
    assert execute(databases, cluster, reader, "SELECT n FROM t ORDER BY n") == [1, 2, 3]

    databases.snapshot("my", "moment")
    restored = databases.restore("again", "moment", NewCluster("mysql", "8.0", MASTER))
    assert execute(databases, restored, writer, "SELECT count(*) FROM t") == [3]

    cluster.stop()
    with pytest.raises(pymysql.err.OperationalError):
        log_in(databases, cluster, writer)
    cluster.start()
    log_in(databases, cluster, writer).close()
