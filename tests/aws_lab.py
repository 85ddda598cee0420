"""The AWS lab for tests of the product: one process a session, an account of its own a test.

A lab is a separate process that the tests know over the network only. It needs the lab's
distribution; where that is absent the tests are skipped with the reason.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.children import dying_with_us
from isthmus.core.stacks import TAG_INSTALLATION, TAG_NAME, TAG_NAMESPACE, TAG_UID
from isthmus.ports import Endpoint, Grant

REGION = "us-east-1"
_SOURCES = Path(__file__).parents[1] / "labs" / "aws" / "src"
_ACCOUNTS = count(200000000000 + os.getpid() * 1000)


@dataclass(frozen=True, kw_only=True)
class AwsAccount:
    """One account of a running lab, empty at first."""

    url: str
    account: str
    keys: dict[str, str]

    def endpoint(self, region: str = REGION, **settings: str) -> Endpoint:
        """Return a Provider's endpoint; the installation is the account's number."""
        return Endpoint(
            provider="lab",
            region=region,
            settings={"endpointUrl": self.url} | self._authorities() | settings,
            credentials={
                "access-key-id": self.keys["access_key_id"],
                "secret-access-key": self.keys["secret_access_key"],
            },
            installation=f"test-{self.account}",
        )

    def client(self, service: str, region: str = REGION, **keys: str) -> Any:
        """Return a boto3 client: the lab as AWS's own tools see it."""
        import boto3
        from botocore.config import Config

        keys = keys or {f"aws_{name}": value for name, value in self.keys.items()}
        config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
        return boto3.client(
            service, endpoint_url=self.url, region_name=region, config=config, **keys
        )

    def grant(self, name: str, uid: str = "u-1", **spec: Any) -> Grant:
        """Return a request for a credential, with the tags of a binding in this installation."""
        tags = {
            TAG_UID: uid,
            TAG_NAMESPACE: "team-a",
            TAG_NAME: name,
            TAG_INSTALLATION: f"test-{self.account}",
        }
        return Grant(id=name, spec=spec, parameters={}, tags=tags)

    def page(self, name: str, document: Any = None) -> Any:
        """Read or set one of the lab's own pages, ``/_lab/<name>``."""
        return _page(self.url, name, document)

    def faults(self, *rules: dict[str, Any]) -> None:
        """Put fault rules in force instead of the present ones."""
        self.page("faults", {"rules": list(rules)})

    def _authorities(self) -> dict[str, str]:
        file = self.page("health").get("certificateAuthority")
        return {"databaseCaBundle": Path(file).read_text()} if file else {}


def _page(url: str, name: str, document: Any = None) -> Any:
    data = None if document is None else json.dumps(document).encode()
    request = urllib.request.Request(f"{url}/_lab/{name}", data=data)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.fixture(scope="session")
def aws_lab_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The lab's address."""
    if importlib.util.find_spec("ministack") is None:
        pytest.skip("the AWS lab is not installed: pip install ./labs/aws")
    folder = tmp_path_factory.mktemp("aws-lab")
    state, log = folder / "state", folder / "lab.log"
    # Without cfn-lint at the door: it takes a second a template, and the catalog's own tests lint.
    arguments = ["--port", "0", "--state", str(state), "--no-lint"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "isthmus_lab_aws", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_SOURCES)},
            preexec_fn=dying_with_us(signal.SIGTERM),
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        yield json.loads(line)["url"]
    finally:
        process.terminate()
        process.wait(60)  # Each of its databases ends in order first.
        process.stdout.close()


def _account(url: str) -> AwsAccount:
    account = str(next(_ACCOUNTS))[-12:]
    keys = _page(url, "accounts", {"account": account})
    keys.pop("account", None)
    return AwsAccount(url=url, account=account, keys=keys)


@pytest.fixture
def aws_lab(aws_lab_process: str) -> Iterator[AwsAccount]:
    """An empty account of the session's lab; faults that a test leaves are taken away."""
    lab = _account(aws_lab_process)
    yield lab
    lab.faults()


@pytest.fixture(scope="module")
def aws_module_lab(aws_lab_process: str) -> AwsAccount:
    """An account for all tests of a module, for what is slow to make."""
    return _account(aws_lab_process)
