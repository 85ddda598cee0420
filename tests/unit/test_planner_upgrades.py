"""A control plane goes up together, one minor at a time, and never away from its nodes."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.nodes import UPGRADE_FAILED, UPGRADES, ClusterNode
from isthmus.core.planner.upgrades import lowest, next_upgrade
from isthmus.core.planner.versions import number_of
from isthmus.errors import InvalidSpec

BEARER = {"node-role.kubernetes.io/control-plane": ""}


def node(name: str, version: str, **more: object) -> ClusterNode:
    notes = more.pop("annotations", {UPGRADES: "in-place"} if name.startswith("control") else {})
    return ClusterNode(
        name=name,
        uid=name,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        ready=True,
        version=version,
        labels=BEARER if name.startswith("control") else {},
        annotations=notes,  # pyright: ignore[reportArgumentType]
    )


def three(*versions: str) -> list[ClusterNode]:
    return [node(f"control-{number}", version) for number, version in enumerate(versions)]


@pytest.mark.parametrize(
    ("wanted", "running", "reason"),
    [
        ("1.36.3", "v1.36.3", "all run it"),
        ("", "v1.36.3", "nobody asks for one"),
        ("1.36", "v1.36.3", "half a version names none to bring"),
    ],
)
def test_nothing_to_do(wanted: str, running: str, reason: str) -> None:
    assert next_upgrade(wanted, running, three("v1.36.3")).settled, reason


def test_a_cluster_whose_control_plane_is_not_seen_is_left_alone() -> None:
    assert next_upgrade("1.36.3", "v1.35.4", [node("worker", "v1.35.4")]).settled


def test_the_nodes_are_asked_and_counted() -> None:
    step = next_upgrade("1.36.3", "v1.36.3", three("v1.36.3", "v1.35.4", "v1.35.4"))
    assert step.ask
    assert not step.failed
    assert step.message.startswith("1 of 3 nodes of the control plane run v1.36.3")


def test_a_failure_is_told_with_node_and_cause() -> None:
    notes = {UPGRADES: "in-place", UPGRADE_FAILED: "v1.36.3: the mirror does not answer"}
    step = next_upgrade("1.36.3", "v1.35.4", [node("control-0", "v1.35.4", annotations=notes)])
    assert step.failed
    assert step.ask
    assert "control-0: the mirror does not answer" in step.message


def test_a_failure_of_another_version_is_old() -> None:
    notes = {UPGRADES: "in-place", UPGRADE_FAILED: "v1.36.2: the mirror does not answer"}
    step = next_upgrade("1.36.3", "v1.35.4", [node("control-0", "v1.35.4", annotations=notes)])
    assert not step.failed


def test_a_control_plane_that_cannot_do_it_is_not_asked() -> None:
    step = next_upgrade("1.36.3", "v1.35.4", [node("control-0", "v1.35.4", annotations={})])
    assert not step.ask
    assert "does not upgrade itself" in step.message


@pytest.mark.parametrize(
    ("wanted", "nodes", "words"),
    [
        ("1.37.0", three("v1.36.3", "v1.35.4"), "control-1 runs v1.35.4; it must have 1.36"),
        ("1.37.0", [*three("v1.36.3"), node("w", "v1.33.1")], "w runs v1.33.1; it must have 1.34"),
        ("1.35.4", three("v1.36.3", "v1.35.4"), "control-0 runs v1.36.3 already"),
    ],
)
def test_a_step_that_kubernetes_does_not_allow(
    wanted: str, nodes: list[ClusterNode], words: str
) -> None:
    with pytest.raises(InvalidSpec, match=words):
        next_upgrade(wanted, "v1.36.3", nodes)


def numbers(version: str) -> tuple[int, int, int]:
    found = number_of(version)
    assert found is not None
    return found


versions = st.builds("v1.{}.{}".format, st.integers(33, 37), st.integers(0, 4))


@given(st.lists(versions, min_size=1, max_size=3), versions, versions)
def test_it_is_settled_only_when_all_run_it(have: list[str], running: str, wanted: str) -> None:
    try:
        step = next_upgrade(wanted.removeprefix("v"), running, three(*have))
    except InvalidSpec:
        return
    assert step.settled == (set(have) == {wanted} and numbers(running) >= numbers(wanted))


@given(st.lists(versions, max_size=3), versions)
def test_nodes_of_pools_are_never_ahead_of_any_api_server(have: list[str], running: str) -> None:
    found = numbers(lowest(running, three(*have)))
    assert all(found <= numbers(version) for version in [*have, running])
