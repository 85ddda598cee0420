"""Users of databases by the aws driver: on the real PostgreSQL and MariaDB that the lab runs."""

import json
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import certifi
import psycopg
import pymysql
import pytest

from isthmus.drivers.aws import DRIVER
from isthmus.drivers.aws.credentials.sql_user import user_name
from isthmus.errors import Forbidden, InvalidSpec, Unavailable
from isthmus.ports import Connection, Grant
from tests.aws_lab import AwsAccount

SECONDS = 60.0
needs_mariadb = pytest.mark.skipif(
    shutil.which("mariadbd", path="/usr/sbin:/usr/bin:/usr/local/bin") is None,
    reason="no MariaDB here: apt-get install mariadb-server",
)


@dataclass(frozen=True)
class Cluster:
    """A database of the lab and how our grants name it."""

    lab: AwsAccount
    engine: str
    host: str
    port: int
    secret: str
    authorities: str

    def grant(self, name: str, grants: str = "readwrite", **spec: Any) -> Grant:
        own: dict[str, Any] = {
            "engine": self.engine,
            "host": self.host,
            "port": self.port,
            "database": "app",
            "admin": {"secretArn": self.secret},
            "grants": grants,
        }
        return self.lab.grant(name, **(own | spec))

    def master(self) -> dict[str, str]:
        client = self.lab.client("secretsmanager")
        return json.loads(client.get_secret_value(SecretId=self.secret)["SecretString"])


def make_cluster(lab: AwsAccount, engine: str, rds_engine: str, authorities: str) -> Cluster:
    rds, name = lab.client("rds"), f"c-{engine}"
    rds.create_db_cluster(
        DBClusterIdentifier=name,
        Engine=rds_engine,
        MasterUsername="adm",
        ManageMasterUserPassword=True,
        DatabaseName="app",
    )
    rds.create_db_instance(
        DBInstanceIdentifier=f"{name}-1",
        DBClusterIdentifier=name,
        Engine=rds_engine,
        DBInstanceClass="db.serverless",
    )
    deadline = monotonic() + SECONDS
    while True:
        found = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
        members = rds.describe_db_instances()["DBInstances"]
        states = {found["Status"], *(m["DBInstanceStatus"] for m in members)}
        if states == {"available"}:
            break
        assert monotonic() < deadline, states
        sleep(0.1)
    return Cluster(
        lab=lab,
        engine=engine,
        host=found["Endpoint"],
        port=found["Port"],
        secret=found["MasterUserSecret"]["SecretArn"],
        authorities=authorities,
    )


@pytest.fixture(scope="module")
def authorities(aws_module_lab: AwsAccount, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    file.write_text(aws_module_lab.endpoint().settings["databaseCaBundle"])
    return str(file)


@pytest.fixture(scope="module")
def postgres(aws_module_lab: AwsAccount, authorities: str) -> Cluster:
    return make_cluster(aws_module_lab, "postgresql", "aurora-postgresql", authorities)


@pytest.fixture(scope="module")
def mysql(aws_module_lab: AwsAccount, authorities: str) -> Cluster:
    return make_cluster(aws_module_lab, "mysql", "aurora-mysql", authorities)


@pytest.fixture
async def connection(aws_module_lab: AwsAccount) -> AsyncIterator[Connection]:
    async with DRIVER.open(aws_module_lab.endpoint()) as opened:
        yield opened


@contextmanager
def psql(cluster: Cluster, username: str, password: str):
    with psycopg.connect(
        host=cluster.host,
        port=cluster.port,
        user=username,
        password=password,
        dbname="app",
        sslmode="verify-full",
        sslrootcert=cluster.authorities,
        autocommit=True,
        connect_timeout=30,
    ) as session:
        yield session


def as_user(cluster: Cluster, values: Any):
    return psql(cluster, values["username"], values["password"])


async def test_a_postgresql_user_works_and_is_gone_after_the_revocation(connection, postgres):
    users = connection.credentials["sql-user"]
    request = postgres.grant("life")
    values = await users.grant(request)
    assert set(values) == {
        "username",
        "password",
        "host",
        "port",
        "database",
        "sslmode",
        "ca.crt",
    }
    assert "BEGIN CERTIFICATE" in values["ca.crt"]
    with as_user(postgres, values) as session:
        session.execute("CREATE TABLE life (n int)")
        session.execute("INSERT INTO life VALUES (1)")
        # An open session ends with the revocation.
        await users.revoke(request)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT * FROM life")
    with pytest.raises(psycopg.OperationalError), as_user(postgres, values):
        pass
    await users.revoke(request)
    with psql(postgres, **postgres.master()) as session:
        kept = session.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'life'")
        assert kept.fetchone() == ("isthmus_readwrite",)
        left = session.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (user_name(request),))
        assert left.fetchone() is None


async def test_granting_again_is_one_user_with_a_password_that_works(connection, postgres):
    users = connection.credentials["sql-user"]
    first = await users.grant(postgres.grant("again"))
    second = await users.grant(postgres.grant("again"))
    assert first["username"] == second["username"]
    with as_user(postgres, second) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(psycopg.OperationalError), as_user(postgres, first):
        pass


