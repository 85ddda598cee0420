"""The causal chain and the search for orphans."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.meta import Condition, ObjectMeta
from isthmus.api.v1alpha1 import Phase, Stack, StackEvent, StackSpec, StackStatus
from isthmus.core import stacks
from isthmus.core.orphans import orphans
from isthmus.core.stacks import Owned
from isthmus.core.why import root_cause, why
from tests.factories import an_instance

START = datetime(2026, 1, 1, tzinfo=UTC)


def events(*rows: tuple[str, str, str]) -> tuple[StackEvent, ...]:
    return tuple(
        StackEvent(
            id=str(i),
            time=START + timedelta(seconds=i),
            logical_id=logical,
            type="AWS::CloudFormation::Stack" if logical == "stack" else "AWS::SQS::Queue",
            status=status,
            reason=reason,
        )
        for i, (logical, status, reason) in enumerate(rows)
    )


FAILED_CREATE = events(
    ("stack", "CREATE_IN_PROGRESS", "User Initiated"),
    ("A", "CREATE_IN_PROGRESS", ""),
    ("B", "CREATE_IN_PROGRESS", ""),
    ("B", "CREATE_FAILED", "name taken"),
    ("A", "CREATE_FAILED", "Resource creation cancelled"),
    ("stack", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed to create: [A, B]."),
    ("stack", "ROLLBACK_COMPLETE", ""),
)


@pytest.mark.parametrize(
    ("rows", "expected", "reason"),
    [
        (FAILED_CREATE, "B", "a cancelled sibling is a consequence, whichever came first"),
        ((), None, "no events, no cause"),
        (events(("A", "CREATE_COMPLETE", "")), None, "nothing failed"),
        (
            (*FAILED_CREATE, *events(("C", "DELETE_FAILED", "not empty"))),
            "C",
            "only the last operation counts",
        ),
        (
            events(("A", "CREATE_FAILED", "Resource creation cancelled")),
            "A",
            "a consequence alone is better than nothing",
        ),
        (
            events(
                ("A", "CREATE_FAILED", "Unknown (server ERROR, code Unknown)"),
                ("B", "CREATE_FAILED", "Exhausted all hosts (server ERROR, code 500)"),
            ),
            "B",
            "of a failure of which nothing is told the next one tells more",
        ),
    ],
)
def test_root_cause(rows, expected, reason):
    cause = root_cause(rows)
    assert (cause.logical_id if cause else None) == expected, reason


def a_stack(**status):
    return Stack(
        metadata=ObjectMeta(name="db", namespace="team-a", generation=1),
        spec=StackSpec(provider="here", template={}),
        status=StackStatus.model_validate(status),
    )


def not_ready(reason: str) -> Condition:
    return Condition(type="Ready", status="False", reason=reason, message=f"{reason}!")


def test_the_chain_ends_at_the_native_event():
    instance = an_instance()
    instance = instance.model_copy(
        update={
            "status": instance.status.model_copy(update={"conditions": (not_ready("Waiting"),)})
        }
    )
    stack = a_stack(conditions=[not_ready("StackFailed")], phase=Phase.FAILED, events=FAILED_CREATE)
    chain = why([instance, stack])
    assert [link.subject for link in chain] == [
        "ServiceInstance team-a/db",
        "Stack team-a/db",
        "AWS::SQS::Queue B",
    ]
    assert chain[-1].message == "name taken"


def test_while_working_the_chain_ends_at_the_busy_resource():
    busy = {"logicalId": "A", "type": "AWS::SQS::Queue", "status": "CREATE_IN_PROGRESS"}
    chain = why([a_stack(conditions=[not_ready("Waiting")], resources=[busy])])
    assert [link.state for link in chain] == ["Waiting", "CREATE_IN_PROGRESS"]


def test_what_is_ready_needs_no_chain():
    ready = Condition(type="Ready", status="True", reason="Reconciled", observed_generation=1)
    (link,) = why([a_stack(conditions=[ready])])
    assert link.state == "Ready"


def test_a_status_of_an_older_spec_says_so():
    ready = Condition(type="Ready", status="True", reason="Reconciled", observed_generation=0)
    (link,) = why([a_stack(conditions=[ready])])
    assert "has changed" in link.message


def test_a_long_rollback_does_not_push_the_cause_out():
    rollback = events(*[(f"R{i}", "DELETE_COMPLETE", "") for i in range(30)])
    kept = stacks.kept((*FAILED_CREATE, *rollback), 20)
    assert root_cause(kept) == root_cause(FAILED_CREATE)
    assert kept[-20:] == rollback[-20:]


OWNED = st.builds(
    Owned,
    name=st.sampled_from("abc"),
    native_id=st.sampled_from(["", "arn:1", "arn:2"]),
    type=st.just("stack"),
    uid=st.sampled_from(["u1", "u2", "u3"]),
)


@given(
    st.lists(st.tuples(st.sampled_from(["p", "q"]), OWNED)), st.sets(st.sampled_from(["u1", "u2"]))
)
def test_orphans(found, known):
    left = orphans(found, known)
    assert all(orphan.owned.uid not in known for orphan in left)
    keys = [(o.owned.type, o.owned.native_id or o.owned.name) for o in left]
    assert len(keys) == len(set(keys)), "each native thing once"
    lost = {(w.type, w.native_id or w.name) for _, w in found if w.uid not in known}
    assert set(keys) == lost
