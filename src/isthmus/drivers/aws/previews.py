"""Previews: change sets that are read and taken away again."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Final, cast
from uuid import uuid4

from isthmus.api.meta import Json
from isthmus.core.stacks import Changes, NativeStack
from isthmus.drivers.aws import template
from isthmus.drivers.aws.changesets import ChangeSets
from isthmus.drivers.aws.observation import REVIEW
from isthmus.drivers.aws.requests import Requests
from isthmus.drivers.aws.session import Aws
from isthmus.errors import InvalidSpec, NotYet, Retryable

PREFIX: Final = "isthmus-preview-"
_SECONDS = 120.0
_STALE = timedelta(minutes=15)
_PATIENCE_SECONDS = (0.2, 1.0)
"""Pauses before a clean-up that failed is tried again: nobody else would do it soon."""


class Previews:
    """Previews in one account. Each leaves nothing behind."""

    def __init__(self, aws: Aws, change_sets: ChangeSets, requests: Requests) -> None:
        self._aws = aws
        self._change_sets = change_sets
        self._requests = requests

    async def of_change(self, stack: NativeStack, document: Json, target: str) -> Changes:
        """Say what would change in the stack ``target``."""
        return await self._preview(stack, document, target, "UPDATE")

    async def of_new(self, stack: NativeStack) -> Changes:
        """Say what would be created.

        Under a throwaway name: cleaning up can then never meet a stack that somebody creates
        meanwhile.
        """
        await self._sweep()
        document = template.prepare(stack, stack.digest)
        return await self._preview(stack, document, _name(), "CREATE")

    async def _preview(self, stack: NativeStack, document: Json, target: str, kind: str) -> Changes:
        name = _name()
        request = await self._requests.of(stack, document)
        if template.has_nested(document):
            request["IncludeNestedStacks"] = True
        try:
            await self._change_sets.ask(
                request | {"StackName": target, "ChangeSetName": name, "ChangeSetType": kind}
            )
            found = await self._change_sets.wait(
                target, name, stateful=frozenset(stack.stateful), seconds=_SECONDS
            )
        finally:
            # Shielded: a preview that is given up leaves nothing behind either.
            await asyncio.shield(self._forget_patiently(target, name, kind))
        if found is None:
            raise NotYet("CloudFormation takes long to work out the change; ask again.")
        return Changes(changes=found.changes, digest=stack.digest)

    async def _forget_patiently(self, target: str, name: str, kind: str) -> None:
        for pause in _PATIENCE_SECONDS:
            try:
                await self._forget(target, name, kind)
            except Retryable:
                await asyncio.sleep(pause)
            else:
                return
        await self._forget(target, name, kind)

    async def _forget(self, target: str, name: str, kind: str) -> None:
        with contextlib.suppress(InvalidSpec):  # It never came to be.
            await self._change_sets.remove(target, name)
        if kind == "CREATE":
            await self._aws.call("cloudformation", "delete_stack", StackName=target)

    async def _sweep(self) -> None:
        """Delete throwaway stacks that a crash has left; there is never a resource in them."""
        pages = self._aws.pages("cloudformation", "list_stacks", StackStatusFilter=[REVIEW])
        oldest = datetime.now(UTC) - _STALE
        async for page in pages:
            for summary in cast("list[Json]", page.get("StackSummaries", [])):
                old = cast("datetime", summary["CreationTime"]) < oldest
                if old and str(summary["StackName"]).startswith(PREFIX):
                    await self._aws.call(
                        "cloudformation", "delete_stack", StackName=summary["StackId"]
                    )


def _name() -> str:
    return f"{PREFIX}{uuid4().hex[:12]}"
