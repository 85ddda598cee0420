"""The lab's own pages: health, state, calls, faults, time, accounts."""

from __future__ import annotations

import json
import socket
import stat
import threading
from datetime import timedelta
from urllib.error import HTTPError

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from isthmus_lab_aws.lab import Lab


def mine(aws, name: str) -> list[tuple[str, str]]:
    rows = aws.page("state")["resources"]
    return [(row["type"], row["id"]) for row in rows if name in row["id"]]


def test_health(aws):
    health = aws.page("health")
    assert health["status"] == "ok"
    assert health["unsaved"] == {}


def test_new_account_is_empty_and_its_keys_work(aws, name):
    number = str(int(name[1:], 16) % 10**12).zfill(12)
    made = aws.page("accounts", {"account": number})
    keys = {f"aws_{key}": made[key] for key in ("access_key_id", "secret_access_key")}
    assert aws.client("sts", **keys).get_caller_identity()["Account"] == number
    aws.client("ec2", **keys).describe_vpcs()
    aws.client("athena", **keys).list_work_groups()
    aws.client("kms", **keys).list_keys()
    assert [row for row in aws.page("state")["resources"] if row["account"] == number] == []


def test_credentials_are_for_the_owner_only(aws):
    mode = stat.S_IMODE((aws.state / "credentials.json").stat().st_mode)
    assert mode == 0o600


def test_state_lists_what_exists_until_it_is_gone(aws, stacks, name):
    document = {
        "Resources": {
            "B": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
            "Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}},
        }
    }
    assert stacks.create(name, document) == "CREATE_COMPLETE"
    assert sorted(mine(aws, name)) == [
        ("AWS::CloudFormation::Stack", name),
        ("AWS::S3::Bucket", name),
        ("AWS::SQS::Queue", name),
    ]
    assert stacks.delete(name) == "DELETE_COMPLETE"
    assert mine(aws, name) == []


def test_calls_are_journalled_without_content(aws, name):
    last = max((call["number"] for call in aws.page("calls")["calls"]), default=0)
    aws.client("secretsmanager").create_secret(Name=name, SecretString="hunter2")
    calls = aws.page(f"calls?since={last}")["calls"]
    assert [(c["service"], c["action"], c["status"]) for c in calls] == [
        ("secretsmanager", "CreateSecret", 200)
    ]
    assert "hunter2" not in json.dumps(calls)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"effect": "throttle"}, "Throttling"),
        ({"effect": "error", "code": "ServiceUnavailable", "status": 503}, "ServiceUnavailable"),
        ({"effect": "error", "code": "AccessDenied", "status": 403}, "AccessDenied"),
    ],
)
@pytest.mark.parametrize("service", ["sqs", "sns", "s3", "iam", "ec2", "cloudformation"])
def test_error_faults_speak_the_services_protocol(aws, service, rule, expected):
    aws.faults({"service": service, **rule})
    client = aws.client(service)
    operation = {
        "sqs": "list_queues",
        "sns": "list_topics",
        "s3": "list_buckets",
        "iam": "list_users",
        "ec2": "describe_vpcs",
        "cloudformation": "list_stacks",
    }[service]
    with pytest.raises(ClientError) as refusal:
        getattr(client, operation)()
    assert refusal.value.response["Error"]["Code"] == expected
    getattr(client, operation)()  # The rule is used up.


def test_reset_does_nothing_and_lose_does_the_work(aws, name):
    sqs = aws.client("sqs")
    aws.faults({"service": "sqs", "action": "CreateQueue", "effect": "reset"})
    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        sqs.create_queue(QueueName=name)
    assert mine(aws, name) == []
    aws.faults({"service": "sqs", "action": "CreateQueue", "effect": "lose"})
    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        sqs.create_queue(QueueName=name)
    assert mine(aws, name) == [("AWS::SQS::Queue", name)]


def test_chance_and_skip(aws):
    sqs = aws.client("sqs")

    def failures(calls: int) -> int:
        count = 0
        for _ in range(calls):
            try:
                sqs.list_queues()
            except ClientError:
                count += 1
        return count

    rule = {"service": "sqs", "effect": "throttle", "times": -1}
    aws.faults({**rule, "probability": 0.5})
    assert 5 <= failures(40) <= 35
    aws.faults({**rule, "skip": 3})
    assert failures(5) == 2


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"effect": "explode", "service": "s3"}, "effect 'explode'"),
        ({"effect": "reset"}, "`service`"),
        ({"effect": "reset", "service": "s3", "colour": 1}, "unknown field 'colour'"),
    ],
)
def test_wrong_rules_are_refused_by_name(aws, rule, words):
    with pytest.raises(HTTPError) as refusal:
        aws.faults(rule)
    assert words in json.load(refusal.value)["error"]
    refusal.value.close()


def test_time_scale_is_changed(own_lab, stacks_of):
    lab = own_lab()
    assert lab.page("time", {"scale": 0}) == {"scale": 0.0}
    stacks = stacks_of(lab)
    document = {"Resources": {"B": {"Type": "AWS::S3::Bucket"}}}
    assert stacks.create("fast", document) == "CREATE_COMPLETE"


def test_a_new_scale_holds_for_what_waits_already(tmp_path):
    lab, done = Lab(tmp_path, scale=1), threading.Event()
    lab.later(timedelta(days=1), done.set)
    assert not done.wait(0.1)
    lab.rescale(0)
    assert done.wait(60)


def test_another_port_is_taken_where_that_is_allowed(own_lab):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        lab = own_lab(options=("--port", str(port), "--or-any-port"))
    assert lab.page("health")["status"] == "ok"
    assert not lab.url.endswith(f":{port}")


def test_ministacks_own_pages_are_closed(aws):
    with pytest.raises(HTTPError) as refusal:
        aws.page("../_ministack/reset", {})
    assert refusal.value.code in (404, 403)
    refusal.value.close()
