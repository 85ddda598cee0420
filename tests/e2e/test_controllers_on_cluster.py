"""``isthmus controllers`` on a real kube-apiserver: who leads, who may; nothing is made twice."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kubernetes_plane import MARKS
from tests.on_cluster import ACCOUNT, SYSTEM, OnCluster, Plane, on_cluster
from tests.sandboxed import condition, ready

pytestmark = [*MARKS, pytest.mark.slow]
LEASE = 15
"""Seconds. Under a heavy load a shorter one would be lost now and then, as it should be."""
SLOWLY = 5
"""Seconds: how much longer than ours a step of another process may take on a busy machine."""
SERVICES = ("sqs", "sns", "dynamodb", "s3")
SLOW = {"service": "cloudformation", "action": "CreateStack", "effect": "delay"}
SLOW |= {"seconds": SLOWLY, "times": -1}
ROLE = "isthmus-controllers"
Pair = tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]
"""The leader and the standby."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, plane_with_kinds: Plane) -> Iterator[OnCluster]:
    folder = tmp_path_factory.mktemp("home")
    with on_cluster(folder, plane_with_kinds, lease_seconds=LEASE) as running:
        yield running


@pytest.fixture(autouse=True)
def undisturbed(home: OnCluster) -> Iterator[None]:
    yield
    home.faults()


@pytest.fixture(scope="module")
def once(home: OnCluster) -> Counter[str]:
    """What one of each service is made of when nothing happens."""
    before = home.lab("state")
    order(home, "once")
    await_all(home, "once")
    made = census(home, before)
    remove(home, "once", before)
    return made


def order(home: OnCluster, mark: str) -> None:
    for service in SERVICES:
        name = f"{mark}-{service}"
        home.apply("ServiceInstance", name, {"offering": service, "plan": "dev"})
        home.apply("ServiceBinding", name, {"instance": name, "strategy": "iam-user"})


def await_all(home: OnCluster, mark: str) -> None:
    for service in SERVICES:
        home.until_ready("servicebindings", f"{mark}-{service}")


def remove(home: OnCluster, mark: str, before: object) -> None:
    for service in SERVICES:
        home.delete("servicebindings", f"{mark}-{service}")
        home.delete("serviceinstances", f"{mark}-{service}")
    for service in SERVICES:
        home.until_gone("serviceinstances", f"{mark}-{service}")
    assert home.left_in_lab(before) == {}, "nothing is leaked"


def census(home: OnCluster, before: object) -> Counter[str]:
    return Counter(r["type"] for r in home.left_in_lab(before)["resources"])


def pair(home: OnCluster) -> Pair:
    """A leader that works, and a standby that is warm."""
    home.stop()
    home.process = None  # Processes end in these tests, and that is no trouble.
    first = home.controllers()
    home.until(lambda: home.leader == first.pid, 90, "the first one leads")
    known = home.log.read_text().count("caches are warm")
    second = home.controllers()
    home.until(
        lambda: home.log.read_text().count("caches are warm") > known, 90, "the second is warm"
    )
    assert home.leader == first.pid
    return first, second


def seconds_until(home: OnCluster, process: subprocess.Popen[bytes]) -> float:
    """How long it takes until this process leads."""
    started = time.monotonic()
    home.until(lambda: home.leader == process.pid, 90, "the standby leads")
    return time.monotonic() - started


def begun(home: OnCluster, mark: str) -> None:
    """Wait until the lab is asked for all native stacks; it has not made the last of them."""

    def asked() -> bool:
        (rule,) = home.lab("faults")["rules"]
        return rule["hits"] >= len(SERVICES)

    home.until(asked, 60, "the lab is asked for all stacks")
    found = [home.get("serviceinstances", f"{mark}-{service}") for service in SERVICES]
    assert not all(map(ready, found))


@contextmanager
def busy_pair(home: OnCluster, mark: str, once: Counter[str]) -> Iterator[Pair]:
    """A leader that is making one of each service, and a standby: together they make no more."""
    before = home.lab("state")
    both = pair(home)
    home.faults(SLOW)
    order(home, mark)
    begun(home, mark)
    yield both
    await_all(home, mark)
    assert census(home, before) == once, "no more and no less than without trouble"
    home.faults()
    remove(home, mark, before)


