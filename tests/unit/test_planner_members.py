"""How a member of a pool is, from what its engine and its cluster say."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import MemberPhase, PoolMember, Stack
from isthmus.core.compose.node_pool import failed_of
from isthmus.core.nodes import ClusterNode
from isthmus.core.planner.members import Group, for_planner, see
from isthmus.core.planner.nodes import State

NOW = datetime(2026, 11, 21, tzinfo=UTC)
BEFORE = NOW - timedelta(minutes=4)
NODE = ClusterNode(
    name="workers-1", uid="u", created_at=BEFORE, ready=True, provider_id="openstack:///b"
)
UNREADY = replace(NODE, ready=False)


@pytest.mark.parametrize(
    ("reason", "nodes", "state"),
    [
        ("what the engine could not make has failed", [], State.FAILED),
        ("a node that works is none the worse for a failed change", [NODE], State.READY),
        ("a node that does not work is none the better for it", [UNREADY], State.FAILED),
        ("of a cluster that does not answer nothing is known", None, State.UNKNOWN),
    ],
)
def test_a_server_that_the_engine_could_not_make(
    reason: str, nodes: Sequence[ClusterNode] | None, state: State
) -> None:
    group = Group(stack="s", name="workers", indexes=(1,), broken=frozenset({1}), failed=True)
    (seen,) = see([group], nodes, (), NOW)
    assert seen.state is state, reason


@pytest.mark.parametrize(
    ("phase", "state", "since"),
    [
        (MemberPhase.JOINING, State.JOINING, BEFORE),
        (MemberPhase.READY, State.NOT_READY, NOW),
        (MemberPhase.NOT_READY, State.NOT_READY, BEFORE),
    ],
)
def test_a_node_has_as_long_to_get_ready_as_its_server_has_to_join(
    phase: MemberPhase, state: State, since: datetime
) -> None:
    """Else a pool that heals soon would replace its own new nodes, whose network starts."""
    group = Group(stack="s", name="workers", indexes=(1,), servers={1: "b"})
    former = PoolMember(
        name="workers-1", stack="s", index=1, server_id="b", phase=phase, since=BEFORE
    )
    (seen,) = see([group], [UNREADY], [former], NOW)
    assert (seen.state, seen.shown.since) == (state, since)


def test_what_has_failed_is_replaced_some_time_after_what_was_never_asked_for_is_not() -> None:
    group = Group(stack="s", name="workers", indexes=(0, 1), broken=frozenset({1}), failed=True)
    former = [
        PoolMember(name="workers-0", stack="s", index=0, phase=MemberPhase.JOINING, since=BEFORE),
        PoolMember(name="workers-1", stack="s", index=1, phase=MemberPhase.FAILED, since=BEFORE),
    ]
    members = [for_planner(s, NOW, empty=False, pods=0) for s in see([group], [], former, NOW)]
    assert [(m.state, m.since) for m in members] == [(State.JOINING, NOW), (State.FAILED, BEFORE)]


def test_the_number_of_a_server_is_in_the_path_of_what_failed() -> None:
    resources = [
        {"logicalId": "nodes", "type": "OS::Heat::ResourceGroup", "status": "CREATE_FAILED"},
        {"logicalId": "nodes/1", "type": "OS::Nova::Server", "status": "CREATE_FAILED"},
        {"logicalId": "nodes/12/port", "type": "OS::Neutron::Port", "status": "UPDATE_FAILED"},
        {"logicalId": "nodes/3", "type": "OS::Nova::Server", "status": "CREATE_COMPLETE"},
    ]
    body: Json = {
        "metadata": {"name": "s", "namespace": "team-a"},
        "spec": {"provider": "lab", "template": {}},
        "status": {"resources": resources},
    }
    assert failed_of(Stack.model_validate(body)) == {1, 12}


@pytest.mark.parametrize(
    ("reason", "server", "known", "since"),
    [
        ("the time to join begins when the server is there", "b", "", NOW),
        ("it goes on at the next look", "b", "b", BEFORE),
        ("a server in its place begins anew", "b", "a", NOW),
        ("what is still to be made has been asked for before", "", "", BEFORE),
        ("an engine that does not tell for once changes nothing", "", "b", BEFORE),
    ],
)
def test_since_when_a_server_joins(reason: str, server: str, known: str, since: datetime) -> None:
    servers = {1: server} if server else {}
    group = Group(stack="s", name="workers", indexes=(1,), servers=servers)
    former = PoolMember(
        name="workers-1", stack="s", index=1, server_id=known, phase=MemberPhase.JOINING,
        since=BEFORE,
    )  # fmt: skip
    (seen,) = see([group], [], [former], NOW)
    assert seen.shown.since == since, reason
    assert seen.shown.server_id == (server or known)
