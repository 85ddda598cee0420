"""Everything that Heat makes says from its first moment whose stack it is of."""

from collections.abc import Iterator
from typing import Any, cast

import pytest

from isthmus.api.meta import Json
from isthmus.core import stacks
from isthmus.core.stacks import TAG_UID, NativeStack, StackName
from isthmus.drivers.openstack import birthmarks, template
from tests.catalog_files import composed

UID = "7a1e0c52-uid"
STACK = f"isthmus-shop-{UID}"
WORDS = f"of stack {STACK}"
NAMELESS = "OS::Neutron::FloatingIP"
FIP: Json = {"type": NAMELESS, "properties": {"floating_network": "public"}}
OFFERINGS = (
    ("kubernetes-nova", "production"),
    ("kubernetes-nova-pool", "dev"),
    ("machine", "production"),
    ("network", "routed"),
    ("openshift-nova", "production"),
)


def put(resources: Json) -> Json:
    return cast("Json", birthmarks.put({"resources": resources}, STACK)["resources"])


def kept(resources: Json, deployed: Json, *, fresh: bool = True) -> Json:
    before: Json = {"resources": deployed}
    found = birthmarks.keep({"resources": resources}, STACK, before, fresh=fresh)
    return cast("Json", found["resources"])


def properties(kind: str, **given: Any) -> Json:
    """The properties of a resource of that type as they are asked for."""
    return cast("Json", put({"it": {"type": kind, "properties": given}})["it"]["properties"])


@pytest.mark.parametrize("kind", ["Net", "Subnet", "Router", "Port"])
def test_what_has_a_name_of_its_own_is_described(kind: str):
    found = properties(f"OS::Neutron::{kind}", name="shop", value_specs={"mtu": 1400})
    assert found["value_specs"] == {"mtu": 1400, "description": WORDS}
    assert "value_specs" not in properties(f"OS::Neutron::{kind}", network="n")


def test_a_floating_ip_has_no_name_and_is_described_always():
    assert properties(NAMELESS)["value_specs"] == {"description": WORDS}
    assert properties(NAMELESS, value_specs={"description": "Mine"}) == {
        "value_specs": {"description": "Mine"}
    }


@pytest.mark.parametrize("kind", ["OS::Nova::Server", "OS::Cinder::Volume"])
def test_servers_and_volumes_have_metadata(kind: str):
    mark = {"isthmus-stack": STACK}
    assert properties(kind)["metadata"] == mark
    assert properties(kind, metadata={"a": "b"})["metadata"] == {"a": "b"} | mark
    merged = properties(kind, metadata={"map_merge": [{"a": "b"}]})["metadata"]
    assert merged == {"map_merge": [mark, {"a": "b"}]}
    by_heat = {"metadata": {"get_param": "metadata"}}
    assert properties(kind, **by_heat) == by_heat


def test_a_security_groups_own_words_stay():
    kind = "OS::Neutron::SecurityGroup"
    assert properties(kind, name="a")["description"] == WORDS
    assert properties(kind, name="a", description="Members")["description"] == f"Members, {WORDS}"
    for given in ({"description": "x"}, {"name": "a", "description": "x" * 250}):
        assert properties(kind, **given) == given


def test_a_rule_of_a_security_group_has_no_name_and_is_described_always():
    kind = "OS::Neutron::SecurityGroupRule"
    assert properties(kind, protocol="tcp") == {"protocol": "tcp", "description": WORDS}
    assert properties(kind, description="Web")["description"] == f"Web, {WORDS}"


def test_members_of_groups_are_marked():
    group = {"type": "OS::Heat::ResourceGroup", "properties": {"count": 2, "resource_def": FIP}}
    member = put({"them": group})["them"]["properties"]["resource_def"]
    assert member["properties"]["value_specs"] == {"description": WORDS}


