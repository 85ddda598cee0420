"""When a cloud says no: a failed creation is rolled back and explained, a blocker is named."""

import json
from typing import Any

import pytest

from tests.homes import HOMES, running
from tests.sandboxed import PATIENCE, Sandboxed, condition
from tests.services import SEVEN, Service

pytestmark = [pytest.mark.labs, pytest.mark.slow, pytest.mark.timeout(900)]
REFUSAL = "The test account has no capacity left"
BLOCKER = "has a dependent object"


@pytest.fixture(scope="module", params=HOMES)
def home(request, tmp_path_factory):
    with running(request, tmp_path_factory.mktemp("trouble")) as one:
        yield one


def strike(service: Service, operation: str, message: str) -> dict[str, Any]:
    return {
        "type": service.type_of_main,
        "logical_id": service.main,
        "operation": operation,
        "effect": "error",
        "message": message,
        "times": -1,
    }


def why(home: Sandboxed, name: str) -> list[dict[str, Any]]:
    answer = json.loads(
        home.isthmus("why", f"serviceinstance/{name}", "-n", "shop", "-o", "json").stdout
    )
    return answer if isinstance(answer, list) else answer["chain"]


def until_reason(home: Sandboxed, name: str, reason: str) -> str:
    def says() -> bool:
        return condition(home.get("serviceinstances", name)).get("reason") == reason

    try:
        home.until(says, PATIENCE, f"{name} says {reason}")
    except AssertionError as exc:
        raise AssertionError(f"{exc}\n{home.state_of('serviceinstances', name)}") from None
    return condition(home.get("serviceinstances", name))["message"]


def create(home: Sandboxed, services: tuple[Service, ...], prefix: str) -> None:
    for service in services:
        spec = {"offering": service.offering, "plan": "dev", "parameters": service.parameters}
        home.apply("ServiceInstance", f"{prefix}-{service.offering}", spec)


def test_a_failed_creation_is_rolled_back_and_explained(home: Sandboxed):
    before = home.lab("state")
    home.faults(*(strike(service, "create", REFUSAL) for service in SEVEN))
    create(home, SEVEN, "failed")
    for service in SEVEN:
        name = f"failed-{service.offering}"
        until_reason(home, name, "StackFailed")
        home.until(
            lambda name=name: _native(home, name) == "ROLLBACK_COMPLETE", PATIENCE, "rolled back"
        )
        last = why(home, name)[-1]
        assert last["subject"] == f"{service.type_of_main} {service.main}"
        assert REFUSAL in last["message"]
    home.faults()
    for service in SEVEN:
        home.delete("serviceinstances", f"failed-{service.offering}")
    for service in SEVEN:
        home.until_gone("serviceinstances", f"failed-{service.offering}")
    assert home.left_in_lab(before) == {}


def test_a_blocked_deletion_names_its_blocker(home: Sandboxed):
    before = home.lab("state")
    create(home, SEVEN, "blocked")
    for service in SEVEN:
        home.until_ready("serviceinstances", f"blocked-{service.offering}")
    home.faults(*(strike(service, "delete", BLOCKER) for service in SEVEN))
    for service in SEVEN:
        home.delete("serviceinstances", f"blocked-{service.offering}")
    for service in SEVEN:
        message = until_reason(home, f"blocked-{service.offering}", "DeletionBlocked")
        assert service.main in message
        assert BLOCKER in message
        assert BLOCKER in why(home, f"blocked-{service.offering}")[-1]["message"]
    home.faults()
    for service in SEVEN:
        home.until_gone("serviceinstances", f"blocked-{service.offering}")
    assert home.left_in_lab(before) == {}


def _native(home: Sandboxed, name: str) -> str:
    stack = home.get("stacks", name) or {}
    return stack.get("status", {}).get("nativeStatus", "")
