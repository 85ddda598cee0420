"""Heat's dry run foresees replacements that its update does not make."""

from typing import Any

import pytest

from isthmus.core.stacks import Change, Verb
from isthmus.drivers.openstack.replacements import (
    HIDDEN,
    Version,
    Versions,
    fixed_properties,
    happening,
)

SERVER = "OS::Nova::Server"
SCHEMA = {
    "metadata": {"update_allowed": True},
    "flavor": {"update_allowed": True},
    "user_data": {"update_allowed": True},
    "scheduler_hints": {"update_allowed": False},
}
GROUP = {"type": "OS::Nova::ServerGroup", "properties": {"policies": ["anti-affinity"]}}


def a_server(**properties: Any) -> dict[str, Any]:
    hints = {"group": {"get_resource": "hosts"}}
    return {"type": SERVER, "properties": {"scheduler_hints": hints} | properties}


def a_template(server: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"resources": {"hosts": GROUP, "vm": server}} | more


def foreseen(
    before: dict[str, Any],
    after: dict[str, Any],
    *,
    parameters: tuple[dict[str, str], dict[str, str]] = ({}, {}),
    others: tuple[Change, ...] = (),
    failed: frozenset[str] = frozenset(),
) -> dict[str, Verb]:
    """What is left of Heat's belief that the server is replaced."""
    old, new = parameters
    versions = Versions.of(
        Version(template=before, files={}, parameters=old),
        Version(template=after, files={}, parameters=new),
    )
    changes = (Change(verb=Verb.REPLACE, logical_id="vm", type=SERVER), *others)
    fixed = {
        change.logical_id: fixed_properties(
            SCHEMA, versions.after.properties(change.logical_id), change.type
        )
        for change in changes
        if change.verb is Verb.REPLACE
    }
    return {c.logical_id: c.verb for c in happening(changes, versions, fixed, failed)}


def test_who_only_refers_to_what_stays_is_not_replaced():
    assert foreseen(a_template(a_server()), a_template(a_server())) == {}


def test_what_may_change_in_place_does():
    after = a_template(a_server(metadata={"tier": "web"}))
    assert foreseen(a_template(a_server()), after) == {"vm": Verb.UPDATE}


def test_a_property_that_cannot_change_in_place_replaces():
    other = a_server(scheduler_hints={"group": "theirs"})
    assert foreseen(a_template(a_server()), a_template(other)) == {"vm": Verb.REPLACE}


def test_who_refers_to_what_is_replaced_is_replaced():
    group = Change(verb=Verb.CREATE, logical_id="hosts", type=GROUP["type"])
    server = a_template(a_server())
    assert foreseen(server, server, others=(group,))["vm"] is Verb.REPLACE


def test_what_failed_is_replaced():
    server = a_template(a_server())
    assert foreseen(server, server, failed=frozenset({"vm"})) == {"vm": Verb.REPLACE}


@pytest.mark.parametrize(
    ("policy", "verb"),
    [({}, Verb.REPLACE), ({"user_data_update_policy": "IGNORE"}, Verb.UPDATE)],
)
def test_user_data_replace_unless_they_are_ignored(policy: dict[str, str], verb: Verb):
    before, after = (a_template(a_server(user_data=text, **policy)) for text in ("a", "b"))
    assert foreseen(before, after) == {"vm": verb}


def test_a_condition_that_turns_is_a_change_though_the_text_stays():
    hints = {"if": ["spread", {"group": {"get_resource": "hosts"}}, {}]}
    server = a_server(scheduler_hints=hints)
    wide, narrow = (
        a_template(server, conditions={"three": {"equals": [n, 3]}, "spread": "three"})
        for n in (3, 1)
    )
    assert foreseen(wide, narrow) == {"vm": Verb.REPLACE}
    assert foreseen(wide, wide) == {}


def test_a_value_that_is_named_like_a_condition_is_none():
    server = a_server(scheduler_hints={"if": ["octavia", {"group": "a"}, {}]})
    chosen, other = (
        a_template(server, conditions={"octavia": {"not": {"equals": [value, "octavia"]}}})
        for value in ("octavia", "keepalived")
    )
    assert foreseen(chosen, chosen) == {}
    assert foreseen(chosen, other) == {"vm": Verb.REPLACE}


@pytest.mark.parametrize(
    ("old", "new", "left"),
    [("a", "b", {"vm": Verb.REPLACE}), ("a", "a", {}), (HIDDEN, "b", {})],
)
def test_values_of_parameters_count_where_they_can_be_read(old: str, new: str, left: Any):
    server = a_template(a_server(scheduler_hints={"group": {"get_param": "group"}}))
    assert foreseen(server, server, parameters=({"group": old}, {"group": new})) == left
