"""The command line against the simulated AWS: what went wrong, and what was there before us."""

import json
from pathlib import Path

import pytest

from tests.installation import Installation, a_namespace, an_instance, up, wait_for

pytest.importorskip("ministack", reason="the AWS lab is not installed")

MEMORY_MIB = 250
"""With a cloud's SDK in it; without one it is far smaller."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with up(tmp_path_factory.mktemp("sandbox"), "--sandbox") as installation:
        wait_for(lambda: "sandbox: Provider" in installation.said(), installation)
        wait_for(lambda: "True" in installation.run("get", "providers").stdout, installation)
        installation.apply(a_namespace("shop"))
        yield installation


def sandbox(home: Installation) -> str:
    return str(home.data_dir / "lab-aws")


def queue(name: str, **spec) -> dict:
    return an_instance(name, "shop", offering="sqs", provider="aws-sandbox", **spec)


def test_why_goes_down_to_the_native_event(home: Installation):
    rule = ("--type", "AWS::SQS::Queue", "--operation", "create", "--effect", "error")
    home.run("lab", "fault", *rule, "--message", "no queues today", "--state", sandbox(home))
    home.apply(queue("bad"), wait=False)
    wait_for(lambda: "no queues today" in why(home), home)
    chain = json.loads(why(home))["chain"]
    assert chain[0]["subject"] == "ServiceInstance shop/bad"
    assert chain[-1]["subject"].startswith("AWS::SQS::Queue")
    assert "no queues today" in chain[-1]["message"]
    home.run("lab", "fault", "--clear", "--state", sandbox(home))
    home.run("delete", "si/bad", "-n", "shop", "--timeout", "60")


def why(home: Installation) -> str:
    return home.run("why", "si/bad", "-n", "shop", "-o", "json").stdout


def test_a_stack_of_others_is_listed_and_adopted(home: Installation):
    boto3 = pytest.importorskip("boto3")
    ready = json.loads((home.data_dir / "lab-aws" / "ready.json").read_text())
    keys = json.loads((home.data_dir / "lab-aws" / "credentials.json").read_text())
    admin = keys["accounts"][ready["accounts"][0]]
    cloudformation = boto3.client(
        "cloudformation",
        endpoint_url=ready["url"],
        region_name="us-east-1",
        aws_access_key_id=admin["access_key_id"],
        aws_secret_access_key=admin["secret_access_key"],
    )
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    cloudformation.create_stack(StackName="mail", TemplateBody=json.dumps(template))
    wait_for(lambda: "CREATE_COMPLETE" in status(cloudformation), home)

    assert "mail" in home.run("adopt", "--provider", "aws-sandbox").stdout
    words = ("--offering", "sqs", "--plan", "dev", "--provider", "aws-sandbox", "-n", "shop")
    home.run("adopt", "mail", "--observe", "--name", "seen", *words, "--timeout", "60")
    assert "UPDATE" not in status(cloudformation), "observing changes nothing"
    home.run("delete", "si/seen", "-n", "shop", "--timeout", "60")
    assert status(cloudformation) == "CREATE_COMPLETE"

    home.run("adopt", "mail", *words, "--timeout", "60")
    assert status(cloudformation) == "UPDATE_COMPLETE"
    assert "no stack of others" in home.run("adopt", "--provider", "aws-sandbox").stderr
    home.run("delete", "si/mail", "-n", "shop", "--timeout", "60")
    assert home.json("orphans")["orphans"] == []


def status(cloudformation) -> str:
    return cloudformation.describe_stacks(StackName="mail")["Stacks"][0]["StackStatus"]


def test_plan_of_a_stack_that_is_not_there(home: Installation):
    wanted = queue("nothing", management="Adopt", adopt={"externalName": "no-such-stack"})
    done = home.run("plan", "-f", "-", stdin=json.dumps(wanted), code=4)
    assert "there is no stack 'no-such-stack'" in done.stderr


def test_memory_stays_bounded(home: Installation):
    status = Path(f"/proc/{home.process.pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    assert int(peak.split()[1]) / 1024 < MEMORY_MIB, peak
