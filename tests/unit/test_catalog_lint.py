"""Lint names the field and the remedy, whatever it is given."""

import copy
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.core import manifests
from isthmus.core.lint import lint
from isthmus.core.render import placeholders
from isthmus.errors import InvalidSpec
from tests.catalog_files import NAMES, manifest

GOOD = {
    "apiVersion": "isthmus.dev/v1alpha1",
    "kind": "Offering",
    "metadata": {"name": "queue"},
    "spec": {
        "title": "Queue",
        "description": "A queue.",
        "category": "messaging",
        "parameters": {
            "type": "object",
            "properties": {
                "size": {
                    "title": "Size",
                    "description": "How large.",
                    "type": "string",
                    "enum": ["small", "large"],
                    "default": "small",
                    "x-updatable": True,
                },
                "licence": {
                    "title": "Licence",
                    "description": "Licence key.",
                    "type": "string",
                    "writeOnly": True,
                    "x-updatable": False,
                },
            },
        },
        "plans": [{"name": "dev", "title": "Dev", "parameters": {"size": "small"}}],
        "stacks": {
            "fake": {
                "template": {
                    "Resources": {"Queue": {"Type": "Fake::Queue", "Size": "${size}"}},
                    "Outputs": {"Url": {"Value": "x"}},
                },
                "parameters": {"Licence": "${licence}"},
                "stateful": ["Queue"],
                "credentials": [
                    {"strategy": "static", "spec": {"access": "${binding.access}"}},
                ],
                "actions": {"purge": {"calls": [{"queue": "${outputs.Url}"}]}},
                "preDelete": [{"step": "drain", "queue": "${outputs.Url}"}],
            }
        },
        "binding": {
            "type": "queue",
            "keys": {"url": "${outputs.Url}", "password": "${credential.password}"},
            "parameters": {
                "properties": {"access": {"title": "Access", "description": "How far."}},
            },
        },
        "actions": [{"name": "purge", "title": "Purge"}],
        "prices": [
            {
                "driver": "fake",
                "region": "here",
                "asOf": "2025-01-01",
                "source": "https://prices.example/",
                "hourly": [{"name": "queue", "by": "size", "amounts": {"small": "1"}}],
            }
        ],
    },
}


def changed(path: str, value):
    """Return the good manifest with one path set; ``...`` removes it."""
    manifest = copy.deepcopy(GOOD)
    *parents, last = [int(p) if p.isdigit() else p for p in path.split("/")]
    node = manifest
    for part in parents:
        node = node[part]
    if value is ...:
        del node[last]
    elif isinstance(node, list) and last == len(node):
        node.append(value)
    else:
        node[last] = value
    return manifest


def test_a_good_offering_has_no_findings():
    assert lint(GOOD) == ()


