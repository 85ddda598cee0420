"""What the lab acknowledged is there again after `kill -9`, and what was under way goes on."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest


def queue(name: str, **properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name, **properties}}


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": resources}


def chain(prefix: str, length: int = 5) -> dict[str, Any]:
    """Queues that are made one after the other."""
    return template(
        **{
            f"Q{i}": {**queue(f"{prefix}-{i}"), **({"DependsOn": f"Q{i - 1}"} if i else {})}
            for i in range(length)
        }
    )


def queues(lab, prefix: str) -> list[str]:
    urls = lab.client("sqs").list_queues(QueueNamePrefix=prefix).get("QueueUrls", [])
    return sorted(url.rpartition("/")[2] for url in urls)


def restart(lab):
    lab.stop(signal.SIGKILL)
    return lab.start()


def test_acknowledged_calls_survive(own_lab, stacks_of):
    lab = own_lab()
    lab.client("s3").create_bucket(Bucket="kept")
    lab.client("s3").put_object(Bucket="kept", Key="k", Body=b"content")
    lab.client("sqs", region="eu-west-1").create_queue(QueueName="kept")
    secret = lab.client("secretsmanager").create_secret(Name="kept", SecretString="s")["ARN"]
    lab.client("iam").create_role(RoleName="kept", AssumeRolePolicyDocument="{}")
    assert stacks_of(lab).create("kept", chain("kept", 1)) == "CREATE_COMPLETE"
    events = stacks_of(lab).events("kept")
    restart(lab)
    assert lab.client("s3").get_object(Bucket="kept", Key="k")["Body"].read() == b"content"
    assert lab.client("sqs", region="eu-west-1").get_queue_url(QueueName="kept")
    value = lab.client("secretsmanager").get_secret_value(SecretId=secret)
    assert value["SecretString"] == "s"
    assert lab.client("iam").get_role(RoleName="kept")
    assert stacks_of(lab).events("kept") == events
    assert stacks_of(lab).delete("kept") == "DELETE_COMPLETE"
    assert queues(lab, "kept") == []


def test_sessions_survive(own_lab):
    lab = own_lab()
    trust = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",'
        '"Principal":{"AWS":"arn:aws:iam::111122223333:root"}}]}'
    )
    role = lab.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument=trust)["Role"]
    session = lab.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="session")[
        "Credentials"
    ]
    restart(lab)
    identity = lab.client(
        "sts",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    ).get_caller_identity()
    assert identity["Arn"].endswith("assumed-role/role/session")


def test_create_goes_on(own_lab, stacks_of, until):
    lab = own_lab(scale=0.01)
    stacks_of(lab).begin("c", chain("c"))
    until(lambda: queues(lab, "c"), lambda found: len(found) >= 2)
    restart(lab)
    stacks = stacks_of(lab)
    assert stacks.wait("c") == "CREATE_COMPLETE"
    assert queues(lab, "c") == [f"c-{i}" for i in range(5)]
    told = stacks.events("c")
    assert len(told) == len(set(told)), "no event is told twice"
    assert stacks.delete("c") == "DELETE_COMPLETE"
    assert queues(lab, "c") == []


def test_failed_update_still_rolls_back(own_lab, stacks_of, until):
    lab = own_lab(scale=0.01)
    stacks = stacks_of(lab)
    assert stacks.create("u", template(A=queue("u-a", VisibilityTimeout=10))) == "CREATE_COMPLETE"
    lab.faults(
        {"effect": "error", "type": "*", "logical_id": "Z", "operation": "create"},
        # The rollback is under way until the kill, however late that comes.
        {"effect": "delay", "type": "*", "logical_id": "A", "operation": "update"}
        | {"skip": 1, "seconds": 60},
    )
    changed = template(
        A=queue("u-a", VisibilityTimeout=20),
        B={**queue("u-b"), "DependsOn": "A"},
        Z={**queue("u-z"), "DependsOn": "B"},
    )
    stacks.cf.update_stack(StackName="u", TemplateBody=json.dumps(changed))
    until(
        lambda: stacks.stack("u")["StackStatus"],
        lambda status: "ROLLBACK" in status and status.endswith("IN_PROGRESS"),
    )
    restart(lab)
    assert stacks_of(lab).wait("u") == "UPDATE_ROLLBACK_COMPLETE"
    url = lab.client("sqs").get_queue_url(QueueName="u-a")["QueueUrl"]
    attributes = lab.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["VisibilityTimeout"]
    )["Attributes"]
    assert attributes["VisibilityTimeout"] == "10"
    assert queues(lab, "u") == ["u-a"]


def test_nested_stack_goes_on(own_lab, stacks_of, until):
    lab = own_lab(scale=0.01)
    s3 = lab.client("s3")
    s3.create_bucket(Bucket="templates")
    s3.put_object(Bucket="templates", Key="child.json", Body=json.dumps(chain("n", 3)).encode())
    nested = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": f"{lab.url}/templates/child.json"},
    }
    stacks_of(lab).begin("n", template(N=nested, Z={**queue("n-z"), "DependsOn": "N"}))
    until(lambda: queues(lab, "n"), bool)
    restart(lab)
    stacks = stacks_of(lab)
    assert stacks.wait("n") == "CREATE_COMPLETE"
    assert queues(lab, "n") == ["n-0", "n-1", "n-2", "n-z"]
    identity = stacks.stack("n")["StackId"]
    lab.client("cloudformation").delete_stack(StackName="n")
    until(lambda: queues(lab, "n"), lambda found: len(found) < 4)
    restart(lab)
    assert stacks_of(lab).wait(identity) == "DELETE_COMPLETE"
    assert queues(lab, "n") == []


def test_replacement_goes_on(own_lab, stacks_of, until):
    lab = own_lab(scale=0.01)
    stacks = stacks_of(lab)
    assert stacks.create("r", template(A=queue("r-old"), B=queue("r-b"))) == "CREATE_COMPLETE"
    changed = template(A=queue("r-new"), B={**queue("r-b", VisibilityTimeout=7), "DependsOn": "A"})
    stacks.cf.update_stack(StackName="r", TemplateBody=json.dumps(changed))
    until(lambda: queues(lab, "r"), lambda found: "r-new" in found)
    restart(lab)
    assert stacks_of(lab).wait("r") == "UPDATE_COMPLETE"
    assert queues(lab, "r") == ["r-b", "r-new"]


def test_delete_goes_on(own_lab, stacks_of, until):
    lab = own_lab(scale=0.005)
    assert stacks_of(lab).create("d", chain("d", 3)) == "CREATE_COMPLETE"
    identity = stacks_of(lab).stack("d")["StackId"]
    lab.client("cloudformation").delete_stack(StackName="d")
    until(lambda: queues(lab, "d"), lambda found: len(found) < 3)
    restart(lab)
    assert stacks_of(lab).wait(identity) == "DELETE_COMPLETE"
    assert queues(lab, "d") == []


def test_failed_delete_keeps_what_it_set_aside(own_lab, stacks_of, until):
    lab = own_lab(scale=0.01)
    wanted = template(A=queue("f-a"), B={**queue("f-b"), "DependsOn": "A"}, Apart=queue("f-apart"))
    assert stacks_of(lab).create("f", wanted) == "CREATE_COMPLETE"
    identity = stacks_of(lab).stack("f")["StackId"]
    lab.faults({"effect": "error", "type": "*", "operation": "delete", "logical_id": "B"})
    lab.client("cloudformation").delete_stack(StackName="f")
    until(lambda: stacks_of(lab).failures("f"), bool)
    restart(lab)
    lab.faults()
    # The kill came before the end of the operation, which then tries B again, or just after it.
    assert stacks_of(lab).wait(identity) in ("DELETE_COMPLETE", "DELETE_FAILED")
    if stacks_of(lab).stack(identity)["StackStatus"] == "DELETE_FAILED":
        assert stacks_of(lab).delete("f") == "DELETE_COMPLETE"
    assert queues(lab, "f") == []


@pytest.mark.slow
def test_killed_at_random_moments(own_lab, stacks_of):
    lab = own_lab(scale=0.004)
    chance = random.Random()
    stacks_of(lab).begin("k", chain("k"))
    for _ in range(3):
        time.sleep(chance.uniform(0.0, 0.4))
        restart(lab)
    assert stacks_of(lab).wait("k") == "CREATE_COMPLETE"
    assert queues(lab, "k") == [f"k-{i}" for i in range(5)]
    identity = stacks_of(lab).stack("k")["StackId"]
    lab.client("cloudformation").delete_stack(StackName="k")
    for _ in range(2):
        time.sleep(chance.uniform(0.0, 0.3))
        restart(lab)
    assert stacks_of(lab).wait(identity) == "DELETE_COMPLETE"
    assert queues(lab, "k") == []


def test_a_lab_that_is_told_to_end_does_not_wait_for_its_stacks(own_lab, stacks_of):
    lab = own_lab(scale=1)
    stacks_of(lab).begin("w", chain("w", 2))
    lab.stop()
    lab.scale = 0.002
    lab.start()
    assert stacks_of(lab).wait("w") == "CREATE_COMPLETE"


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []


def test_children_end_with_the_lab(own_lab, until):
    lab = own_lab(options=())
    started = until(lambda: children(lab.process.pid), bool)
    lab.stop(signal.SIGKILL)
    until(lambda: [pid for pid in started if alive(pid)], lambda left: not left)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
