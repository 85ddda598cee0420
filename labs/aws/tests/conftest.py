"""One lab for the session, on a free port, with accounts of its own for tests that look around."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from isthmus_lab_aws.children import die_with_parent

SOURCES = Path(__file__).parents[1] / "src"
ACCOUNT = "111122223333"
CONFIG = Config(retries={"total_max_attempts": 1}, read_timeout=60)


@dataclass
class RunningLab:
    """A lab process, and clients for it."""

    state: Path
    scale: float = 0.002
    options: tuple[str, ...] = ()
    process: subprocess.Popen[str] | None = None
    url: str = ""
    keys: dict[str, dict[str, str]] = field(default_factory=dict)
    clients: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def start(self) -> RunningLab:
        environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
        with (self.state.parent / "lab.log").open("a") as log:
            settings = ["--state", str(self.state), "--scale", str(self.scale), *self.options]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "isthmus_lab_aws", *settings],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.state.parent / "lab.log").read_text()
        self.url = json.loads(line)["url"]
        self.keys = json.loads((self.state / "credentials.json").read_text())["accounts"]
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()

    def client(
        self, service: str, account: str = ACCOUNT, region: str = "us-east-1", **credentials: str
    ) -> Any:
        keys = credentials or {f"aws_{name}": value for name, value in self.keys[account].items()}
        identity = (self.url, service, region, *sorted(keys.items()))
        if identity not in self.clients:  # To make one costs more than most calls.
            self.clients[identity] = boto3.client(
                service, endpoint_url=self.url, region_name=region, config=CONFIG, **keys
            )
        return self.clients[identity]

    def page(self, name: str, document: Any = None) -> Any:
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"{self.url}/_lab/{name}", data=data)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def faults(self, *rules: dict[str, Any]) -> None:
        self.page("faults", {"rules": list(rules)})


@pytest.fixture(scope="session")
def session_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    lab = RunningLab(tmp_path_factory.mktemp("lab") / "state").start()
    yield lab
    lab.stop()


@pytest.fixture
def aws(session_lab: RunningLab) -> Iterator[RunningLab]:
    """The session's lab; faults that a test leaves are taken away."""
    yield session_lab
    session_lab.faults()


@pytest.fixture
def slowly(aws: RunningLab) -> Callable[[], AbstractContextManager[None]]:
    """Lets the lab be as slow as AWS for a while, so that what passes quickly can be seen."""

    @contextmanager
    def slow() -> Iterator[None]:
        scale = aws.page("time")["scale"]
        aws.page("time", {"scale": 1})
        try:
            yield
        finally:
            aws.page("time", {"scale": scale})

    return slow


@pytest.fixture
def own_lab(tmp_path: Path) -> Iterator[Callable[..., RunningLab]]:
    """Starts labs of the test's own, to be killed and started again."""
    labs: list[RunningLab] = []

    def start(**settings: Any) -> RunningLab:
        lab = RunningLab(tmp_path / f"lab{len(labs)}" / "state", **settings)
        lab.state.parent.mkdir()
        labs.append(lab)
        return lab.start()

    yield start
    for lab in labs:
        if lab.process is not None and lab.process.poll() is None:
            lab.stop()


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}"


class Stacks:
    """CloudFormation as the tests talk to it."""

    def __init__(self, lab: RunningLab, account: str = ACCOUNT, region: str = "us-east-1") -> None:
        self.cf = lab.client("cloudformation", account, region)

    def create(self, name: str, template: dict[str, Any], **more: Any) -> str:
        """Create and wait; returns the final status."""
        return self.wait(self.begin(name, template, **more))

    def begin(self, name: str, template: dict[str, Any], **more: Any) -> str:
        return self.cf.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            **{"Capabilities": ["CAPABILITY_NAMED_IAM"], **more},
        )["StackId"]

    def update(self, name: str, template: dict[str, Any], **more: Any) -> str:
        self.cf.update_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            **{"Capabilities": ["CAPABILITY_NAMED_IAM"], **more},
        )
        return self.wait(name)

    def delete(self, name: str, **more: Any) -> str:
        identity = self.stack(name)["StackId"]
        self.cf.delete_stack(StackName=name, **more)
        return self.wait(identity)

    def change_set(
        self, name: str, template: dict[str, Any], kind: str = "UPDATE", **more: Any
    ) -> dict[str, Any]:
        self.cf.create_change_set(
            StackName=name,
            ChangeSetName="changes",
            ChangeSetType=kind,
            TemplateBody=json.dumps(template),
            **{"Capabilities": ["CAPABILITY_NAMED_IAM"], **more},
        )
        return until(
            lambda: self.cf.describe_change_set(StackName=name, ChangeSetName="changes"),
            lambda found: not found["Status"].endswith(("PENDING", "IN_PROGRESS")),
        )

    def stack(self, name: str) -> dict[str, Any]:
        return self.cf.describe_stacks(StackName=name)["Stacks"][0]

    def wait(self, name: str, seconds: float = 60) -> str:
        found = until(
            lambda: self.stack(name)["StackStatus"],
            lambda status: not status.endswith("IN_PROGRESS"),
            seconds,
        )
        return str(found)

    def outputs(self, name: str) -> dict[str, str]:
        return {o["OutputKey"]: o["OutputValue"] for o in self.stack(name).get("Outputs", [])}

    def events(self, name: str) -> list[tuple[str, str, str]]:
        """(logical id, status, reason), oldest first."""
        pages = self.cf.get_paginator("describe_stack_events").paginate(StackName=name)
        events = [event for page in pages for event in page["StackEvents"]]
        return [
            (e["LogicalResourceId"], e["ResourceStatus"], e.get("ResourceStatusReason", ""))
            for e in reversed(events)
        ]

    def failures(self, name: str) -> dict[str, str]:
        return {who: why for who, status, why in self.events(name) if status.endswith("_FAILED")}


def until(read: Callable[[], Any], good: Callable[[Any], bool], seconds: float = 60) -> Any:
    """What `read` gives once it is good; fails with the last reading after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = read()
        if good(found):
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(0.02)


@pytest.fixture
def stacks(aws: RunningLab) -> Stacks:
    return Stacks(aws)


@pytest.fixture
def stacks_of() -> type[Stacks]:
    return Stacks


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Any]:
    return until