def test_what_was_made_without_a_mark_is_left_as_it_is():
    """Heat would make a floating IP anew for it."""
    group = {"type": "OS::Heat::ResourceGroup", "properties": {"count": 2, "resource_def": FIP}}
    grown = {"type": "OS::Heat::ResourceGroup", "properties": {"count": 3, "resource_def": FIP}}
    wanted = {"old": FIP, "new": FIP, "group": grown}
    found = kept(wanted, {"old": FIP, "group": group})
    assert found == wanted | {"new": put({"new": FIP})["new"]}


def test_what_was_made_with_a_mark_keeps_it():
    server: Json = {"type": "OS::Nova::Server", "properties": {"metadata": {"map_merge": [{}]}}}
    wanted: Json = {"ip": FIP, "server": server, "group": {"type": "OS::Heat::ResourceGroup"}}
    made = put(wanted)
    assert put(made) == kept(wanted, made) == kept(made, made) == made
    assert kept({"ip": FIP}, {"ip": {"type": "OS::Neutron::Port"}})["ip"] == made["ip"]


def test_a_stack_that_another_object_takes_over_keeps_its_marks_and_gets_no_more():
    """Its name holds the uid of the owner that is gone; without the mark an address would go."""
    made = put({"ip": FIP})
    assert kept({"ip": FIP, "new": FIP}, made, fresh=False) == made | {"new": FIP}


def test_a_name_that_may_be_anybodys_marks_nothing():
    for name, uid in (("legacy", UID), (STACK, ""), (f"{STACK}-more", UID)):
        native = NativeStack(name=StackName(name), template={}, tags={TAG_UID: uid})
        assert birthmarks.stack_of(native) == ""
    assert birthmarks.put({"resources": {"ip": FIP}}, "") == {"resources": {"ip": FIP}}


@pytest.mark.parametrize(
    ("thing", "ours"),
    [
        ({"name": STACK}, True),
        ({"name": f"{STACK}-router-a2b3c4d5e6f7"}, True),
        ({"name": f"{STACK}-ports-a2b3c4d5e6f7-0-b2c3d4e5f6g7"}, True),
        ({"name": f"{STACK}-mine"}, False),
        ({"name": f"{STACK}2-router-a2b3c4d5e6f7"}, False),
        ({"name": "", "description": WORDS}, True),
        ({"description": f"Members, {WORDS}"}, True),
        ({"description": f"{WORDS} too"}, False),
        ({"name": "a", "metadata": {"isthmus-stack": STACK}}, True),
        ({"name": "a", "metadata": {"isthmus-stack": "another"}}, False),
        ({"name": None, "description": None, "metadata": None}, False),
    ],
)
def test_a_thing_is_known_by_heats_name_or_its_mark(thing: Json, ours: bool):
    assert birthmarks.bears(thing, STACK) is ours


@pytest.mark.parametrize(("name", "plan"), OFFERINGS)
def test_everything_of_the_shipped_offerings_bears_a_mark(name: str, plan: str):
    stack = composed(name, plan, uid=UID)
    native = NativeStack(
        name=stacks.external_name(stack), template=stack.spec.template, tags={TAG_UID: UID}
    )
    mark = birthmarks.stack_of(native)
    document = birthmarks.put(template.prepare(native).template, mark)
    marked = [one for one in _things(document["resources"]) if one["type"].split("::")[1] in _MAKES]
    assert marked
    for one in marked:
        given = one.get("properties", {})
        metadata = given.get("metadata", {})
        for part in metadata.get("map_merge", ()):
            metadata = metadata | part
        shown: Json = {"metadata": metadata, "description": given.get("description")}
        shown |= given.get("value_specs", {})
        shown["name"] = given.get("name") or f"{mark}-it-a2b3c4d5e6f7"
        if one["type"] in _HAVE_NO_NAME:
            del shown["name"]
        assert birthmarks.bears(shown, mark), one


_MAKES = frozenset({"Neutron", "Nova", "Cinder", "Octavia"})
_HAVE_NO_NAME = frozenset({NAMELESS, "OS::Neutron::SecurityGroupRule", "OS::Nova::Server"})


def _things(resources: Any) -> Iterator[Json]:
    for one in resources.values():
        yield one.get("properties", {}).get("resource_def", one)