STACK = "spec/stacks/fake"
PARAMETERS = "spec/parameters/properties"
AUTO = {"service": "sizes", "there": "large", "absent": "huge", "when": {"colour": "red"}}
CASES = [
    ("kind", "Sandwich", "kind", "another kind"),
    ("spec/title", "", "spec.title", "an empty title"),
    ("spec/plans/0/colour", "red", "spec.plans[0].colour", "an unknown field"),
    (f"{PARAMETERS}/size/title", ..., "spec.parameters.properties.size", "no title"),
    (f"{PARAMETERS}/size/description", "", "spec.parameters.properties.size", "no help"),
    (f"{PARAMETERS}/size/x-updatable", ..., "spec.parameters.properties.size", "no x-updatable"),
    (f"{PARAMETERS}/size/default", "tiny", "spec.parameters.properties.size.default", "no fit"),
    (f"{PARAMETERS}/size/type", "strong", "spec.parameters", "no JSON Schema"),
    (f"{PARAMETERS}/size/x-auto", [], f"{PARAMETERS}/size/x-auto", "no mapping"),
    (f"{PARAMETERS}/size/x-auto", {"service": "s"}, f"{PARAMETERS}/size/x-auto.there", "one side"),
    (f"{PARAMETERS}/size/x-auto", AUTO, f"{PARAMETERS}/size/x-auto", "auto is no value of it"),
    (f"{PARAMETERS}/size/x-auto", AUTO, f"{PARAMETERS}/size/x-auto.absent", "a value unknown"),
    (f"{PARAMETERS}/size/x-auto", AUTO, f"{PARAMETERS}/size/x-auto.when.colour", "a condition"),
    (f"{PARAMETERS}/licence/default", "x", "spec.parameters.properties.licence.default", "secret"),
    (f"{STACK}/template/Resources/Queue/Size", "big", f"{PARAMETERS}/size", "an unused parameter"),
    ("spec/plans/0/parameters/size", "tiny", "spec.plans[0].parameters.size", "a wrong value"),
    ("spec/plans/0/parameters/colour", 1, "spec.plans[0].parameters.colour", "an unknown value"),
    ("spec/plans/0/parameters/licence", "x", "spec.plans[0].parameters.licence", "a secret"),
    ("spec/plans/0/fixed", ["colour"], "spec.plans[0].fixed[0]", "fixes what is unknown"),
    ("spec/plans/0/fixed", ["licence"], "spec.plans[0].fixed[0]", "fixes what has no value"),
    ("spec/plans/1", {"name": "dev", "title": "x"}, "spec.plans[1].name", "two of one name"),
    (f"{STACK}/template/X", "${sizes}", f"{STACK}/template/X", "an unknown placeholder"),
    (f"{STACK}/template/X", "${size", f"{STACK}/template/X", "an open placeholder"),
    (f"{STACK}/template/X", "${ size }", f"{STACK}/template/X", "a placeholder with blanks"),
    (f"{STACK}/template/X", "${outputs.Url}", f"{STACK}/template/X", "an output in the template"),
    (f"{STACK}/template/X", "${licence}", f"{STACK}/template/X", "a secret in the template"),
    (f"{STACK}/parameters/P", "x${licence}", f"{STACK}/parameters/P", "a secret in other text"),
    (f"{STACK}/actions/purge/x", "${licence}", f"{STACK}/actions/purge/x", "a secret in a call"),
    (f"{STACK}/actions/purge/x", "${action.n}", f"{STACK}/actions/purge/x", "an unknown input"),
    (f"{STACK}/actions/purge/x", "${result.n}", f"{STACK}/actions/purge/x", "an unknown result"),
    (f"{STACK}/actions/purge", ..., "spec.actions[0]", "an action without calls"),
    (f"{STACK}/actions/stop", {}, f"{STACK}/actions/stop", "calls without an action"),
    (f"{STACK}/stateful", ["Topic"], "spec.stacks.fake.stateful[0]", "an unknown resource"),
    (f"{STACK}/credentials/0/spec/x", "${binding.y}", f"{STACK}/credentials[0]/spec/x", "unknown"),
    (f"{STACK}/credentials/0/keys", {"url": "x"}, f"{STACK}/credentials[0]/keys/url", "twice"),
    (f"{STACK}/preDelete/0/queue", "${outputs.Uri}", f"{STACK}/preDelete[0]/queue", "no output"),
    ("spec/binding/keys/url", "${outputs.Uri}", "spec.binding.keys.url", "no such output"),
    ("spec/binding/keys/type", "x", "spec.binding.keys.type", "a key that is always there"),
    ("spec/binding", ..., f"{STACK}/credentials", "credentials but no binding"),
    ("spec/prices/0/driver", "aws", "spec.prices[0].driver", "a price of no stack"),
    ("spec/prices/0/hourly/0/by", "colour", "spec.prices[0].hourly[0].by", "unknown parameter"),
    ("spec/prices/0/hourly/0/times", ["n"], "spec.prices[0].hourly[0].times", "unknown factor"),
    ("spec/prices/0/hourly/0/plans", ["n"], "spec.prices[0].hourly[0].plans", "unknown plan"),
    ("spec/prices/0/hourly/0/amounts", {"x": "1"}, "spec.prices[0].hourly[0].amounts.x", "value"),
    ("spec/prices/0/hourly/0/amount", "1", "spec.prices[0].hourly[0]", "two ways to a price"),
]


