"""What the contract tests of a running lab share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.openstack_lab import OpenStackLab, until


@dataclass
class Heat:
    """Orchestration as the tests talk to it."""

    cloud: Any

    def begin(self, name: str, template: str, **parameters: Any) -> str:
        stack = self.cloud.orchestration.create_stack(
            name=name, template=template, parameters=parameters
        )
        return stack.id

    def update(self, stack: str, template: str, **parameters: Any) -> str:
        self.cloud.orchestration.update_stack(stack, template=template, parameters=parameters)
        return self.wait(stack, "UPDATE")

    def wait(self, stack: str, action: str, seconds: float = 300) -> str:
        """Wait until the action is over; returns COMPLETE or FAILED."""
        return until(
            lambda: self.cloud.orchestration.get_stack(stack).status,
            lambda status: status.startswith(action) and not status.endswith("IN_PROGRESS"),
            seconds,
        ).removeprefix(action + "_")

    def delete(self, stack: str) -> None:
        self.cloud.orchestration.delete_stack(stack)
        until(lambda: self._gone(stack), bool, 300)

    def _gone(self, stack: str) -> bool:
        found = self.cloud.orchestration.find_stack(stack, ignore_missing=True)
        assert found is None or found.status != "DELETE_FAILED", found.status_reason
        return found is None or found.status == "DELETE_COMPLETE"

    def output(self, stack: str, key: str) -> Any:
        name = self.cloud.orchestration.get_stack(stack).name
        answer = self.cloud.orchestration.get(f"/stacks/{name}/{stack}/outputs/{key}")
        return answer.json()["output"]["output_value"]

    def resources(self, stack: str) -> dict[str, str]:
        """Status by name; of those that the engine has noted so far."""
        return {r.name: r.status for r in self.cloud.orchestration.resources(stack)}

    def lost(self, stack: str) -> list[Any]:
        """Servers made for a stack that are in it at no depth."""
        name = self.cloud.orchestration.get_stack(stack).name
        known = {
            r.physical_resource_id
            for r in self.cloud.orchestration.resources(stack, nested_depth=5)
        }
        made = [s for s in self.cloud.compute.servers() if s.name.startswith(f"{name}-")]
        return [server for server in made if server.id not in known]


@pytest.fixture
def cloud(openstack_lab: OpenStackLab) -> Iterator[Any]:
    """The project demo."""
    with openstack_lab.connect() as connection:
        yield connection


@pytest.fixture
def admin(openstack_lab: OpenStackLab) -> Iterator[Any]:
    with openstack_lab.connect("lab-admin") as connection:
        yield connection


@pytest.fixture
def heat(cloud: Any) -> Heat:
    return Heat(cloud)


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}"
