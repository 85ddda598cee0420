"""What is wrong with a HOT template is found without a cloud."""

from typing import Any

import pytest

from isthmus.api.meta import Json
from isthmus.drivers.openstack.lint import check

NET: Json = {"type": "OS::Neutron::Net"}


def hot(resources: Json | None = None, **sections: Any) -> Json:
    return {"heat_template_version": "2021-04-16", "resources": resources or {"n": NET}} | sections


def using(value: Any) -> Json:
    return hot({"n": NET, "s": {"type": "OS::Neutron::Net", "properties": {"name": value}}})


def test_a_good_template_has_no_findings():
    node = {
        "type": "OS::Nova::Server",
        "properties": {
            "flavor": {"get_param": "flavor"},
            "networks": [{"network": {"get_resource": "n"}}],
            "metadata": {"n": "%index%"},
        },
    }
    group = {
        "type": "OS::Heat::ResourceGroup",
        "properties": {"count": 3, "resource_def": {"type": "node.yaml"}},
    }
    template = hot(
        {"n": NET, "g": group, "s": node | {"depends_on": ["g"], "condition": "always"}},
        parameters={"flavor": {"type": "string"}},
        conditions={"always": True},
        files={"node.yaml": hot()},
        outputs={
            "Id": {"value": {"get_attr": ["n", "status"]}},
            "Members": {"value": {"get_attr": ["g", "resource.0.first_address"]}},
        },
    )
    assert check(template) == ()


@pytest.mark.parametrize(
    ("template", "path", "words"),
    [
        (hot() | {"Resources": {}}, "Resources", "no section"),
        ({"resources": {"n": NET}}, "heat_template_version", "version"),
        ({"heat_template_version": "2021-04-16"}, "resources", "none"),
        (hot({"n": {"type": "OS::Neutron::Network"}}), "resources.n.type", "OS::Neutron::Net"),
        (hot({"n": {"type": "other.yaml"}}), "resources.n.type", "no type"),
        (hot({"n": NET | {"dependsOn": "x"}}), "resources.n.dependsOn", "no part"),
        (hot({"n": NET | {"depends_on": "x"}}), "resources.n.depends_on", "'x'"),
        (hot({"n": NET | {"condition": "x"}}), "resources.n.condition", "'x'"),
        (
            hot({"n": NET | {"properties": {"nam": "x"}}}),
            "resources.n.properties.nam",
            "did you mean name",
        ),
        (hot({"s": {"type": "OS::Nova::Server"}}), "resources.s.properties.flavor", "needs it"),
        (
            hot({"n": NET | {"properties": {"admin_state_up": [1]}}}),
            "resources.n.properties.admin_state_up",
            "boolean",
        ),
        (
            hot({"n": {"type": "OS::Neutron::SecurityGroup", "properties": {"rules": [{"x": 1}]}}}),
            "resources.n.properties.rules[0].x",
            "no such property",
        ),
        (using({"get_param": "x"}), "resources.s.properties.name", "no parameter 'x'"),
        (using({"get_resource": "x"}), "resources.s.properties.name", "no resource 'x'"),
        (using({"get_attr": ["n", "x"]}), "resources.s.properties.name", "no attribute 'x'"),
        (using({"get_file": "x"}), "resources.s.properties.name", "no file 'x'"),
        (using({"get_parm": "x"}), "resources.s.properties.name", "no function 'get_parm'"),
        (using({"if": ["x", "a", "b"]}), "resources.s.properties.name", "no condition 'x'"),
        (hot(parameters={"p": {"type": "text"}}), "parameters.p.type", "string"),
        (hot(outputs={"o": {}}), "outputs.o", "value"),
        (
            hot(
                parameters={"p": {"type": "string", "hidden": True}},
                outputs={"o": {"value": {"get_param": "p"}}},
            ),
            "outputs.o",
            "hidden",
        ),
        (
            hot({"v": {"type": "OS::Cinder::Volume", "properties": {"size": 1}}}),
            "resources.v",
            "deletion_policy",
        ),
        (
            hot({"g": {"type": "m.yaml"}}, files={"m.yaml": hot({"n": {"type": "X"}})}),
            "files.m.yaml.resources.n.type",
            "no type",
        ),
    ],
)
def test_what_is_wrong_is_found_with_its_path(template: Json, path: str, words: str):
    [finding] = check(template)
    assert finding.path == path
    assert words in finding.message
