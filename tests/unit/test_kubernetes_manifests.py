"""Templates of the driver ``kubernetes``: their form, parameters, order, outputs, differences."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.api.meta import Json
from isthmus.core.stacks import TAG_UID, NativeStack, StackName
from isthmus.drivers.kubernetes import DRIVER, manifests
from isthmus.drivers.kubernetes.differences import differing
from isthmus.drivers.kubernetes.inventory import (
    Member,
    fresh,
    from_config_map,
    to_config_map,
    united,
)
from isthmus.drivers.kubernetes.kube import Ref
from isthmus.errors import InvalidSpec
from tests.kubernetes_home import config_map

SECRET: Json = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "login"},
    "stringData": {"password": {"$parameter": "Password"}},
}


def a_stack(*objects: Any, **more: Any) -> NativeStack:
    template = {"manifests": list(objects)}
    return NativeStack(name=StackName("s"), template=template, tags={TAG_UID: "u-1"}, **more)


def lint(template: Json) -> list[tuple[str, str]]:
    assert DRIVER.lint is not None
    return [(finding.path, finding.message) for finding in DRIVER.lint(template)]


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ({}, "manifests"),
        ({"manifests": []}, "manifests"),
        ({"manifests": ["a: [b"]}, "manifests[0]"),
        ({"manifests": [{"kind": "ConfigMap"}]}, "manifests[0].apiVersion"),
        ({"manifests": [config_map("a"), 3]}, "manifests[1]"),
        ({"manifests": [config_map("")]}, "manifests[0].metadata.name"),
        ({"manifests": [config_map("a"), config_map("a")]}, "manifests"),
        ({"manifests": [config_map("a")], "output": {}}, "output"),
        ({"manifests": [config_map("a")], "outputs": {"X": {"$get": ["b", "c"]}}}, "outputs.X"),
        (
            {"manifests": [SECRET], "outputs": {"X": {"$get": ["Secret/login", "data"]}}},
            "outputs.X",
        ),
    ],
)
def test_a_wrong_template_is_named_by_its_place(template: Json, path: str) -> None:
    assert [found for found, _ in lint(template)] == [path]


def test_a_good_template_has_no_findings() -> None:
    outputs = {"Url": {"$join": ["http://", {"$get": ["ConfigMap/a", "data.host"]}]}}
    assert lint({"manifests": [config_map("a"), SECRET], "outputs": outputs}) == []


def test_lists_and_yaml_text_are_opened() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n" + (
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, "
        "metadata: {name: b, namespace: n}}\n"
    )
    found = manifests.read({"manifests": [text]})
    assert [manifests.identify(obj) for obj in found] == ["ConfigMap/a", "ConfigMap/n/b"]


def test_what_is_sent_bears_our_tags_and_no_plain_secret() -> None:
    native = a_stack(
        SECRET, parameters={"Password": "hunter2"}, secret_parameters=frozenset({"Password"})
    )
    sent = manifests.manifest(SECRET, native, "shop")
    assert sent.body["metadata"]["labels"] == {TAG_UID: "u-1"}
    assert sent.body["metadata"]["annotations"][manifests.ID] == "Secret/login"
    assert base64.b64decode(sent.body["data"]["password"]) == b"hunter2"
    assert "stringData" not in sent.body
    assert sent.secret
    assert "hunter2" not in repr(sent)
    assert str(sent.ref) == "Secret shop/login"


def test_a_secret_parameter_stands_in_secrets_only() -> None:
    leaking = config_map("a") | {"data": {"password": {"$parameter": "Password"}}}
    native = a_stack(
        leaking, parameters={"Password": "x"}, secret_parameters=frozenset({"Password"})
    )
    with pytest.raises(InvalidSpec, match=r"'Password' is secret"):
        manifests.manifest(leaking, native, "shop")
    with pytest.raises(InvalidSpec, match=r"'Password' has no value"):
        manifests.manifest(SECRET, a_stack(SECRET), "shop")


def test_what_others_need_comes_first() -> None:
    kinds = ["Deployment", "Widget", "Namespace", "Secret", "ClusterRole", manifests.CRD, "Service"]
    assert sorted(kinds, key=manifests.rank) == [
        "Namespace",
        manifests.CRD,
        "ClusterRole",
        "Secret",
        "Service",
        "Deployment",
        "Widget",
    ]


@pytest.mark.parametrize(
    ("kind", "mark", "stateful"),
    [
        ("PersistentVolumeClaim", "", True),
        ("PersistentVolumeClaim", "false", False),
        ("ConfigMap", "", False),
        ("ConfigMap", "true", True),
    ],
)
def test_what_holds_data_is_known_or_said(kind: str, mark: str, stateful: bool) -> None:
    obj = config_map("a") | {"kind": kind}
    if mark:
        obj["metadata"]["annotations"] = {manifests.STATEFUL: mark}
    assert manifests.manifest(obj, a_stack(obj), "n").stateful is stateful


def test_outputs_are_left_out_until_they_are_there() -> None:
    spec = {
        "Url": {"$join": ["http://", {"$get": ["web", "status.ingress[0].ip"]}]},
        "Name": {"$get": ["web", "metadata.name"]},
        "Fixed": "x",
    }
    early: Json = {"metadata": {"name": "web"}, "status": {"ingress": []}}
    assert manifests.outputs(spec, {"web": early}) == {"Name": "web", "Fixed": "x"}
    late = early | {"status": {"ingress": [{"ip": "10.0.0.1"}]}}
    assert manifests.outputs(spec, {"web": late})["Url"] == "http://10.0.0.1"


def test_differences_name_fields_and_not_what_the_server_owns() -> None:
    one = {"metadata": {"name": "a", "uid": "1"}, "spec": {"a": 1, "list": [{"x": 1}]}, "status": 1}
    other = {"metadata": {"name": "a", "uid": "2"}, "spec": {"b": 1, "list": [{"x": 2}]}}
    assert differing(one, other) == ("spec.a", "spec.b", "spec.list[0].x")


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3)
    ),
    max_leaves=10,
)


@given(one=VALUES, other=VALUES)
def test_nothing_differs_exactly_where_all_is_equal(one: Any, other: Any) -> None:
    fields = differing({"spec": one}, {"spec": other})
    assert bool(fields) == (one != other)


NAMES = st.sampled_from("abcde")
MEMBERS = st.builds(
    lambda name, stateful: Member(id=name, ref=Ref("v1", "C", "n", name), stateful=stateful),
    NAMES,
    st.booleans(),
)


@given(former=st.lists(MEMBERS), wanted=st.lists(MEMBERS))
def test_the_union_forgets_nothing(former: list[Member], wanted: list[Member]) -> None:
    found = united(former, wanted)
    assert {m.ref for m in found} == {m.ref for m in (*former, *wanted)}
    assert len(found) == len({m.ref for m in found})


@given(members=st.lists(MEMBERS, unique_by=lambda m: m.id), message=st.text(max_size=20))
def test_an_inventory_is_read_as_it_was_written(members: list[Member], message: str) -> None:
    from dataclasses import replace

    written = replace(fresh(a_stack(), "n"), members=tuple(members), message=message)
    obj = to_config_map(written)
    obj["metadata"] |= {"uid": "1", "resourceVersion": "7"}
    assert from_config_map(obj) == replace(written, uid="1", version="7")


CLASSES: Json = {
    "$each": [
        [{"name": "fast", "type": "ssd", "default": True}, {"name": "slow"}],
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": {"$item": "name"},
                "annotations": {"usual": {"$join": [{"$item": "default"}]}},
            },
            "provisioner": "csi.test",
            "parameters": {"type": {"$item": "type"}},
        },
    ]
}


def test_a_list_becomes_an_object_each_and_what_an_item_lacks_is_left_out() -> None:
    template: Json = {"manifests": [CLASSES], "outputs": {"Classes": {"$names": "StorageClass"}}}
    assert lint(template) == []
    fast, slow = manifests.read(template)
    assert manifests.identify(slow) == "StorageClass/slow"
    assert fast["parameters"] == {"type": "ssd"}
    assert slow["parameters"] == {}
    stack = a_stack(CLASSES)
    assert manifests.manifest(fast, stack, "").body["metadata"]["annotations"]["usual"] == "true"
    live = {manifests.identify(obj): obj for obj in (slow, fast)}
    assert manifests.outputs(template["outputs"], live) == {"Classes": "fast,slow"}


@pytest.mark.parametrize(
    ("condition", "names"),
    [(True, ["a", "b"]), (False, ["c"]), ("", ["c"]), ([], ["c"]), ("text", ["a", "b"])],
)
def test_a_condition_chooses_between_manifests(condition: Any, names: list[str]) -> None:
    chosen = {"$if": [condition, [config_map("a"), config_map("b")], config_map("c")]}
    found = manifests.read({"manifests": [chosen, {"$if": [False, config_map("never")]}]})
    assert [obj["metadata"]["name"] for obj in found] == names


MISSHAPEN: list[Json] = [
    {"$if": [True]},
    {"$if": True},
    {"$each": [[]]},
    {"$each": [{}, {}]},
    {"$item": "name"},
]


@pytest.mark.parametrize("node", MISSHAPEN)
def test_what_is_no_condition_and_no_list_is_named(node: Json) -> None:
    ((path, _message),) = lint({"manifests": [config_map("a"), node]})
    assert path == "manifests[1]"
