"""What happens to a template on its way, the names of operations, and the table of states."""

import re
from typing import Any

import pytest
from botocore.session import get_session
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.documents import keep_fields
from isthmus.core.placeholders import fill, strings
from isthmus.core.stacks import NativeStack, StackName
from isthmus.drivers.aws import states, template
from isthmus.drivers.aws.template import Attempt, Verb
from isthmus.errors import InvalidSpec
from tests.golden_files import assert_golden

DIGEST = "0123456789abcdef" * 4


def native(document: dict[str, Any], **more: Any) -> NativeStack:
    return NativeStack(name=StackName("s"), template=document, digest=DIGEST, **more)


def test_every_state_has_its_meaning():
    lines = [
        f"{name:44} {state.phase:8} {state.step:12} {state.says}".rstrip()
        for name, state in sorted(states.STATES.items())
    ]
    assert_golden("\n".join(lines) + "\n", "aws/states.txt")


def test_no_state_of_aws_is_missing():
    """The SDK's model of CloudFormation lists them all."""
    model = get_session().get_service_model("cloudformation")
    assert set(model.shape_for("StackStatus").enum) == set(states.STATES)


def test_a_state_that_aws_adds_later_counts_by_its_ending():
    assert states.of("MOVE_IN_PROGRESS").step is states.Step.WAIT
    assert states.of("MOVE_FAILED").step is states.Step.REFUSE
    assert states.of("MOVE_COMPLETE").step is states.Step.UPDATE


@given(st.sampled_from(list(Verb)), st.text("0123456789abcdef", min_size=64, max_size=64))
def test_a_token_says_what_was_tried(verb, digest):
    stack = NativeStack(name=StackName("s"), template={}, digest=digest)
    text = template.token(verb, stack, ("a", None))
    assert template.attempt(text) == Attempt(verb, digest)
    assert re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", text)
    assert text == template.token(verb, stack, ("a", None))
    assert text != template.token(verb, stack, ("b", None))


@given(st.text())
def test_a_token_of_somebody_else_is_none_of_ours(text):
    assert template.attempt(text) is None


def test_a_mark_differs_from_the_one_that_is_there():
    outputs: dict[str, str] = {}
    seen: set[str] = set()
    for _ in range(4):
        mark = template.next_mark("d1", outputs)
        assert mark not in seen
        seen.add(mark)
        outputs = {template.DIGEST_OUTPUT: mark}
        assert template.marked_digest(outputs) == "d1"
    assert template.next_mark("d2", outputs) == "d2"


def test_a_template_gets_our_output_and_loses_its_nulls():
    document = {"Resources": {"Q": {"Properties": {"A": None, "B": [1, None]}}}}
    prepared = template.prepare(native(document), "mark")
    assert prepared["Resources"] == {"Q": {"Properties": {"B": [1]}}}
    assert prepared["Outputs"][template.DIGEST_OUTPUT]["Value"] == "mark"
    assert "Outputs" not in document


def test_secret_parameters_are_hidden_and_must_be_declared():
    document = {"Parameters": {"Word": {"Type": "String"}}}
    prepared = template.prepare(native(document, secret_parameters=frozenset({"Word"})), "m")
    assert prepared["Parameters"]["Word"]["NoEcho"] is True
    with pytest.raises(InvalidSpec, match=r"template\.Parameters\.Other: declare it"):
        template.prepare(native(document, secret_parameters=frozenset({"Other"})), "m")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Resources.A.Properties.Size", {"Size": 1, "Tags": [7, 8], "New": 1}),
        ("Resources.A.Properties.Tags[0]", {"Size": 9, "Tags": [2, 8], "New": 1}),
        ("Resources.A.Properties.New", {"Size": 9, "Tags": [7, 8]}),
        ("Resources.B.Properties.Size", {"Size": 9, "Tags": [7, 8], "New": 1}),
    ],
)
def test_ignored_fields_keep_what_is_deployed(path, expected):
    wanted = {"Resources": {"A": {"Properties": {"Size": 9, "Tags": [7, 8], "New": 1}}}}
    deployed = {"Resources": {"A": {"Properties": {"Size": 1, "Tags": [2, 3]}}}}
    kept = keep_fields(wanted, deployed, [path])["Resources"]["A"]["Properties"]
    assert kept == expected


def test_an_import_has_nothing_but_what_it_imports():
    document = {
        "Resources": {
            "A": {"Type": "X", "DependsOn": "B"},
            "B": {"Type": "Y", "DeletionPolicy": "Snapshot"},
        },
        "Outputs": {"O": {"Value": 1}},
    }
    found = template.only_resources(document, ["A", "B"])
    assert found == {
        "Resources": {
            "A": {"DeletionPolicy": "Retain", "Type": "X"},
            "B": {"DeletionPolicy": "Snapshot", "Type": "Y"},
        }
    }
    with pytest.raises(InvalidSpec, match=r"spec\.adopt\.resources\.C: the template has no such"):
        template.only_resources(document, ["C"])


def test_a_template_beyond_any_limit_is_refused():
    with pytest.raises(InvalidSpec, match="at most 1,000,000"):
        template.body({"Description": "x" * 1_000_001})


def test_placeholders_of_the_driver():
    scope = {"result.id": 7, "call.token": "ab"}
    filled, missing = fill({"a": "${result.id}", "b": ["n-${call.token}-${result.id}"]}, scope)
    assert (filled, missing) == ({"a": 7, "b": ["n-ab-7"]}, frozenset())
    filled, missing = fill("${resources.Gone} ${AWS::Region}", scope)
    assert (filled, missing) == ("${resources.Gone} ${AWS::Region}", {"resources.Gone"})
    assert list(strings({"a": ["x", {"b": "y"}], "c": 1})) == ["x", "y"]
