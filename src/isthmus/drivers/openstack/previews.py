"""What a change would do: Heat's dry runs, read as our own changes. Nothing is left behind."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, cast
from uuid import uuid4

from isthmus.api.meta import Json
from isthmus.core.stacks import Change, Changes, NativeStack, Verb
from isthmus.drivers.openstack import stateful
from isthmus.drivers.openstack.readings import Native
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.template import Document

_SERVER: Final = "OS::Nova::Server"
_VERBS: Final = {
    "added": Verb.CREATE,
    "updated": Verb.UPDATE,
    "replaced": Verb.REPLACE,
    "deleted": Verb.DELETE,
}


class Previews:
    """Dry runs in one project."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def of_new(self, stack: NativeStack, document: Document) -> tuple[Changes, list[Json]]:
        """Say what would be created; also return Heat's words on each resource.

        Under a name of its own: Heat refuses the preview of a name that is taken.
        """
        body = document.request() | {
            "stack_name": f"isthmus-preview-{uuid4().hex[:12]}",
            "parameters": dict(stack.parameters),
        }
        answer = await self._cloud.ask("orchestration", "POST", "/stacks/preview", body=body)
        found = list(_flat(answer.get("stack", {}).get("resources", [])))
        changes = tuple(_change(Verb.CREATE, r, frozenset(stack.stateful)) for r in found)
        return Changes(changes=changes, digest=stack.digest), found

    async def of_change(
        self, stack: NativeStack, document: Document, native: Native
    ) -> tuple[Changes, list[Json]]:
        """Say what an update would change; also return Heat's words on what would come to be."""
        body = document.request() | {"parameters": dict(stack.parameters)}
        answer = await self._cloud.ask(
            "orchestration",
            "PUT",
            f"{native.path}/preview",
            body=body,
            query={"show_nested": "True"},
        )
        changed = cast("dict[str, list[Json]]", answer.get("resource_changes", {}))
        guarded = frozenset(stack.stateful)
        changes = [
            _change(verb, resource, guarded)
            for group, verb in _VERBS.items()
            for resource in changed.get(group, [])
        ]
        changes = await self._with_rebuilds(changes, stack, document, native)
        coming = [*changed.get("added", []), *changed.get("replaced", [])]
        return Changes(changes=tuple(changes), digest=stack.digest), coming

    async def deployed(self, native: Native) -> Json:
        """Return the template that the stack has."""
        return await self._cloud.get("orchestration", f"{native.path}/template")

    async def _with_rebuilds(
        self,
        changes: Sequence[Change],
        stack: NativeStack,
        document: Document,
        native: Native,
    ) -> list[Change]:
        """Mark guarded servers whose update is a rebuild: Heat does not count that as a loss."""
        guarded = [c for c in changes if _in_place(c) and c.logical_id in stack.stateful]
        if not guarded:
            return list(changes)
        before = await self.deployed(native)
        lost = {
            c.logical_id
            for c in guarded
            if stateful.rebuilds(c.logical_id, document.template, before)
        }
        return [_rebuilt(c) if _in_place(c) and c.logical_id in lost else c for c in changes]


def _flat(resources: Sequence[Any]) -> Iterator[Json]:
    """Yield every resource of a preview; Heat writes a nested stack as a list in the list."""
    for resource in resources:
        if isinstance(resource, list):
            yield from _flat(cast("list[Any]", resource))
        else:
            yield cast("Json", resource)


def _change(verb: Verb, resource: Json, guarded: frozenset[str]) -> Change:
    name, above = str(resource["resource_name"]), str(resource.get("parent_resource") or "")
    kind = str(resource.get("resource_type", ""))
    # What never came to be has no data: Heat makes it anew, whatever it is.
    failed = resource.get("resource_action") == "CREATE" and (
        resource.get("resource_status") == "FAILED"
    )
    holds = kind in stateful.STATEFUL_TYPES or (name in guarded and not above)
    return Change(
        verb=verb,
        logical_id=f"{above}/{name}" if above else name,
        type=kind,
        physical_id=str(resource.get("physical_resource_id") or ""),
        stateful=holds and not failed,
    )


def _in_place(change: Change) -> bool:
    return change.verb is Verb.UPDATE and change.type == _SERVER


def _rebuilt(change: Change) -> Change:
    return Change(
        verb=Verb.MAY_REPLACE,
        logical_id=change.logical_id,
        type=change.type,
        physical_id=change.physical_id,
        properties=("image",),
        stateful=True,
    )
