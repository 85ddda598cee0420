"""Heat's answers as plain values: stacks, resources, events. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

import orjson

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import StackEvent, StackResource
from isthmus.core.stacks import TAG_UID
from isthmus.drivers.openstack.errors import clean
from isthmus.drivers.openstack.template import Tags, read_tags

STACK_TYPE: Final = "OS::Heat::Stack"
SERVER: Final = "OS::Nova::Server"
CHECK_FAILED: Final = "CHECK_FAILED"
_REQUEST_IDS: Final = re.compile(r"\s*Neutron server returns request_ids: \[[^\]]*\]")
_PATH: Final = re.compile(
    r"\bresources(?:\.[\w-]+|\[[^\]]*\])(?:\.resources(?:\.[\w-]+|\[[^\]]*\]))*: "
)
_MEMBER: Final = re.compile(
    r"^Property error: resources(?:\.(?P<name>[\w-]+)|\[(?P<number>\d+)\])\.properties\."
)
"""Of a group whose member cannot be: Heat makes no resource of it, and no event of its own."""
_NOVA: Final = re.compile(r'Went to status (\w+) due to "Message: (.*?),? Code: (\w+)"', re.DOTALL)
_STATE: Final = re.compile(r"'status': expected 'ACTIVE', got '(\w+)'")
_BROKEN: Final = frozenset({"ERROR", "DELETED", "SOFT_DELETED", "UNKNOWN"})
"""States of a server that is no more what it was made to be; in any other it only does not run."""
_LINK: Final = re.compile(r"/stacks/(?P<name>[^/]+)/(?P<id>[^/]+)(?:/|$)")


@dataclass(frozen=True, slots=True)
class Native:
    """A stack as Heat shows it."""

    name: str
    id: str
    status: str
    reason: str = ""
    marks: Tags = field(default_factory=Tags)
    outputs: Mapping[str, str] = field(default_factory=dict[str, str])
    updated: str = ""
    """When it was last created or changed, in Heat's words: differs once it has moved on."""
    nested: bool = False
    rolls_back: bool = False
    """Whether Heat undoes what fails."""
    parameters: Mapping[str, str] = field(default_factory=dict[str, str])
    """As Heat shows them: a hidden one as asterisks."""

    @property
    def path(self) -> str:
        """The stack in Heat's API."""
        return f"/stacks/{self.name}/{self.id}"

    @property
    def tags(self) -> Mapping[str, str]:
        """Our tags."""
        return self.marks.ours

    @property
    def digest(self) -> str:
        """The digest of what Heat was asked for last."""
        return self.marks.digest

    @property
    def owner_uid(self) -> str:
        """Whose it is; empty: not ours."""
        return self.marks.ours.get(TAG_UID, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A resource, of the stack or of one below it."""

    resource: StackResource
    stack_id: str
    """Of the stack that it is in."""
    stack_path: str = ""
    """That stack in Heat's API."""
    nested_id: str = ""
    """Of the stack that it is."""
    parent: str = ""
    """Name of the resource that its stack is."""


def read_stack(stack: Json) -> Native:
    """Read one stack, of a list or alone."""
    outputs = cast("list[Json]", stack.get("outputs") or [])
    parameters = cast("Json", stack.get("parameters") or {})
    return Native(
        name=str(stack["stack_name"]),
        id=str(stack["id"]),
        status=str(stack["stack_status"]),
        reason=words(str(stack.get("stack_status_reason") or "")),
        marks=read_tags(cast("list[str]", stack.get("tags") or [])),
        outputs={
            str(o["output_key"]): as_text(o["output_value"])
            for o in outputs
            if o.get("output_value") is not None
        },
        updated=str(stack.get("updated_time") or stack.get("creation_time") or ""),
        nested=bool(stack.get("parent")),
        rolls_back=not stack.get("disable_rollback", True),
        parameters={k: as_text(v) for k, v in parameters.items() if "::" not in k},
    )


def read_part(resource: Json) -> Part:
    """Read one resource of a list."""
    links = _links(resource)
    return Part(
        resource=StackResource(
            logical_id=str(resource["resource_name"]),
            type=str(resource.get("resource_type", "")),
            physical_id=str(resource.get("physical_resource_id") or ""),
            status=str(resource.get("resource_status", "")),
            reason=words(str(resource.get("resource_status_reason") or "")),
        ),
        stack_id=links.get("stack", ""),
        stack_path=_stack_path(resource),
        nested_id=links.get("nested", ""),
        parent=str(resource.get("parent_resource") or ""),
    )


def read_event(event: Json, types: Mapping[str, str]) -> StackEvent:
    """Read one event of the stack itself; ``types`` has its resources' types by name.

    What is wrong with a member of a group, and found before there is one, is said of the member.
    """
    name, own = str(event.get("resource_name", "")), is_of_stack(event)
    kind = STACK_TYPE if own else types.get(name, "")
    reason = _telling(words(str(event.get("resource_status_reason") or "")))
    match = None if own else _MEMBER.search(reason)
    if match is not None and (member := match["name"] or match["number"]) != name:
        name, kind, reason = f"{name}/{member}", "", f"Property error: {reason[match.end() :]}"
    return StackEvent(
        id=str(event["id"]),
        time=read_time(str(event["event_time"])),
        logical_id=name,
        type=kind,
        status=str(event.get("resource_status", "")),
        reason=reason,
    )


def is_of_stack(event: Json) -> bool:
    """Tell whether an event speaks of the stack itself, not of a resource in it."""
    physical, stack = str(event.get("physical_resource_id") or ""), stack_of(event)
    return bool(stack) and physical == stack


def stack_of(event: Json) -> str:
    """Return the id of the stack that an event or a resource belongs to."""
    return _links(event).get("stack", "")


def paths(parts: Sequence[Part]) -> dict[str, str]:
    """Return where nested stacks are: id to path of resources, ``pool/0``."""
    by_id = {part.nested_id: part for part in parts if part.nested_id}

    def path(stack_id: str, deep: int = 0) -> str:
        part = by_id.get(stack_id)
        if part is None or deep > len(by_id):
            return ""
        above = path(part.stack_id, deep + 1)
        return f"{above}/{part.resource.logical_id}" if above else part.resource.logical_id

    return {stack_id: path(stack_id) for stack_id in by_id}


def located(part: Part, where: Mapping[str, str]) -> StackResource:
    """Return a nested resource under its path, ``pool/0/server``."""
    above = where.get(part.stack_id, part.parent)
    name = part.resource.logical_id
    return part.resource.model_copy(update={"logical_id": f"{above}/{name}" if above else name})


def amiss(resource: StackResource) -> bool:
    """Tell whether a check found that a resource is not what its template says.

    Of a server no template says that it is to run just now: an Operation may have stopped it.
    """
    if resource.status != CHECK_FAILED:
        return False
    state = _STATE.search(resource.reason) if resource.type == SERVER else None
    return state is None or state[1] in _BROKEN


def read_time(text: str) -> datetime:
    """Read one of Heat's times; all are UTC, whether they say so or not."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def words(reason: str) -> str:
    """Return Heat's words without what only repeats where it happened; Nova's fault alone."""
    text = _PATH.sub("", _REQUEST_IDS.sub("", reason))
    text = text.removeprefix("ResourceInError: ")
    return clean(_NOVA.sub(r"\2 (server \1, code \3)", text))


def as_text(value: Any) -> str:
    """Write an output: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _telling(reason: str) -> str:
    return "" if reason == "state changed" else reason


def _stack_path(thing: Json) -> str:
    match = _matches(thing).get("stack")
    return f"/stacks/{match['name']}/{match['id']}" if match is not None else ""


def _links(thing: Json) -> dict[str, str]:
    """Return the ids of the stacks that a thing's links name, by their relation."""
    return {relation: match["id"] for relation, match in _matches(thing).items()}


def _matches(thing: Json) -> dict[str, re.Match[str]]:
    links = cast("list[Json]", thing.get("links") or [])
    found = ((str(link.get("rel", "")), _LINK.search(str(link.get("href", "")))) for link in links)
    return {relation: match for relation, match in found if match is not None}
