"""Birthmarks: which stack a thing is of, said by the very request that makes it. Pure.

Heat notes the id of what it asked for once the answer is there, and sets tags after that: of what
an engine was just asking for when it was killed it knows nothing. So the mark stands in the request
itself. What a template gives no name Heat names after the stack, and that name holds our uid.
Everything else gets a mark here, when it is first made: what was made without one stays so, since
Heat would make a floating IP anew whose request changes.
https://opendev.org/openstack/heat/src/branch/master/heat/engine/resource.py
(``physical_resource_name``)
"""

import re
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.core import guards
from isthmus.core.stacks import NativeStack
from isthmus.drivers.openstack.lint_functions import is_function

KEY: Final = "isthmus-stack"
"""In the metadata of servers and volumes."""
FLOATING_IP: Final = "OS::Neutron::FloatingIP"
"""Has no name."""
RULE: Final = "OS::Neutron::SecurityGroupRule"
"""Has none either; Neutron refuses a second one of its kind."""
_SECURITY_GROUP: Final = "OS::Neutron::SecurityGroup"
_WITH_METADATA: Final = frozenset({"OS::Nova::Server", "OS::Cinder::Volume"})
_WITH_SPECS: Final = frozenset(
    {
        FLOATING_IP,
        "OS::Neutron::Net",
        "OS::Neutron::Port",
        "OS::Neutron::Router",
        "OS::Neutron::Subnet",
    }
)
"""What Heat sends any further field of."""
_MEMBER: Final = {
    "OS::Heat::ResourceGroup": "resource_def",
    "OS::Heat::AutoScalingGroup": "resource",
}
_ROOM: Final = 255
"""Characters of a description in Neutron."""


def stack_of(stack: NativeStack) -> str:
    """Return the name that marks a stack's things; empty where it could be somebody else's."""
    uid = guards.uid_of(stack)
    return stack.name if uid and stack.name.endswith(f"-{uid}") else ""


def words(stack: str) -> str:
    """Return how a description ends."""
    return f"of stack {stack}"


def put(template: Json, stack: str) -> Json:
    """Return a new stack's template with a mark on everything that takes one.

    Args:
        template: A HOT document; members of groups are marked as well, nested files are not.
        stack: See ``stack_of``; empty: nothing is marked.
    """
    return _with_marks(template, {}, stack, fresh=True) if stack else template


def keep(template: Json, stack: str, deployed: Json, *, fresh: bool) -> Json:
    """Return the template with the marks that are deployed, and where ``fresh`` on what is new.

    Args:
        template: As it is wanted, without marks.
        stack: The name that Heat has of the stack, whoever owned it before.
        deployed: The template that it has.
        fresh: Whether that name is a mark of ours, see ``stack_of``.
    """
    there = cast("Json", deployed.get("resources") or {})
    return _with_marks(template, there, stack, fresh=fresh)


def _with_marks(template: Json, there: Json, stack: str, *, fresh: bool) -> Json:
    wanted: Any = template.get("resources")
    if not isinstance(wanted, dict):
        return template
    marked = {
        name: _with_mark(definition, there.get(name), stack, fresh=fresh)
        for name, definition in cast("Json", wanted).items()
    }
    return template | {"resources": marked}


def bears(thing: Json, stack: str) -> bool:
    """Tell whether a thing, as its service shows it, bears the mark of a stack."""
    metadata: Any = thing.get("metadata") or {}
    return (
        named(str(thing.get("name") or ""), stack)
        or str(thing.get("description") or "").endswith(words(stack))
        or cast("Json", metadata).get(KEY) == stack
    )


def named(name: str, stack: str) -> bool:
    """Tell whether Heat made the name, for a resource of that stack or of one below it."""
    heats = rf"{re.escape(stack)}-.+-[a-z2-7]{{12}}"
    return name == stack or re.fullmatch(heats, name) is not None


def _with_mark(definition: Any, before: Any, stack: str, *, fresh: bool) -> Any:
    kind, properties = _read(definition)
    former, found = _read(before)
    old = found if former == kind else None
    inside = _MEMBER.get(kind, "")
    if inside and inside in properties:
        below = (old or {}).get(inside)
        member = _with_mark(properties[inside], below, stack, fresh=fresh)
        return definition | {"properties": properties | {inside: member}}
    mark = _mark(kind, properties, stack)
    has = fresh if old is None else old | _mark(kind, old, stack) == old
    return definition | {"properties": properties | mark} if mark and has else definition


def _read(definition: Any) -> tuple[str, Json]:
    """Return type and properties of a resource."""
    if not isinstance(definition, dict):
        return "", {}
    properties: Any = cast("Json", definition).get("properties")
    found = cast("Json", properties) if isinstance(properties, dict) else {}
    return str(cast("Json", definition).get("type", "")), found


def _mark(kind: str, properties: Json, stack: str) -> Json:
    """Return the properties that mark a resource; none where Heat's name for it does."""
    if kind in _WITH_METADATA:
        return _merged(properties, "metadata", {KEY: stack})
    if kind == FLOATING_IP or (kind in _WITH_SPECS and "name" in properties):
        return _merged(properties, "value_specs", {"description": words(stack)})
    if kind == RULE or (kind == _SECURITY_GROUP and "name" in properties):
        return _described(properties, stack)
    return {}


def _merged(properties: Json, name: str, mark: Json) -> Json:
    """Return a property with the mark beside what is given; what only Heat can read stays."""
    given: Any = properties.get(name, {})
    if not isinstance(given, dict):
        return {}
    known = cast("Json", given)
    if not is_function(known):
        return {name: mark | known}
    parts: Any = known.get("map_merge")
    if not isinstance(parts, list):
        return {}
    maps = cast("list[Any]", parts)
    return {name: {"map_merge": maps if mark in maps else [mark, *maps]}}


def _described(properties: Json, stack: str) -> Json:
    text: Any = properties.get("description", "")
    if not isinstance(text, str):
        return {}
    end = words(stack)
    whole = text if text.endswith(end) else f"{text}, {end}" if text else end
    return {"description": whole} if len(whole) <= _ROOM else {}
