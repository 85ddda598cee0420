"""``kill -9`` at random moments: what was acknowledged goes on, nothing twice, nothing left."""

import random
import signal
import time

import pytest

from tests.e2e.test_services_life import refusal, use
from tests.homes import HOMES, running
from tests.on_cluster import OnCluster
from tests.sandboxed import Sandboxed
from tests.services import SEVEN, Service

pytestmark = [pytest.mark.labs, pytest.mark.slow, pytest.mark.timeout(1200)]
KILLS = 6
LEASED_KILLS = 2
"""On a cluster each costs a lease; test_controllers_on_cluster.py kills there, too."""
SERVICES = tuple(s for s in SEVEN if not s.needs)


def kill_at_random(home: Sandboxed, chance: random.Random) -> None:
    """Cut the power some times, at moments that nobody chose.

    The lab dies with `isthmus up`, its parent, and goes on where the controllers run alone.
    """
    for _ in range(LEASED_KILLS if isinstance(home, OnCluster) else KILLS):
        time.sleep(chance.uniform(0.1, 3.0))
        home.stop(signal.SIGKILL)
        home.start()


def create(home: Sandboxed, service: Service) -> None:
    name = service.offering
    spec = {"offering": name, "plan": "dev", "parameters": service.parameters}
    home.apply("ServiceInstance", name, spec)
    home.apply("ServiceBinding", name, {"instance": name, "strategy": service.strategy})


@pytest.fixture(params=HOMES)
def home(request, tmp_path):
    with running(request, tmp_path, lease_seconds=6) as one:
        yield one


def test_lives_survive_kills(home: Sandboxed):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    before = home.lab("state")
    for service in SERVICES:
        create(home, service)
    kill_at_random(home, chance)
    secrets = {}
    for service in SERVICES:
        home.until_ready("servicebindings", service.offering)
        secrets[service.offering] = home.secret(service.offering) or {}
        assert use(home, secrets[service.offering]), f"seed {seed}"
    for service in SERVICES:
        home.delete("servicebindings", service.offering)
        home.delete("serviceinstances", service.offering)
    kill_at_random(home, chance)
    for service in SERVICES:
        home.until_gone("serviceinstances", service.offering)
        assert refusal(home, secrets[service.offering]), f"seed {seed}"
    assert home.orphans() == [], f"seed {seed}"
    assert home.left_in_lab(before) == {}, f"seed {seed}"
