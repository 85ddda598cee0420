"""Actions as data, against the lab: checked, called once for a token, waited for."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import pytest

from isthmus.drivers.aws import DRIVER
from isthmus.errors import InvalidSpec, NotFound, StackFailed, StateForbids
from isthmus.ports import ActionCall, Actions, ActionState
from tests.aws_lab import AwsAccount

SECONDS = 100.0


@pytest.fixture
async def actions(aws_lab: AwsAccount) -> AsyncIterator[Actions]:
    async with DRIVER.open(aws_lab.endpoint()) as opened:
        yield opened.actions


@pytest.fixture
def table(aws_lab: AwsAccount) -> str:
    name = f"t{uuid.uuid4().hex[:8]}"
    aws_lab.client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture
def cluster(aws_lab: AwsAccount) -> str:
    rds, name = aws_lab.client("rds"), f"c{uuid.uuid4().hex[:8]}"
    rds.create_db_cluster(
        DBClusterIdentifier=name,
        Engine="aurora-postgresql",
        MasterUsername="adm",
        ManageMasterUserPassword=True,
    )
    rds.create_db_instance(
        DBInstanceIdentifier=f"{name}-1",
        DBClusterIdentifier=name,
        Engine="aurora-postgresql",
        DBInstanceClass="db.serverless",
    )
    return name


def describe(cluster: str) -> dict[str, Any]:
    return {
        "service": "rds",
        "operation": "describe_db_clusters",
        "arguments": {"DBClusterIdentifier": cluster},
        "path": "DBClusters[0].Status",
    }


def change(operation: str, cluster: str, begin: str, way: str, end: str) -> dict[str, Any]:
    return {
        "requires": [describe(cluster) | {"in": [begin], "already": [way]}],
        "calls": [
            {
                "service": "rds",
                "operation": operation,
                "arguments": {"DBClusterIdentifier": cluster},
            }
        ],
        "wait": describe(cluster) | {"until": [end], "failed": ["failed"]},
        "result": {"status": "DBClusters[0].Status"},
    }


async def finished(actions: Actions, call: ActionCall, state: ActionState) -> ActionState:
    deadline = monotonic() + SECONDS
    while not state.done:
        assert monotonic() < deadline, state
        await asyncio.sleep(0.05)
        state = await actions.poll(call, state.handle)
    return state


@contextmanager
def slowly(lab: AwsAccount) -> Iterator[None]:
    """Let the lab be as slow as AWS, so that what passes quickly is met."""
    scale = lab.page("time")["scale"]
    lab.page("time", {"scale": 1})
    try:
        yield
    finally:
        lab.page("time", {"scale": scale})


async def until_available(actions: Actions, cluster: str) -> None:
    wait = describe(cluster) | {"until": ["available"]}
    call = ActionCall(token="wait", spec={"wait": wait})
    await finished(actions, call, await actions.start(call))


async def test_stop_and_start_go_through_their_states(actions, cluster, aws_lab):
    await until_available(actions, cluster)
    stop = ActionCall(
        token="op-1",
        spec=change("stop_db_cluster", cluster, "available", "stopping", "stopped"),
    )
    with slowly(aws_lab):
        begun = await actions.start(stop)
        assert not begun.done
        # A second try, as after a crash, finds the action under way and waits for the same end.
        again = await actions.start(stop)
        assert not again.done
    assert (await finished(actions, stop, again)).result == {"status": "stopped"}

    with pytest.raises(StateForbids, match="The target is stopped; it must be available"):
        await actions.start(stop)
    start = ActionCall(
        token="op-2",
        spec=change("start_db_cluster", cluster, "stopped", "starting", "available"),
    )
    done = await finished(actions, start, await actions.start(start))
    assert done.result == {"status": "available"}


async def test_a_snapshot_is_made_once_for_a_token(actions, cluster, aws_lab):
    await until_available(actions, cluster)
    name = "nightly-${call.token}"
    snapshot = {
        "calls": [
            {
                "service": "rds",
                "operation": "create_db_cluster_snapshot",
                "exists": "ok",
                "arguments": {
                    "DBClusterIdentifier": cluster,
                    "DBClusterSnapshotIdentifier": name,
                },
                "result": {"snapshot": "DBClusterSnapshot.DBClusterSnapshotIdentifier"},
            }
        ],
        "wait": {
            "service": "rds",
            "operation": "describe_db_cluster_snapshots",
            "arguments": {"DBClusterSnapshotIdentifier": name},
            "path": "DBClusterSnapshots[0].Status",
            "until": ["available"],
        },
        "result": {"arn": "DBClusterSnapshots[0].DBClusterSnapshotArn"},
    }
    call = ActionCall(token="op-1", spec=snapshot)
    await actions.start(call)
    done = await finished(actions, call, await actions.start(call))
    assert ":cluster-snapshot:nightly-" in done.result["arn"]
    found = aws_lab.client("rds").describe_db_cluster_snapshots(DBClusterIdentifier=cluster)
    assert len(found["DBClusterSnapshots"]) == 1


async def test_results_of_calls_go_on_to_later_calls_and_survive_in_the_handle(actions):
    spec = {
        "calls": [
            {
                "service": "sqs",
                "operation": "create_queue",
                "arguments": {"QueueName": "q-${call.token}"},
                "result": {"url": "QueueUrl"},
            },
            {
                "service": "sqs",
                "operation": "send_message",
                "arguments": {"QueueUrl": "${result.url}", "MessageBody": "hello"},
                "result": {"message": "MessageId"},
            },
        ],
        "wait": {
            "service": "sqs",
            "operation": "get_queue_attributes",
            "arguments": {"QueueUrl": "${result.url}", "AttributeNames": ["All"]},
            "path": "Attributes.ApproximateNumberOfMessages",
            "until": ["1"],
        },
        "result": {"messages": "Attributes.ApproximateNumberOfMessages"},
    }
    call = ActionCall(token="op-1", spec=spec)
    state = await finished(actions, call, await actions.start(call))
    assert set(state.result) == {"url", "message", "messages"}
    again = await actions.poll(call, state.handle)
    assert again.result == state.result


async def test_an_idempotency_token_is_ours(actions, aws_lab):
    query = {
        "calls": [
            {
                "service": "athena",
                "operation": "start_query_execution",
                "arguments": {
                    "QueryString": "SELECT 1 AS one",
                    "ResultConfiguration": {"OutputLocation": "s3://results/"},
                },
                "result": {"query": "QueryExecutionId"},
            }
        ],
        "wait": {
            "service": "athena",
            "operation": "get_query_execution",
            "arguments": {"QueryExecutionId": "${result.query}"},
            "path": "QueryExecution.Status.State",
            "until": ["SUCCEEDED"],
            "failed": ["FAILED", "CANCELLED"],
            "message": "QueryExecution.Status.StateChangeReason",
        },
        "result": {"bytes": "QueryExecution.Statistics.DataScannedInBytes"},
    }
    aws_lab.client("s3").create_bucket(Bucket="results")
    call = ActionCall(token="op-1", spec=query)
    state = await finished(actions, call, await actions.start(call))
    assert state.result["query"]


async def test_a_failure_of_the_wait_is_told_with_its_words(actions, table):
    spec = {
        "wait": {
            "service": "dynamodb",
            "operation": "describe_table",
            "arguments": {"TableName": table},
            "path": "Table.TableStatus",
            "until": ["NEVER"],
            "failed": ["ACTIVE", "CREATING"],
            "message": "Table.TableName",
        }
    }
    with pytest.raises(StackFailed, match=rf"The action failed: .* {table}"):
        await actions.start(ActionCall(token="t", spec=spec))


async def test_what_vanishes_can_be_waited_for(actions):
    spec = {
        "wait": {
            "service": "dynamodb",
            "operation": "describe_table",
            "arguments": {"TableName": "gone"},
            "path": "Table.TableStatus",
            "absent": "ok",
        }
    }
    assert (await actions.start(ActionCall(token="t", spec=spec))).done
    del spec["wait"]["absent"]
    with pytest.raises(NotFound):
        await actions.start(ActionCall(token="t", spec=spec))


async def test_times_in_results_are_text(actions, table):
    spec = {
        "calls": [
            {
                "service": "dynamodb",
                "operation": "describe_table",
                "arguments": {"TableName": table},
            }
        ],
        "result": {"made": "Table.CreationDateTime", "none": "Table.Nothing"},
    }
    state = await actions.start(ActionCall(token="t", spec=spec))
    assert isinstance(state.result["made"], str)
    assert state.result["none"] is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"service": "rds"}, "needs `service` and `operation`"),
        ({"service": "rds", "operation": "dance"}, r"no AWS call rds\.dance"),
        ({"service": "rds", "operation": "close"}, r"no AWS call rds\.close"),
        ({"service": "nothing", "operation": "x"}, r"no AWS call nothing\."),
        (
            {
                "service": "sqs",
                "operation": "get_queue_url",
                "arguments": {"QueueName": "${result.url}"},
            },
            r"uses \$\{result\.url\}, which no earlier",
        ),
        ({"service": "sqs", "operation": "list_queues", "result": {"x": "]"}}, "no JMESPath"),
        (
            {"service": "sqs", "operation": "list_queues", "arguments": {"Nonsense": 1}},
            "Nonsense",
        ),
    ],
)
async def test_a_wrong_call_says_what_is_wrong(actions, call, words):
    with pytest.raises(InvalidSpec, match=words):
        await actions.start(ActionCall(token="t", spec={"calls": [call]}))
