"""The OpenStack lab for tests of the product: one lab a session, known over the network only.

The first test that wants it waits until it is up; at the end of the session nothing of it is left,
and when the session is killed the lab ends in order by itself.
Where Debian's packages are missing and cannot be installed the tests are skipped with the reason.
To use a lab that runs already, set ISTHMUS_OPENSTACK_LAB_STATE to its state folder.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from isthmus.app.children import dying_with_us
from isthmus.core.stacks import TAG_UID, NativeStack, StackName
from isthmus.ports import Connection, Endpoint

T = TypeVar("T")
REGION = "RegionOne"
_SOURCES = Path(__file__).parents[1] / "labs" / "openstack" / "src"
_PACKAGES = ("/usr/sbin/mariadbd", "/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/bin/memcached")
RUNNING = "ISTHMUS_OPENSTACK_LAB_STATE"


@dataclass(frozen=True, kw_only=True)
class OpenStackLab:
    """A running lab."""

    url: str
    """Keystone's address, with /v3."""
    clouds: Path
    """A clouds.yaml with `lab` (project demo) and `lab-admin`."""
    state: Path

    def connect(self, cloud: str = "lab", **auth: str) -> Any:
        """Return an openstacksdk connection: the lab as OpenStack's own tools see it.

        ``auth`` replaces parts of the log-in, for example ``project_name``.
        """
        from keystoneauth1.identity.v3 import Password
        from keystoneauth1.session import Session
        from openstack.config.cloud_region import from_session
        from openstack.connection import Connection

        session = Session(auth=Password(**(self.auth(cloud) | auth)))
        return Connection(config=from_session(session, region_name=REGION))

    def endpoint(self, **settings: str) -> Endpoint:
        """Return a Provider's endpoint for the project demo."""
        auth = self.auth()
        return Endpoint(
            provider="lab",
            region=REGION,
            settings={
                "authUrl": self.url,
                "projectName": auth["project_name"],
                "projectDomainName": auth["project_domain_name"],
            }
            | settings,
            credentials={
                "username": auth["username"],
                "password": auth["password"],
                "user-domain-name": auth["user_domain_name"],
            },
            installation=f"test-{os.getpid()}",
        )

    def auth(self, cloud: str = "lab") -> dict[str, str]:
        """Return how a cloud of the lab logs in, as in a clouds.yaml."""
        return json.loads(self.clouds.read_text())["clouds"][cloud]["auth"]

    def faults(self, *rules: dict[str, Any]) -> None:
        """Put fault rules in force instead of the present ones (see the lab's README)."""
        fresh = self.state / "faults.new"
        fresh.write_text(json.dumps({"rules": rules}))
        fresh.replace(self.state / "faults.json")

    def struck(self, rule: int = 0) -> int:
        """How many calls have met a rule in force, by its place; only one with `times` counts."""
        known = (self.state / "faults.json").stat()
        mine = f"{known.st_mtime_ns}-{known.st_ino}-{rule}-*"
        return len(list((self.state / "faults.counts").glob(mine)))

    def order(self, verb: str, *names: str) -> None:
        """Stop, kill, start or restart processes of the lab, for example heat-engine."""
        command = [sys.executable, "-m", "isthmus_lab_openstack", verb, "--state", str(self.state)]
        subprocess.run([*command, *names], check=True, env=_environment(), capture_output=True)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_SOURCES)}


def serve(state: Path, *options: str) -> Iterator[OpenStackLab]:
    """Run a lab in `state` as long as the iterator lives."""
    if os.geteuid() != 0 and not all(Path(file).exists() for file in _PACKAGES):
        pytest.skip("the OpenStack lab needs mariadb-server, rabbitmq-server and memcached")
    log = state.with_suffix(".log")
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "isthmus_lab_openstack", "serve", "--state", state, *options],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=_environment(),
            preexec_fn=dying_with_us(signal.SIGTERM),
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            pytest.fail(f"the OpenStack lab did not come up: {log.read_text()[-3000:]}")
        facts = json.loads(line)
        yield OpenStackLab(url=facts["url"], clouds=Path(facts["clouds"]), state=state)
    finally:
        process.terminate()
        process.wait(180)
        process.stdout.close()
        # Where servers are guests, what removes them begins now, and needs their records.
        until(lambda: list((state / "guests" / "guests").glob("*")), lambda left: not left)
        shutil.rmtree(state, ignore_errors=True)


async def sweep(connection: Connection) -> None:
    """Delete every stack of an installation, however far it is, and wait until they are gone."""
    deadline = time.monotonic() + 400
    while left := await connection.engine.owned():
        for owned in left:
            tags = {TAG_UID: owned.uid}
            await connection.engine.delete(
                NativeStack(name=StackName(owned.name), template={}, tags=tags)
            )
        assert time.monotonic() < deadline, left
        await asyncio.sleep(0.5)


def until(
    read: Callable[[], T], good: Callable[[T], object], seconds: float = 180, pause: float = 0.5
) -> T:
    """Return what `read` gives once it is `good`; fail with the last reading after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = read()
        if good(found):
            return found
        assert time.monotonic() < deadline, f"still {found!r} after {seconds} s"
        time.sleep(pause)


@pytest.fixture(scope="session")
def openstack_lab_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStackLab]:
    """The session's lab."""
    if running := os.environ.get(RUNNING):
        state = Path(running).resolve()
        clouds = state / "etc" / "clouds.yaml"
        auth = json.loads(clouds.read_text())["clouds"]["lab"]["auth"]
        yield OpenStackLab(url=auth["auth_url"], clouds=clouds, state=state)
        return
    # Guests need much that a machine may lack; without it every server is played.
    from tests.kubernetes_lab import lab_options

    yield from serve(tmp_path_factory.mktemp("openstack") / "lab", *lab_options())


@pytest.fixture
def openstack_lab(openstack_lab_process: OpenStackLab) -> Iterator[OpenStackLab]:
    """The session's lab; faults that a test leaves are taken away."""
    yield openstack_lab_process
    openstack_lab_process.faults()
