"""Redshift without a server: the Data API and temporary passwords, as the SDK's model has them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from isthmus.drivers.aws.credentials import redshift
from isthmus.drivers.aws.credentials.database import Login, SqlAccount
from isthmus.drivers.aws.credentials.sql_user import SqlUser, new_password, user_name
from isthmus.drivers.aws.session import Aws
from isthmus.drivers.aws.settings import AccessKey, Settings
from isthmus.errors import InvalidSpec
from isthmus.ports import Grant

SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:master"
LOGIN = Login(host="h", port=5439, database="dw", username="adm", password="x")
ACCOUNT = SqlAccount(name="isthmus_1", password="Aa1", readonly=True, schemas=("public",), mark="m")


@pytest.fixture
def aws() -> Iterator[Aws]:
    opened = Aws(Settings(region="eu-central-1", access_key=AccessKey(id="AKIA", secret="x")))
    yield opened
    opened.close()


def ran(stub: Stubber, statement: Any, rows: list[list[dict[str, Any]]], status: str) -> None:
    asked = {
        "ClusterIdentifier": "dw-1",
        "Database": "dw",
        "SecretArn": SECRET,
        "Sql": statement,
    }
    state: dict[str, Any] = {"Id": "1", "Status": status, "HasResultSet": bool(rows)}
    if status == "FAILED":
        state["Error"] = 'ERROR: user "x" does not exist'
    stub.add_response("execute_statement", {"Id": "1"}, asked)
    stub.add_response("describe_statement", state, {"Id": "1"})
    if rows:
        stub.add_response("get_statement_result", {"Records": rows}, {"Id": "1"})


def dialect(aws: Aws) -> Any:
    spec = {"via": "data-api", "cluster": "dw-1", "admin": {"secretArn": SECRET}}
    return redshift.dialect(aws, spec)


def test_a_user_is_dropped_through_the_data_api(aws):
    one: list[list[dict[str, Any]]] = [[{"longValue": 1}]]
    with Stubber(aws.client("redshift-data")) as stub:
        ran(stub, "SELECT 1 FROM pg_user WHERE usename = 'isthmus_1'", one, "FINISHED")
        ran(stub, "ALTER USER \"isthmus_1\" VALID UNTIL '1970-01-01'", [], "FINISHED")
        ran(stub, "SELECT version()", [[{"stringValue": "PostgreSQL 8, Redshift"}]], "FINISHED")
        sessions = "SELECT process FROM stv_sessions WHERE user_name = 'isthmus_1'"
        ran(stub, sessions, [[{"longValue": 7}]], "FINISHED")
        ran(stub, "SELECT pg_terminate_backend(7)", [], "FINISHED")
        for _ in range(2):
            ran(stub, ANY, [], "FINISHED")  # Default privileges.
        ran(
            stub, ANY, [[{"stringValue": "public"}, {"stringValue": "facts"}]], "FINISHED"
        )  # What it made.
        ran(stub, 'ALTER TABLE "public"."facts" OWNER TO "adm"', [], "FINISHED")
        ran(stub, ANY, [], "FINISHED")  # Its schemas.
        ran(stub, 'ALTER GROUP "isthmus_readonly" DROP USER "isthmus_1"', [], "FINISHED")
        ran(stub, 'DROP USER "isthmus_1"', [], "FINISHED")
        dialect(aws).revoke(LOGIN, ACCOUNT)
        stub.assert_no_pending_responses()


def test_a_refusal_of_the_data_api_is_told(aws):
    with Stubber(aws.client("redshift-data")) as stub:
        ran(stub, ANY, [], "FAILED")
        with pytest.raises(InvalidSpec, match='Redshift refused: ERROR: user "x" does not'):
            dialect(aws).revoke(LOGIN, ACCOUNT)


def test_the_data_api_needs_a_target(aws):
    with pytest.raises(InvalidSpec, match="via data-api needs `cluster` or `workgroup`"):
        redshift.dialect(aws, {"via": "data-api"})


async def test_a_temporary_password_of_the_master(aws):
    users = SqlUser(aws)
    asked = {"ClusterIdentifier": "dw-1", "DbUser": "adm", "DbName": "dw", "AutoCreate": False}
    answer = {
        "DbUser": "IAM:adm",
        "DbPassword": "temporary",
        "Expiration": datetime(2026, 1, 1, tzinfo=UTC),
    }
    with Stubber(aws.client("redshift")) as stub:
        stub.add_response("get_cluster_credentials", answer, asked)
        admin = {"cluster": "dw-1", "user": "adm"}
        found = await users._admin({"database": "dw", "admin": admin})
    assert found == ("IAM:adm", "temporary")
    serverless = {"dbUser": "IAM:role", "dbPassword": "temporary"}
    with Stubber(aws.client("redshift-serverless")) as stub:
        stub.add_response(
            "get_credentials", serverless, {"workgroupName": "reports", "dbName": "dw"}
        )
        found = await users._admin({"database": "dw", "admin": {"workgroup": "reports"}})
    assert found == ("IAM:role", "temporary")


def test_names_and_passwords_fit_every_engine():
    request = Grant(id="b" * 40, spec={}, parameters={})
    assert len(user_name(request)) <= 32
    password = new_password()
    assert password.isalnum()
    assert any(c.isupper() for c in password)
    assert any(c.islower() for c in password)
    assert any(c.isdigit() for c in password)
    assert len(password) == 32