async def test_a_reader_sees_the_future_and_changes_nothing(connection, postgres):
    users = connection.credentials["sql-user"]
    writer = await users.grant(postgres.grant("writer"))
    reader = await users.grant(postgres.grant("reader", "readonly"))
    with as_user(postgres, writer) as session:
        session.execute("CREATE TABLE future (n int)")
        session.execute("INSERT INTO future VALUES (7)")
    with as_user(postgres, reader) as session:
        assert session.execute("SELECT n FROM future").fetchone() == (7,)
        for statement in ("INSERT INTO future VALUES (8)", "CREATE TABLE mine (n int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)


async def test_a_rotated_credential_goes_on_with_the_same_tables(connection, postgres):
    users = connection.credentials["sql-user"]
    old = await users.grant(postgres.grant("rotate-1"))
    with as_user(postgres, old) as session:
        session.execute("CREATE TABLE rotated (n int)")
    new = await users.grant(postgres.grant("rotate-2"))
    await users.revoke(postgres.grant("rotate-1"))
    with as_user(postgres, new) as session:
        session.execute("ALTER TABLE rotated ADD COLUMN m int")
        session.execute("DROP TABLE rotated")


async def test_a_user_without_our_mark_is_left_alone(connection, postgres):
    request = postgres.grant("foreign")
    with psql(postgres, **postgres.master()) as session:
        session.execute(f"CREATE ROLE {user_name(request)} LOGIN")
    with pytest.raises(Forbidden, match="does not bear our mark"):
        await connection.credentials["sql-user"].revoke(request)


async def test_of_a_database_that_is_gone_there_is_nothing_to_revoke(connection, postgres):
    """Its master's secret goes with it; as long as that is there, the database has to answer."""
    users = connection.credentials["sql-user"]
    nobody = {"secretArn": postgres.secret.replace("c-postgresql", "c-gone") + "x"}
    await users.revoke(postgres.grant("lost", host="gone.test", admin=nobody))
    with pytest.raises(Unavailable):
        await users.revoke(postgres.grant("silent", host="127.0.0.1", port=1))


@pytest.fixture(scope="session")
def strangers() -> str:
    """Authorities that everybody knows, and the lab's is not among them."""
    return Path(certifi.where()).read_text()


async def test_an_untrusted_certificate_is_refused(postgres, strangers):
    endpoint = postgres.lab.endpoint()
    settings = {**endpoint.settings, "databaseCaBundle": strangers}
    async with DRIVER.open(replace(endpoint, settings=settings)) as connection:
        with pytest.raises(Forbidden, match="certificate is not trusted"):
            await connection.credentials["sql-user"].grant(postgres.grant("untrusted"))


async def test_a_database_that_does_not_answer_is_asked_again(connection, postgres):
    request = postgres.grant("nobody", port=1)
    with pytest.raises(Unavailable, match="does not answer"):
        await connection.credentials["sql-user"].grant(request)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"engine": "oracle"}, "engine: write one of"),
        ({"host": ""}, "host: it is empty"),
        ({"admin": {}}, "secret by secretArn"),
        ({"grants": "everything"}, "grants: write readwrite or readonly"),
        ({"tls": {"ca": "none"}}, r"tls\.ca: write rds or system"),
        ({"engine": "redshift", "via": "pigeon"}, "via: write direct or data-api"),
    ],
)
async def test_a_wrong_specification_names_the_field(connection, postgres, change, words):
    with pytest.raises(InvalidSpec, match=words):
        await connection.credentials["sql-user"].grant(postgres.grant("wrong", **change))


async def test_redshift_statements_work_where_postgresql_stands_behind(connection, postgres):
    """Redshift's own server cannot be had; its statements are those that PostgreSQL knows too."""
    users = connection.credentials["sql-user"]
    warehouse = replace(postgres, engine="redshift")
    request = warehouse.grant("warehouse")
    await users.grant(request)
    values = await users.grant(request)
    reader = await users.grant(warehouse.grant("analyst", "readonly"))
    with as_user(postgres, values) as session:
        session.execute("CREATE TABLE facts (n int)")
    with as_user(postgres, reader) as session:
        assert session.execute("SELECT count(*) FROM facts").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("INSERT INTO facts VALUES (1)")
    await users.revoke(request)
    await users.revoke(request)
    with pytest.raises(psycopg.OperationalError), as_user(postgres, values):
        pass
    await users.revoke(warehouse.grant("analyst", "readonly"))


def my(cluster: Cluster, values: Any):
    return pymysql.connect(
        host=cluster.host,
        port=cluster.port,
        user=values["username"],
        password=values["password"],
        database="app",
        ssl=ssl.create_default_context(cafile=cluster.authorities),
        autocommit=True,
    )


@needs_mariadb
async def test_a_mysql_user_works_and_is_gone_after_the_revocation(connection, mysql):
    users = connection.credentials["sql-user"]
    request = mysql.grant("life")
    await users.grant(request)
    values = await users.grant(request)
    reader = await users.grant(mysql.grant("reader", "readonly"))
    with my(mysql, values) as session, session.cursor() as cursor:
        cursor.execute("CREATE TABLE t (n int)")
        cursor.execute("INSERT INTO t VALUES (1)")
        cursor.execute("CREATE VIEW v AS SELECT n FROM t")
    with my(mysql, reader) as session, session.cursor() as cursor:
        cursor.execute("SELECT n FROM v")
        assert cursor.fetchone() == (1,)
        with pytest.raises(pymysql.err.OperationalError, match="denied"):
            cursor.execute("INSERT INTO t VALUES (2)")
    await users.revoke(request)
    await users.revoke(request)
    with pytest.raises(pymysql.err.OperationalError):
        my(mysql, values)
    with my(mysql, reader) as session, session.cursor() as cursor:
        cursor.execute("SELECT n FROM v")  # The view has outlived who made it.
