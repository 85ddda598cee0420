"""Every outward call of the seven services fails once, in three ways; each life still ends well."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.homes import HOMES, running
from tests.sandboxed import Sandboxed
from tests.services import SEVEN, Service

pytestmark = [pytest.mark.labs, pytest.mark.slow, pytest.mark.timeout(1500)]
SERVICES = tuple(s for s in SEVEN if not s.needs)


@pytest.fixture(scope="module", params=HOMES)
def home(request, tmp_path_factory):
    with running(request, tmp_path_factory.mktemp("faults")) as one:
        yield one


@pytest.fixture(scope="module")
def undisturbed(home: Sandboxed):
    """The calls that the lives make, and what they make, when nothing goes wrong."""
    start = _last_call(home)
    made = lives(home)
    calls = {(c["service"], c["action"]) for c in home.lab(f"calls?since={start}")["calls"]}
    return sorted(calls), made


def lives(home: Sandboxed) -> Counter[str]:
    """Create, bind, update; count what is there; unbind and delete."""
    before = home.lab("state")
    with ThreadPoolExecutor(len(SERVICES)) as pool:
        list(pool.map(lambda service: _up(home, service), SERVICES))
        made = Counter(r["type"] for r in home.left_in_lab(before)["resources"])
        list(pool.map(lambda service: _down(home, service), SERVICES))
    assert home.left_in_lab(before) == {}
    return made


def _up(home: Sandboxed, service: Service) -> None:
    name = service.offering
    spec: dict[str, Any] = {"offering": name, "plan": "dev", "parameters": service.parameters}
    home.apply("ServiceInstance", name, spec)
    home.apply("ServiceBinding", name, {"instance": name, "strategy": service.strategy})
    home.until_ready("servicebindings", name)
    changed = spec | {"parameters": service.parameters | service.change}
    home.apply("ServiceInstance", name, changed)
    home.until_ready("serviceinstances", name)


def _down(home: Sandboxed, service: Service) -> None:
    home.delete("servicebindings", service.offering)
    home.delete("serviceinstances", service.offering)
    home.until_gone("servicebindings", service.offering)
    home.until_gone("serviceinstances", service.offering)


def _last_call(home: Sandboxed) -> int:
    calls = home.lab("calls")["calls"]
    return calls[-1]["number"] if calls else 0


@pytest.mark.parametrize(
    ("effect", "reason"),
    [
        ("error", "the service says 500 and has done nothing"),
        ("throttle", "the service asks us to slow down"),
        ("lose", "the service has done the work, and we never hear of it"),
    ],
)
def test_every_call_fails_once(home: Sandboxed, undisturbed, effect: str, reason: str):
    calls, made = undisturbed
    home.faults(*({"service": s, "action": a, "effect": effect, "times": 1} for s, a in calls))
    try:
        assert lives(home) == made, f"no more and no less than without trouble, though {reason}"
        rules = home.lab("faults")["rules"]
    finally:
        home.faults()
    silent = [(r["service"], r["action"]) for r in rules if r["times"]]
    assert not silent, "every call was made again, and failed"
    assert home.orphans() == []