@pytest.mark.parametrize(("path", "value", "where", "reason"), CASES)
def test_a_mistake_is_found_where_it_is(path, value, where, reason):
    found = {finding.path for finding in lint(changed(path, value))}
    assert where.replace("/", ".") in found, reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@settings(max_examples=60)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=5))
def test_it_never_crashes_on_any_object(value):
    assert lint(value)


@settings(max_examples=60)
@given(st.sampled_from([path for path, *_ in CASES]), JSON)
def test_it_never_crashes_on_a_good_offering_with_one_odd_part(path, value):
    for finding in lint(changed(path, value)):
        assert finding.message
        assert finding.rule


TEXTS = sorted({(name, path) for name in NAMES for path, _ in placeholders(manifest(name).body)})


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(TEXTS), st.data())
def test_a_broken_placeholder_is_never_accepted(place, data):
    """Remove or add a letter inside one placeholder of a real offering."""
    name, path = place
    body = copy.deepcopy(manifest(name).body)
    parent, key = _descend(body, path)
    text = parent[key]
    starts = [m.start() + 2 for m in re.finditer(r"(?<!\$)\$\{", text)]
    start = data.draw(st.sampled_from(starts))
    broken = data.draw(st.sampled_from(["zzz" + text[start], text[start + 1] + "zz"]))
    parent[key] = text[:start] + broken + text[start + 1 :]
    assert lint(body), f"{path}: {parent[key]}"


def _descend(body, path):
    """Return the container of a path and the last key; keys may hold dots themselves."""
    node = body
    while True:
        for key in node if isinstance(node, dict) else range(len(node)):
            head = f"[{key}]" if isinstance(node, list) else str(key)
            if path == head:
                return node, key
            if path.startswith((head + ".", head + "[")):
                path = path[len(head) :].removeprefix(".")
                node = node[key]
                break
        else:
            raise AssertionError(path)


def test_a_line_is_known_for_every_path():
    text = "a: 1\nb:\n  - c: 2\n    d: {e: 3}\n"
    (document,) = manifests.read(text)
    assert document.body == {"a": 1, "b": [{"c": 2, "d": {"e": 3}}]}
    assert [document.line_of(p) for p in ("a", "b", "b[0].c", "b[0].d.e")] == [1, 2, 3, 4]
    assert document.line_of("b[0].d.missing.deep") == 4, "the nearest that is there"
    assert document.line_of("nowhere") == 1


def test_dates_stay_text_and_empty_documents_are_left_out():
    first, second = manifests.read("asOf: 2025-01-01\n---\n---\nb: on\n")
    assert first.body == {"asOf": "2025-01-01"}
    assert second.body == {"b": True}
    assert second.line_of("b") == 4


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("a: 1\nb: [", "line 2", "an open bracket"),
        ("a: 1\na: 2", "line 2: key 'a' is written twice", "a key that is there twice"),
        ("- a", "line 1: expected an object", "a list"),
        ("a: &x\n  b: *x", "line 1", "a value that holds itself"),
        ("a: !!python/object:os.system x", "line 1", "a tag that JSON does not know"),
    ],
)
def test_text_that_is_no_manifest_names_the_line(text, words, reason):
    with pytest.raises(InvalidSpec) as caught:
        manifests.read(text)
    assert words in caught.value.message, reason


@given(st.text())
def test_reading_any_text_ends_in_documents_or_in_a_clear_refusal(text):
    try:
        documents = manifests.read(text)
    except InvalidSpec as exc:
        refusal = exc.message
    else:
        refusal = "line " if all(isinstance(d.body, dict) for d in documents) else ""
    assert refusal.startswith("line ")
