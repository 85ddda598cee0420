"""Aurora through stacks and through RDS' API: a real database follows each cluster."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

PASSWORD = "Passw0rd-of-a-test"


def cluster(name: str, readers: int = 0, **properties: Any) -> dict[str, Any]:
    resources: dict[str, Any] = {
        "Cluster": {
            "Type": "AWS::RDS::DBCluster",
            "DeletionPolicy": "Delete",
            "UpdateReplacePolicy": "Snapshot",
            "Properties": {
                "DBClusterIdentifier": name,
                "Engine": "aurora-postgresql",
                "EngineVersion": "16.8",
                "MasterUsername": "adm",
                "ManageMasterUserPassword": True,
                "DatabaseName": "app",
                "StorageEncrypted": True,
                "BackupRetentionPeriod": 7,
                "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 2},
                **properties,
            },
        }
    }
    for number in range(readers + 1):
        resources[f"Instance{number}"] = {
            "Type": "AWS::RDS::DBInstance",
            "Properties": {
                "Engine": "aurora-postgresql",
                "DBInstanceClass": "db.serverless",
                "DBClusterIdentifier": {"Ref": "Cluster"},
            },
        }
    outputs = {
        "Host": "Endpoint.Address",
        "Port": "Endpoint.Port",
        "ReaderHost": "ReadEndpoint.Address",
        "Secret": "MasterUserSecret.SecretArn",
    }
    return {
        "Resources": resources,
        "Outputs": {
            key: {"Value": {"Fn::GetAtt": ["Cluster", attribute]}}
            for key, attribute in outputs.items()
        },
    }


@pytest.fixture
def log_in(aws):
    def connect(host: str, port: object, password: str, user: str = "adm") -> psycopg.Connection:
        return psycopg.connect(
            host=host,
            port=str(port),
            user=user,
            password=password,
            dbname="app",
            sslmode="verify-full",
            sslrootcert=aws.page("health")["certificateAuthority"],
            autocommit=True,
            connect_timeout=5,
        )

    return connect


def password_of(aws, secret: str) -> str:
    value = aws.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    assert json.loads(value)["username"] == "adm"
    return json.loads(value)["password"]


def test_stack_makes_a_cluster_with_writer_reader_and_managed_secret(
    aws, stacks, name, log_in
) -> None:
    assert stacks.create(name, cluster(name, readers=1)) == "CREATE_COMPLETE", stacks.failures(name)
    outputs = stacks.outputs(name)
    password = password_of(aws, outputs["Secret"])
    with log_in(outputs["Host"], outputs["Port"], password) as session:
        session.execute("CREATE TABLE t (n int)")
    with log_in(outputs["ReaderHost"], outputs["Port"], password) as session:
        assert session.execute("SHOW transaction_read_only").fetchone() == ("on",)

    rds = aws.client("rds")
    found = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
    assert found["Endpoint"] == outputs["Host"]
    assert found["ReaderEndpoint"] == outputs["ReaderHost"]
    assert (found["Status"], found["StorageEncrypted"]) == ("available", True)
    assert sorted(m["IsClusterWriter"] for m in found["DBClusterMembers"]) == [False, True]

    changed = cluster(name, BackupRetentionPeriod=14, DeletionProtection=True)
    assert stacks.update(name, changed) == "UPDATE_COMPLETE", stacks.failures(name)
    found = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
    assert (found["BackupRetentionPeriod"], len(found["DBClusterMembers"])) == (14, 1)

    assert stacks.delete(name) == "DELETE_FAILED"
    assert "Cannot delete protected Cluster" in stacks.failures(name)["Cluster"]
    rds.modify_db_cluster(DBClusterIdentifier=name, DeletionProtection=False)
    assert stacks.delete(name) == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="DBClusterNotFound"):
        rds.describe_db_clusters(DBClusterIdentifier=name)
    with pytest.raises(ClientError, match="ResourceNotFound"):
        aws.client("secretsmanager").describe_secret(SecretId=outputs["Secret"])
    assert name not in str(aws.page("health")["clusters"])


def test_existing_name_is_refused_and_the_existing_cluster_is_left_alone(aws, stacks, name) -> None:
    rds = aws.client("rds")
    rds.create_db_cluster(
        DBClusterIdentifier=name,
        Engine="aurora-postgresql",
        MasterUsername="adm",
        MasterUserPassword=PASSWORD,
    )
    assert stacks.create(name, cluster(name)) == "ROLLBACK_COMPLETE"
    assert "already exists" in stacks.failures(name)["Cluster"]
    rds.describe_db_clusters(DBClusterIdentifier=name)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


@dataclass
class Cluster:
    """A cluster made through the API, and what the tests ask of it."""

    rds: Any
    name: str
    until: Callable[..., Any]

    def make(self) -> dict[str, Any]:
        return self.rds.create_db_cluster(
            DBClusterIdentifier=self.name,
            Engine="aurora-postgresql",
            EngineVersion="16.8",
            MasterUsername="adm",
            MasterUserPassword=PASSWORD,
            DatabaseName="app",
        )["DBCluster"]

    def add_instance(self, number: int) -> None:
        self.rds.create_db_instance(
            DBInstanceIdentifier=f"{self.name}-{number}",
            DBClusterIdentifier=self.name,
            Engine="aurora-postgresql",
            DBInstanceClass="db.serverless",
        )
        self.await_instance(number)

    def await_instance(self, number: int) -> None:
        def status() -> str:
            identifier = f"{self.name}-{number}"
            found = self.rds.describe_db_instances(DBInstanceIdentifier=identifier)
            return found["DBInstances"][0]["DBInstanceStatus"]

        self.until(status, lambda status: status == "available")

    def find(self) -> dict[str, Any]:
        return self.rds.describe_db_clusters(DBClusterIdentifier=self.name)["DBClusters"][0]

    def settled(self, status: str = "available") -> dict[str, Any]:
        return self.until(self.find, lambda found: found["Status"] == status)

    def writer(self) -> str:
        members = self.find()["DBClusterMembers"]
        return next(one["DBInstanceIdentifier"] for one in members if one["IsClusterWriter"])


@pytest.fixture
def api_cluster(aws, name, until) -> Cluster:
    return Cluster(aws.client("rds"), name, until)


def test_failover_password_and_reboot_through_the_api(
    aws, name, log_in, api_cluster, slowly
) -> None:
    rds = api_cluster.rds
    with slowly():
        assert api_cluster.make()["Status"] == api_cluster.find()["Status"] == "creating"
    for number in (0, 1):
        api_cluster.add_instance(number)
    found = api_cluster.settled()
    host, reader, port = found["Endpoint"], found["ReaderEndpoint"], found["Port"]
    with log_in(host, port, PASSWORD) as session:
        session.execute("CREATE TABLE t (n int)")
    assert api_cluster.writer() == f"{name}-0"

    answer = rds.failover_db_cluster(DBClusterIdentifier=name)
    assert answer["DBCluster"]["Status"] == "failing-over"
    api_cluster.settled()
    assert api_cluster.writer() == f"{name}-1"
    with log_in(host, port, PASSWORD) as session:
        session.execute("INSERT INTO t VALUES (2)")

    rds.modify_db_cluster(DBClusterIdentifier=name, MasterUserPassword="changed-at-once")
    for address in (host, reader):
        log_in(address, port, "changed-at-once").close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            log_in(address, port, PASSWORD)
    api_cluster.settled()

    rds.reboot_db_instance(DBInstanceIdentifier=f"{name}-1")
    api_cluster.await_instance(1)
    for number in (0, 1):
        rds.delete_db_instance(DBInstanceIdentifier=f"{name}-{number}", SkipFinalSnapshot=True)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    assert name not in str(aws.page("health")["clusters"])


def test_stop_and_start_through_the_api(name, log_in, api_cluster) -> None:
    rds = api_cluster.rds
    api_cluster.make()
    found = api_cluster.settled()
    rds.stop_db_cluster(DBClusterIdentifier=name)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        log_in(found["Endpoint"], found["Port"], PASSWORD)
    api_cluster.settled("stopped")
    with pytest.raises(ClientError, match="InvalidDBClusterState"):
        rds.failover_db_cluster(DBClusterIdentifier=name)
    rds.start_db_cluster(DBClusterIdentifier=name)
    api_cluster.settled()
    log_in(found["Endpoint"], found["Port"], PASSWORD).close()
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_snapshot_and_restore_through_the_api(aws, name, log_in, api_cluster) -> None:
    rds, restored_name = api_cluster.rds, f"{name}-b"
    api_cluster.make()
    found = api_cluster.settled()
    with log_in(found["Endpoint"], found["Port"], PASSWORD) as session:
        session.execute("CREATE TABLE t (n int)")
        session.execute("INSERT INTO t VALUES (1), (2)")
    rds.create_db_cluster_snapshot(
        DBClusterIdentifier=name, DBClusterSnapshotIdentifier=f"{name}-snapshot"
    )
    restored = rds.restore_db_cluster_from_snapshot(
        DBClusterIdentifier=restored_name,
        SnapshotIdentifier=f"{name}-snapshot",
        Engine="aurora-postgresql",
    )["DBCluster"]
    assert restored["Status"] == "creating"
    with log_in(restored["Endpoint"], restored["Port"], PASSWORD) as session:
        assert session.execute("SELECT count(*) FROM t").fetchone() == (2,)

    with pytest.raises(ClientError, match="FinalDBSnapshotIdentifier is required"):
        rds.delete_db_cluster(DBClusterIdentifier=restored_name)
    rds.delete_db_cluster(
        DBClusterIdentifier=restored_name, FinalDBSnapshotIdentifier=f"{name}-final"
    )
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)
    for snapshot in (f"{name}-snapshot", f"{name}-final"):
        rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=snapshot)
    assert name not in str(aws.page("health")["clusters"])


def test_managed_secret_rotates_in_the_database(aws, name, log_in) -> None:
    rds = aws.client("rds")
    made = rds.create_db_cluster(
        DBClusterIdentifier=name,
        Engine="aurora-postgresql",
        MasterUsername="adm",
        ManageMasterUserPassword=True,
        DatabaseName="app",
    )["DBCluster"]
    secret = made["MasterUserSecret"]["SecretArn"]
    before = password_of(aws, secret)
    rds.modify_db_cluster(
        DBClusterIdentifier=name, RotateMasterUserPassword=True, ApplyImmediately=True
    )
    found = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
    now = password_of(aws, secret)
    assert now != before
    log_in(found["Endpoint"], found["Port"], now).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        log_in(found["Endpoint"], found["Port"], before)
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_snapshot_policy_keeps_the_data(aws, stacks, name, log_in) -> None:
    template = cluster(name)
    template["Resources"]["Cluster"]["DeletionPolicy"] = "Snapshot"
    assert stacks.create(name, template) == "CREATE_COMPLETE", stacks.failures(name)
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    rds = aws.client("rds")
    kept = [
        found
        for found in rds.describe_db_cluster_snapshots()["DBClusterSnapshots"]
        if found["DBClusterIdentifier"] == name
    ]
    assert len(kept) == 1
    snapshot = kept[0]["DBClusterSnapshotIdentifier"]
    again = cluster(f"{name}b", SnapshotIdentifier=snapshot)
    for inherited in ("MasterUsername", "DatabaseName", "StorageEncrypted"):
        del again["Resources"]["Cluster"]["Properties"][inherited]
    assert stacks.create(f"{name}b", again) == "CREATE_COMPLETE", stacks.failures(f"{name}b")
    outputs = stacks.outputs(f"{name}b")
    log_in(outputs["Host"], outputs["Port"], password_of(aws, outputs["Secret"])).close()
    assert stacks.delete(f"{name}b") == "DELETE_COMPLETE"
    rds.delete_db_cluster_snapshot(DBClusterSnapshotIdentifier=snapshot)


@pytest.mark.labs
def test_mysql_cluster_logs_in_where_mariadb_is_installed(aws, name) -> None:
    rds = aws.client("rds")
    made = rds.create_db_cluster(
        DBClusterIdentifier=name,
        Engine="aurora-mysql",
        MasterUsername="adm",
        MasterUserPassword=PASSWORD,
        DatabaseName="app",
    )["DBCluster"]
    assert made["Engine"] == "aurora-mysql"
    behind = next(v for k, v in aws.page("health")["clusters"].items() if k.endswith(name))
    found = rds.describe_db_clusters(DBClusterIdentifier=name)["DBClusters"][0]
    rds_host, port = found["Endpoint"], found["Port"]
    if behind.startswith("no real database"):
        pytest.skip(behind)
    import ssl

    import pymysql

    trust = ssl.create_default_context(cafile=aws.page("health")["certificateAuthority"])
    pymysql.connect(
        host=rds_host, port=port, user="adm", password=PASSWORD, database="app", ssl=trust
    ).close()
    rds.delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


def test_cluster_data_and_endpoint_survive_a_killed_lab(own_lab, name) -> None:
    lab = own_lab()
    made = lab.client("rds").create_db_cluster(
        DBClusterIdentifier=name,
        Engine="aurora-postgresql",
        MasterUsername="adm",
        MasterUserPassword=PASSWORD,
        DatabaseName="app",
    )["DBCluster"]
    found = lab.client("rds").describe_db_clusters()["DBClusters"][0]
    lab.stop(9)
    lab.start()
    after = lab.client("rds").describe_db_clusters()["DBClusters"][0]
    assert (after["Port"], after["Status"]) == (found["Port"], "available")
    assert made["DbClusterResourceId"] == after["DbClusterResourceId"]
    psycopg.connect(
        host=after["Endpoint"],
        port=after["Port"],
        user="adm",
        password=PASSWORD,
        dbname="app",
        sslmode="require",
    ).close()
    lab.client("rds").delete_db_cluster(DBClusterIdentifier=name, SkipFinalSnapshot=True)


@pytest.mark.parametrize("moment", ["CREATE_IN_PROGRESS", "CREATE_COMPLETE"])
def test_killed_while_a_cluster_is_made_it_comes_to_its_end(
    own_lab, stacks_of, name, moment, until
) -> None:
    lab = own_lab(options=("--no-lint",))
    stacks = stacks_of(lab)
    stacks.begin(name, cluster(name))
    until(
        lambda: {event[:2] for event in stacks.events(name)},
        lambda told: ("Cluster", moment) in told,
    )
    lab.stop(9)
    lab.start()
    stacks = stacks_of(lab)
    assert stacks.wait(name) == "CREATE_COMPLETE", stacks.failures(name)
    outputs = stacks.outputs(name)
    value = lab.client("secretsmanager").get_secret_value(SecretId=outputs["Secret"])
    psycopg.connect(
        host=outputs["Host"],
        port=outputs["Port"],
        user="adm",
        password=json.loads(value["SecretString"])["password"],
        dbname="app",
        sslmode="require",
    ).close()
    assert stacks.delete(name) == "DELETE_COMPLETE", stacks.failures(name)
    assert lab.page("health")["clusters"] == {}
    assert not list((lab.state / "databases" / "clusters").iterdir())
