"""Change sets: make one, wait for it, read it, and take it away again."""

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.core.stacks import Change, Verb
from isthmus.drivers.aws.errors import clean
from isthmus.drivers.aws.session import Aws
from isthmus.drivers.aws.stateful import STATEFUL_TYPES
from isthmus.errors import AlreadyExists, InvalidSpec, NotFound

_NOTHING: Final = ("didn't contain changes", "No updates are to be performed")
_FIRST_LOOK_SECONDS = 0.1
_LONGEST_LOOK_SECONDS = 2.0
_DEEPEST = 5
"""Nested stacks may nest; nobody nests deeper than this."""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """A change set that CloudFormation has worked out."""

    name: str
    stack_name: str
    changes: tuple[Change, ...]

    @property
    def empty(self) -> bool:
        """Whether it would change no resource."""
        return not self.changes


class ChangeSets:
    """The change sets of one account."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    async def ask(self, request: Json) -> None:
        """Ask for a change set; one of the same name is taken to be this one."""
        try:
            await self._aws.call("cloudformation", "create_change_set", **request)
        except AlreadyExists:
            return

    async def wait(
        self, stack_name: str, name: str, *, stateful: frozenset[str], seconds: float
    ) -> ChangeSet | None:
        """Return it once CloudFormation has worked it out; None if that takes longer.

        Raises:
            InvalidSpec: CloudFormation could not work it out; the message has its words.
        """
        deadline, pause = monotonic() + seconds, _FIRST_LOOK_SECONDS
        while True:
            pages = await self._describe(stack_name, name)
            status = str(pages[0].get("Status", ""))
            if status == "FAILED":
                return _failed(pages[0], name)
            if status == "CREATE_COMPLETE":
                changes = await self._read(pages, stateful, prefix="", depth=0)
                return ChangeSet(name, str(pages[0]["StackName"]), changes)
            if monotonic() + pause > deadline:
                return None
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK_SECONDS)

    async def remove(self, stack_name: str, name: str) -> None:
        """Take it away; nothing happens where there is none."""
        try:
            await self._aws.call(
                "cloudformation", "delete_change_set", StackName=stack_name, ChangeSetName=name
            )
        except NotFound:
            return

    async def _describe(self, stack_name: str, name: str) -> list[Json]:
        """Return all pages; the id of a nested stack's change set needs no stack name."""
        pages: list[Json] = []
        more: Json = {"StackName": stack_name} if stack_name else {}
        while True:
            page = await self._aws.call(
                "cloudformation", "describe_change_set", ChangeSetName=name, **more
            )
            pages.append(page)
            if not page.get("NextToken"):
                return pages
            more["NextToken"] = page["NextToken"]

    async def _read(
        self, pages: list[Json], stateful: frozenset[str], *, prefix: str, depth: int
    ) -> tuple[Change, ...]:
        found: list[Change] = []
        for page in pages:
            for entry in cast("list[Json]", page.get("Changes", [])):
                resource = cast("Json", entry.get("ResourceChange", {}))
                nested = str(resource.get("ChangeSetId", ""))
                if nested and depth < _DEEPEST:
                    inner = await self._describe("", nested)
                    at = f"{prefix}{resource['LogicalResourceId']}/"
                    found += await self._read(inner, stateful, prefix=at, depth=depth + 1)
                elif resource:
                    found.append(read_change(resource, stateful, prefix))
        return tuple(found)


def read_change(resource: Json, stateful: frozenset[str], prefix: str = "") -> Change:
    """Read one ResourceChange of a change set."""
    logical_id = f"{prefix}{resource['LogicalResourceId']}"
    kind = str(resource.get("ResourceType", ""))
    return Change(
        verb=_verb(resource),
        logical_id=logical_id,
        type=kind,
        physical_id=str(resource.get("PhysicalResourceId", "")),
        properties=_properties(resource),
        stateful=kind in STATEFUL_TYPES or logical_id in stateful,
    )


def _verb(resource: Json) -> Verb:
    action = str(resource.get("Action", ""))
    if action == "Modify":
        return {"True": Verb.REPLACE, "Conditional": Verb.MAY_REPLACE}.get(
            str(resource.get("Replacement", "")), Verb.UPDATE
        )
    return {"Add": Verb.CREATE, "Remove": Verb.DELETE, "Import": Verb.IMPORT}.get(
        action, Verb.MAY_REPLACE
    )


def _properties(resource: Json) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for detail in cast("list[Json]", resource.get("Details", [])):
        target = cast("dict[str, Any]", detail.get("Target", {}))
        names[str(target.get("Name") or target.get("Attribute") or "")] = None
    return tuple(name for name in names if name)


def _failed(page: Json, name: str) -> ChangeSet:
    reason = str(page.get("StatusReason", ""))
    if any(words in reason for words in _NOTHING):
        return ChangeSet(name, str(page["StackName"]), ())
    raise InvalidSpec(f"CloudFormation cannot work out the change: {clean(reason)}")
