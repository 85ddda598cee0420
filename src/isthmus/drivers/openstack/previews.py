"""What a change would do: Heat's dry runs, read as our own changes. Nothing is left behind.

Heat's dry run of an update is right about the stack's own resources, but cannot look into stacks
below them while one of those would grow (it fails with 400). So what happens below is worked out
from what is there and from the preview of the whole as if it were new.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from uuid import uuid4

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import StackResource
from isthmus.core.stacks import Change, Changes, NativeStack, Verb
from isthmus.drivers.openstack import stateful
from isthmus.drivers.openstack.observation import Observer
from isthmus.drivers.openstack.quotas import GROWING, Growth
from isthmus.drivers.openstack.readings import SERVER, Native
from isthmus.drivers.openstack.sampling import every, sampled
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.template import Document

_VERBS: Final = {
    "added": Verb.CREATE,
    "updated": Verb.UPDATE,
    "replaced": Verb.REPLACE,
    "deleted": Verb.DELETE,
}
_HIDDEN: Final = "******"
"""What Heat shows of a hidden parameter."""
_SIZES: Final = frozenset({"count", "desired_capacity", "max_size", "min_size", "removal_policies"})
"""Properties of groups that change how many members there are, and none of the members."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The changes, and for the quotas what would come to be, and what would be changed in place."""

    changes: Changes
    coming: Mapping[str, Json]
    growing: tuple[Growth, ...] = ()


class Previews:
    """Dry runs in one project."""

    def __init__(self, cloud: Cloud, observer: Observer) -> None:
        self._cloud = cloud
        self._observer = observer

    async def of_new(self, stack: NativeStack, document: Document) -> Preview:
        """Say what would be created."""
        found = await self._as_new(stack, document)
        changes = [_of_new(path, resource, stack) for path, resource in found.items()]
        return Preview(changes=Changes(changes=tuple(changes), digest=stack.digest), coming=found)

    async def needed(self, stack: NativeStack, document: Document) -> tuple[Json, ...]:
        """Return every resource that would be created, with its properties; paths do not matter."""
        sample, counts = sampled(document)
        return tuple(every(await self._as_new(stack, sample), counts))

    async def of_change(
        self,
        stack: NativeStack,
        document: Document,
        native: Native,
        kept: frozenset[str] = frozenset(),
    ) -> Preview:
        """Say what an update would change.

        Args:
            stack: As it is wanted.
            document: Its document.
            native: As it is.
            kept: Servers that Heat would replace for a mark that is lifted before the update.
        """
        body = document.request() | {"parameters": dict(stack.parameters)}
        answer = await self._cloud.ask("orchestration", "PUT", f"{native.path}/preview", body=body)
        groups = cast("dict[str, list[Json]]", answer.get("resource_changes", {}))
        if not any(groups.get(group) for group in _VERBS):
            return Preview(changes=Changes(digest=stack.digest), coming={})
        before = await self._there(native)
        own = [
            _own(verb, resource, stack, before)
            for group, verb in _VERBS.items()
            for resource in groups.get(group, [])
        ]
        own = await self._without_marks(own, kept, stack, (document, native))
        after = await self._as_new(stack, document)
        own = await self._with_rebuilds(own, stack, document, native)
        deeper = await self._deeper(stack, own, (before, after), (document, native))
        changes = (*own, *deeper)
        coming = {
            change.logical_id: after[change.logical_id]
            for change in changes
            if change.verb in (Verb.CREATE, Verb.REPLACE) and change.logical_id in after
        }
        growing = tuple(
            Growth(physical_id=change.physical_id, wanted=after[change.logical_id])
            for change in changes
            if change.verb in (Verb.UPDATE, Verb.MAY_REPLACE)
            and change.type in GROWING
            and change.logical_id in after
        )
        changed = Changes(changes=changes, digest=stack.digest)
        return Preview(changes=changed, coming=coming, growing=growing)

    async def deployed(self, native: Native) -> Json:
        """Return the template that the stack has."""
        return await self._cloud.get("orchestration", f"{native.path}/template")

    async def _as_new(self, stack: NativeStack, document: Document) -> dict[str, Json]:
        """Return every resource that the document makes, by its path.

        Under a name of its own: Heat refuses the preview of a name that is taken.
        """
        name = f"isthmus-preview-{uuid4().hex[:12]}"
        body = document.request() | {"stack_name": name, "parameters": dict(stack.parameters)}
        answer = await self._cloud.ask("orchestration", "POST", "/stacks/preview", body=body)
        listed = cast("list[Any]", answer.get("stack", {}).get("resources", []))
        found = dict(_flat(listed, "", name))
        declared = cast("dict[str, Json]", document.template.get("resources") or {})
        nested = {path.partition("/")[0] for path in found} - found.keys()
        for name in nested:  # Heat writes a nested stack as its members alone.
            found[name] = {"resource_type": declared.get(name, {}).get("type", "")}
        return found

    async def _there(self, native: Native) -> dict[str, StackResource]:
        """Return what is there now, at every depth, by its path."""
        return {r.logical_id: r for r in await self._observer.everything(native)}

    async def _deeper(
        self,
        stack: NativeStack,
        own: Sequence[Change],
        states: tuple[Mapping[str, StackResource], Mapping[str, Json]],
        versions: tuple[Document, Native],
    ) -> list[Change]:
        """Return the changes below the stack's own resources."""
        before, after = states
        found: list[Change] = []
        for change in own:
            head = f"{change.logical_id}/"
            there = {p: r for p, r in before.items() if p.startswith(head)}
            wanted = {p: r for p, r in after.items() if p.startswith(head)}
            if not there and not wanted:
                continue
            if change.verb is Verb.UPDATE:
                name = change.logical_id
                stays = not await self._definition_changes(name, stack.parameters, *versions)
                kept = there.keys() & wanted.keys()
                found += [] if stays else [_deep(Verb.MAY_REPLACE, p, there[p]) for p in kept]
                there = {p: r for p, r in there.items() if p not in wanted}
                wanted = {p: r for p, r in wanted.items() if p not in before}
            if change.verb is not Verb.CREATE:
                found += [_deep(Verb.DELETE, p, r) for p, r in there.items()]
            if change.verb is not Verb.DELETE:
                kinds = {p: str(r.get("resource_type", "")) for p, r in wanted.items()}
                found += [Change(verb=Verb.CREATE, logical_id=p, type=t) for p, t in kinds.items()]
        return sorted(found, key=lambda change: change.logical_id)

    async def _definition_changes(
        self, name: str, parameters: Mapping[str, str], document: Document, native: Native
    ) -> bool:
        """Tell whether more than the size of a group changes: then its members may, too."""
        before = await self.deployed(native)
        files = await self._cloud.get("orchestration", f"{native.path}/files")
        if dict(document.files) != {k: v for k, v in files.items() if k in document.files}:
            return True
        wanted = _without_size(document.template, name)
        if _without_size(before, name) != wanted:
            return True
        return any(
            parameters[used] != native.parameters.get(used)
            for used in _parameters_in(wanted)
            if used in parameters and native.parameters.get(used) != _HIDDEN
        )

    async def _without_marks(
        self,
        changes: Sequence[Change],
        kept: frozenset[str],
        stack: NativeStack,
        versions: tuple[Document, Native],
    ) -> list[Change]:
        """Return the changes as they are once the marks are lifted: in place, or none."""
        found: list[Change] = []
        for change in changes:
            if change.verb is not Verb.REPLACE or change.logical_id not in kept:
                found.append(change)
            elif await self._definition_changes(change.logical_id, stack.parameters, *versions):
                found.append(replace(change, verb=Verb.UPDATE))
        return found

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