def test_a_killed_leader_is_followed_and_nothing_is_made_twice(
    home: OnCluster, once: Counter[str]
) -> None:
    with busy_pair(home, "killed", once) as (leader, standby):
        leader.send_signal(signal.SIGKILL)
        assert seconds_until(home, standby) < LEASE + 3 * SLOWLY, "the lease and a look at it"


def test_a_frozen_leader_ends_when_it_wakes(home: OnCluster, once: Counter[str]) -> None:
    with busy_pair(home, "frozen", once) as (leader, standby):
        leader.send_signal(signal.SIGSTOP)
        seconds_until(home, standby)
        await_all(home, "frozen")
        leader.send_signal(signal.SIGCONT)
        assert leader.wait(30) == 7, "the code for: start me again"
        assert "the lease is lost" in home.log.read_text()


def test_a_leader_that_is_stopped_hands_over_at_once(home: OnCluster) -> None:
    leader, standby = pair(home)
    leader.send_signal(signal.SIGTERM)
    assert leader.wait(60) == 0
    assert home.leader in (0, standby.pid), "the lease is given back, so that nobody waits for it"
    seconds_until(home, standby)
    assert home.plane.lease()["leaseTransitions"] >= 1


def test_a_namespace_goes_when_its_clouds_are_free_again(home: OnCluster) -> None:
    before = home.lab("state")
    pair(home)
    home.namespace("leaving")
    home.apply("ServiceInstance", "queue", {"offering": "sqs", "plan": "dev"}, "leaving")
    home.apply("ServiceBinding", "queue", {"instance": "queue"}, "leaving")
    home.until(
        lambda: ready(home.get("servicebindings", "queue", "leaving")), 120, "the binding is ready"
    )
    # Left to itself, the controller of namespaces takes the kinds in an order of its own.
    home.plane.kubectl("delete", "stacks,secrets", "--all", "-n", "leaving", "--wait=false")
    home.until(lambda: kept(home.get("stacks", "queue", "leaving")), 60, "the Stack waits")
    home.plane.kubectl("delete", "serviceinstances", "queue", "-n", "leaving", "--wait=false")
    home.until(
        lambda: "ServiceBindings use it: queue" in kept(home.get("stacks", "queue", "leaving")),
        60,
        "it says what for",
    )
    assert "AWS::IAM::Role" in census(home, before), "the credential is still good"
    home.plane.kubectl("delete", "namespace", "leaving", "--timeout=110s")
    assert home.left_in_lab(before) == {}


def kept(stack: Any) -> str:
    """Why a Stack that is being deleted stays."""
    said = condition(stack)
    return said.get("message", "") if said.get("reason") == "InUse" else ""


def test_a_missing_right_is_named(home: OnCluster, plane_with_kinds: Plane, tmp_path: Path) -> None:
    role = plane_with_kinds.kubectl("get", "clusterrole", ROLE, "-o", "yaml")
    less = role.replace("- operations/status\n", "- nothing/status\n")
    assert less != role
    plane_with_kinds.kubectl("replace", "-f", "-", text=less)
    try:
        done = home.try_controllers(tmp_path)
    finally:
        text = role.replace("resourceVersion", "formerVersion")
        plane_with_kinds.kubectl("replace", "--validate=false", "-f", "-", text=text)
    account = f"system:serviceaccount:{SYSTEM}:{ACCOUNT}"
    assert done.returncode == 5
    assert f"{account} may not update operations/status.isthmus.dev" in done.stderr


def test_a_home_that_runs_controllers_itself_is_refused(home: OnCluster, tmp_path: Path) -> None:
    from tests.apiserver_listening import Listening

    with Listening(tmp_path / "data") as here:
        (tmp_path / "up.conf").write_text(here.kubeconfig())
        done = home.try_controllers(tmp_path, str(tmp_path / "up.conf"))
    assert done.returncode == 6
    assert "runs the controllers itself" in done.stderr
