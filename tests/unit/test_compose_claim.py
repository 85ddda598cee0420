"""A ServiceInstance becomes one Stack."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.meta import PAUSED
from isthmus.core import catalog, stacks
from isthmus.core.compose.claim import compose
from isthmus.errors import InvalidSpec
from tests.factories import a_provider, an_instance, an_offering_spec
from tests.golden_files import assert_golden

SECRET = {"secretKeyRef": {"name": "licences", "key": "db"}}


def composed(instance=None, definition=None):
    instance, definition = instance or an_instance(), definition or an_offering_spec()
    values = catalog.values_of(definition, instance.spec)
    return compose(instance, definition, a_provider(), values)


def test_golden():
    stack = composed(an_instance(parameters={"nodes": 2, "licence": SECRET}))
    text = orjson.dumps(stack.dump(), option=orjson.OPT_INDENT_2).decode() + "\n"
    assert_golden(text, "compose/service-instance.json")


def test_a_secret_stays_a_reference():
    parameter = composed(an_instance(parameters={"licence": SECRET})).spec.parameters["Licence"]
    assert parameter.value is None
    assert parameter.secret_key_ref is not None
    assert parameter.secret_key_ref.name == "licences"


def test_a_secret_in_a_template_is_refused():
    definition = an_offering_spec(stacks={"fake": {"template": {"Resources": {"A": "${licence}"}}}})
    with pytest.raises(InvalidSpec, match="licence"):
        composed(an_instance(parameters={"licence": SECRET}), definition)


def test_a_secret_mixed_with_text_is_refused():
    definition = an_offering_spec(
        stacks={"fake": {"template": {}, "parameters": {"P": "x${licence}"}}}
    )
    with pytest.raises(InvalidSpec, match="mixes a secret"):
        composed(an_instance(parameters={"licence": SECRET}), definition)


@pytest.mark.parametrize(
    ("spec", "words", "reason"),
    [
        ({"plan": "huge"}, "dev, production", "an unknown plan names the known ones"),
        ({"parameters": {"nodes": 10}}, "spec.parameters.nodes", "a value out of range"),
        ({"parameters": {"nodez": 1}}, "nodez", "a misspelt parameter"),
        ({"plan": "production", "parameters": {"size": "small"}}, "fixes it", "a fixed value"),
        ({"parameters": {"licence": "hunter2"}}, "spec.parameters.licence", "a secret in clear"),
    ],
)
def test_a_wrong_request_names_the_field(spec, words, reason):
    with pytest.raises(InvalidSpec) as caught:
        composed(an_instance(**spec))
    assert words in caught.value.message, reason
    assert "hunter2" not in caught.value.message


def test_annotations_that_mean_something_for_the_stack_are_passed_on():
    instance = an_instance()
    meta = instance.metadata.model_copy(update={"annotations": {PAUSED: "true", "other": "x"}})
    assert composed(instance.model_copy(update={"metadata": meta})).metadata.annotations == {
        PAUSED: "true"
    }


def test_the_external_name_outlives_the_stack_object():
    stack = composed()
    lost_and_made_again = stack.model_copy(
        update={"metadata": stack.metadata.model_copy(update={"uid": "another"})}
    )
    assert stacks.external_name(stack) == stacks.external_name(lost_and_made_again)
    assert "0f-uid" in stacks.external_name(stack)


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_digest_ignores_the_order_of_keys(keys):
    assert stacks.digest(dict.fromkeys(keys, 1)) == stacks.digest(dict.fromkeys(sorted(keys), 1))


@given(st.text(), st.text(min_size=1))
def test_the_digest_sees_every_change(value, more):
    assert stacks.digest({"a": value}) != stacks.digest({"a": value + more})


def test_an_approval_names_one_change():
    digest = stacks.digest({"a": 1})
    assert stacks.approves(digest[:12], digest)
    assert not stacks.approves(digest[:11], digest), "too short to name one change"
    assert not stacks.approves("true", digest)
    assert not stacks.approves(stacks.digest({"a": 2}), digest)
