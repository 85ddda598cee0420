"""What a plan compares and judges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.v1alpha1 import Stack
from isthmus.core import plan
from isthmus.core.plan import Check, Intent, Plan
from isthmus.core.stacks import Change, Changes, Verb
from tests.factories import an_offering_spec

VALUES = st.dictionaries(
    st.sampled_from(["size", "nodes", "engine", "licence", "unknown"]), st.integers(0, 3)
)


@given(VALUES, VALUES)
def test_parameters_that_differ_and_no_others(before, after):
    changes = plan.parameter_changes(an_offering_spec(), before, after)
    assert {c.name for c in changes} == {
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    }
    assert all((c.before, c.after) == (before.get(c.name), after.get(c.name)) for c in changes)


def test_at_creation_every_parameter_can_be_chosen():
    created = plan.parameter_changes(an_offering_spec(), {}, {"engine": "sql"})
    assert plan.immutables_check(created).passed


def test_a_parameter_that_cannot_change_is_named():
    changed = plan.parameter_changes(an_offering_spec(), {"engine": "sql"}, {"engine": "other"})
    check = plan.immutables_check(changed)
    assert (check.passed, check.message) == (
        False,
        "cannot be changed after creation: engine",
    )


LOSS = Changes(
    digest="0123456789abcdef",
    changes=(Change(verb=Verb.REPLACE, logical_id="Db", type="T", stateful=True),),
)


@pytest.mark.parametrize(
    ("changes", "approved", "passed", "reason"),
    [
        (Changes(), False, True, "nothing happens"),
        (LOSS, False, False, "data would be lost and nobody approved"),
        (LOSS, True, True, "approved"),
        (
            Changes(changes=(Change(verb=Verb.REPLACE, logical_id="A", type="T"),)),
            False,
            True,
            "what is replaced holds no data",
        ),
    ],
)
def test_loss_of_data_needs_approval(changes, approved, passed, reason):
    check = plan.replacement_check(changes, approved=approved, target="si/db --namespace a")
    assert check.passed is passed, reason


def test_the_remedy_is_the_command_that_approves():
    check = plan.replacement_check(LOSS, approved=False, target="si/db --namespace a")
    assert check.remedy == (
        "kubectl annotate si/db --namespace a --overwrite "
        "isthmus.dev/approve-replacement=0123456789ab"
    )


def test_one_check_that_fails_forbids():
    yes, no = (Check(name="x", passed=passed, message="") for passed in (True, False))
    assert Plan(subject="s", intent=Intent.CREATE, checks=(yes,)).allowed
    assert not Plan(subject="s", intent=Intent.CREATE, checks=(yes, no)).allowed


def a_stack(policy: str = "Delete") -> Stack:
    return Stack.model_validate(
        {
            "metadata": {"name": "db", "namespace": "a"},
            "spec": {
                "provider": "p",
                "deletionPolicy": policy,
                "stateful": ["Bucket"],
                "template": {
                    "Resources": {
                        "Bucket": {"DeletionPolicy": "Retain"},
                        "Db": {"DeletionPolicy": "Snapshot"},
                        "Topic": {},
                    }
                },
            },
            "status": {
                "resources": [
                    {"logicalId": name, "type": f"T::{name}"} for name in ("Bucket", "Db", "Topic")
                ]
            },
        }
    )


def test_a_deletion_spares_what_the_template_retains():
    assert {c.logical_id for c in plan.deletion_changes(a_stack())} == {"Db", "Topic"}
    assert plan.deletion_notes(a_stack()) == ("Bucket stays", "Db leaves a final snapshot")


def test_a_retained_stack_loses_nothing():
    assert plan.deletion_changes(a_stack("Retain")) == ()
    assert "stays as it is" in plan.deletion_notes(a_stack("Retain"))[0]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        (0, "0"),
        (False, "false"),
        ({"secretKeyRef": {"name": "s", "key": "k"}}, "(secret s/k)"),
    ],
)
def test_values_as_people_read_them(value, shown):
    assert plan.describe(value) == shown