def _flat(resources: Sequence[Any], above: str, stack: str) -> Iterator[tuple[str, Json]]:
    """Yield path and words of every resource; Heat writes a nested stack as a list in the list."""
    for resource in resources:
        if isinstance(resource, list):
            members = cast("list[Any]", resource)
            name = _name(members, stack)
            yield from _flat(members, f"{above}{name}/", f"{stack}-{name}")
        else:
            yield f"{above}{resource['resource_name']}", cast("Json", resource)


def _name(members: Sequence[Any], stack: str) -> str:
    """Return the name of the resource whose nested stack has these members.

    A resource knows its parent. A group of nested stacks has none of its own to ask: there the
    names of the stacks tell, which Heat joins by hyphens.
    """
    for member in members:
        if isinstance(member, dict):
            return str(cast("Json", member).get("parent_resource") or "")
    inner = next(_dicts(members), None)
    if inner is None:
        return ""
    parent, name = str(inner.get("parent_resource") or ""), str(inner.get("stack_name", ""))
    return name.removeprefix(f"{stack}-").removesuffix(f"-{parent}")


def _dicts(members: Sequence[Any]) -> Iterator[Json]:
    for member in members:
        if isinstance(member, list):
            yield from _dicts(cast("list[Any]", member))
        else:
            yield cast("Json", member)


def _of_new(path: str, resource: Json, stack: NativeStack) -> Change:
    kind = str(resource.get("resource_type", ""))
    holds = kind in stateful.STATEFUL_TYPES or path in stack.stateful
    return Change(verb=Verb.CREATE, logical_id=path, type=kind, stateful=holds)


def _own(
    verb: Verb, resource: Json, stack: NativeStack, before: Mapping[str, StackResource]
) -> Change:
    name, kind = str(resource["resource_name"]), str(resource.get("resource_type", ""))
    there = before.get(name)
    holds = kind in stateful.STATEFUL_TYPES or name in stack.stateful
    return Change(
        verb=verb,
        logical_id=name,
        type=kind,
        physical_id=there.physical_id if there is not None else "",
        stateful=holds and there is not None and _came_to_be(there),
    )


def _came_to_be(resource: StackResource) -> bool:
    """Tell whether there is something that could hold data."""
    return bool(resource.physical_id) and resource.status != "CREATE_FAILED"


def _deep(verb: Verb, path: str, resource: StackResource) -> Change:
    return Change(
        verb=verb,
        logical_id=path,
        type=resource.type,
        physical_id=resource.physical_id,
        stateful=resource.type in stateful.STATEFUL_TYPES and _came_to_be(resource),
    )


def _without_size(document: Json, name: str) -> Json:
    """Return a resource's definition without what only says how many members it has."""
    resource = cast("Json", cast("Json", document.get("resources") or {}).get(name) or {})
    properties = cast("Json", resource.get("properties") or {})
    return resource | {"properties": {k: v for k, v in properties.items() if k not in _SIZES}}


def _parameters_in(node: Any) -> Iterator[str]:
    """Yield the names of the parameters that a part of a template uses."""
    if isinstance(node, dict):
        for key, value in cast("Json", node).items():
            if key == "get_param":
                yield str(cast("list[Any]", value)[0] if isinstance(value, list) else value)
            yield from _parameters_in(value)
    elif isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from _parameters_in(item)


def _in_place(change: Change) -> bool:
    return change.verb is Verb.UPDATE and change.type == SERVER


def _rebuilt(change: Change) -> Change:
    return replace(change, verb=Verb.MAY_REPLACE, properties=("image",), stateful=True)
