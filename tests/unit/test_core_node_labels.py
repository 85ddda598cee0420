"""Labels and taints with which no server would join are refused, with the field and the remedy."""

from typing import Any

import pytest

from isthmus.api import node_labels as rules
from isthmus.api.v1alpha1 import NodePoolSpec
from isthmus.core.node_labels import check
from isthmus.errors import InvalidSpec
from tests.pool_labels import LABELS, TAINTS, TOO_LONG


def refused(**spec: Any) -> str:
    """What is said of a pool; empty: nothing."""
    try:
        check(NodePoolSpec.model_validate({"cluster": "c"} | spec))
    except InvalidSpec as err:
        return err.message
    return ""


@pytest.mark.parametrize(("reason", "labels", "words"), LABELS)
def test_labels(reason: str, labels: dict[str, str], words: str) -> None:
    said = refused(labels=labels)
    assert (words in said and said.startswith("spec.labels")) if words else not said, reason
    in_parameters = refused(parameters={"labels": labels})
    assert in_parameters == said.replace("spec.labels", "spec.parameters.labels", 1)


def test_too_long_a_value_is_not_shown() -> None:
    assert refused(labels=TOO_LONG) == f"spec.labels.tier: {rules.VALUE_WORDS}."


@pytest.mark.parametrize(("reason", "taints", "words"), TAINTS)
def test_taints(reason: str, taints: list[dict[str, Any]], words: str) -> None:
    said = refused(taints=taints)
    number = len(taints) - 1
    assert (words in said and said.startswith(f"spec.taints.{number}:")) if words else not said


@pytest.mark.parametrize(
    ("taint", "words"),
    [
        ("a=b:NoSchedule", ""),
        ("a=:NoExecute", ""),
        ("a=b:Bogus", "the effect must be one of NoSchedule, PreferNoSchedule, NoExecute"),
        ("a=b:NoSchedule\n", "the effect must be one of"),
        ("a=b", "write it as key=value:effect"),
        ("a b=c:NoSchedule", rules.KEY_WORDS),
        ("a=b=c:NoSchedule", rules.VALUE_WORDS),
        ("a=b:c:NoSchedule", "write it as key=value:effect"),
    ],
)
def test_taints_as_parameters(taint: str, words: str) -> None:
    said = refused(parameters={"taints": ["x=:NoSchedule", taint]})
    assert (words in said and said.startswith("spec.parameters.taints.1:")) if words else not said


def test_what_is_no_list_or_map_of_texts_is_left_to_the_schema() -> None:
    assert not refused(parameters={"labels": [1], "taints": {"a": 1}})
    assert not refused(parameters={"labels": {"a": 1}, "taints": [1]})


def test_typed_fields_come_before_parameters() -> None:
    assert not refused(labels={"a": "b"}, parameters={"labels": {"a b": ""}})
