"""What a change would do: Heat's dry runs, read as our own changes. Nothing is left behind.

Heat's dry run of an update foresees too many replacements (see ``replacements``), and cannot look
into stacks below while one of those would grow (it fails with 400). So what happens below is worked
out from what is there and from the preview of the whole as if it were new.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from urllib.parse import quote
from uuid import uuid4

from isthmus.api.meta import Json
from isthmus.api.v1alpha1 import StackResource
from isthmus.core.stacks import Change, Changes, NativeStack, Verb
from isthmus.drivers.openstack import stateful
from isthmus.drivers.openstack.observation import Observer
from isthmus.drivers.openstack.quotas import GROWING, Growth, Listed
from isthmus.drivers.openstack.readings import SERVER, Native
from isthmus.drivers.openstack.replacements import Version, Versions, fixed_properties, happening
from isthmus.drivers.openstack.sampling import every, sampled
from isthmus.drivers.openstack.session import Cloud
from isthmus.drivers.openstack.template import Document

_VERBS: Final = {
    "added": Verb.CREATE,
    "updated": Verb.UPDATE,
    "replaced": Verb.REPLACE,
    "deleted": Verb.DELETE,
}


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
        self._schemas: dict[str, Json] = {}

    async def of_new(self, stack: NativeStack, document: Document) -> Preview:
        """Say what would be created."""
        found = await self._as_new(stack, document)
        changes = [_of_new(path, resource, stack) for path, resource in found.items()]
        return Preview(changes=Changes(changes=tuple(changes), digest=stack.digest), coming=found)

    async def needed(self, stack: NativeStack, document: Document) -> tuple[Listed, ...]:
        """Return every resource that would be created; equal ones under the path of the first."""
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
        versions = await self._versions(stack.parameters, document, native)
        failed = {name for name, there in before.items() if there.status.endswith("_FAILED")}
        own = await self._happening(own, versions, frozenset(failed - kept))
        after = await self._as_new(stack, document)
        own = _with_rebuilds(own, stack, versions)
        deeper = _deeper(own, (before, after), versions)
        changes = (*own, *deeper)
        coming = {
            change.logical_id: after[change.logical_id]
            for change in changes
            if change.verb in (Verb.CREATE, Verb.REPLACE) and change.logical_id in after
        }
        growing = tuple(
            Growth(
                path=change.logical_id,
                physical_id=change.physical_id,
                wanted=after[change.logical_id],
            )
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

    async def _versions(
        self, parameters: Mapping[str, str], document: Document, native: Native
    ) -> Versions:
        files = await self._cloud.get("orchestration", f"{native.path}/files")
        return Versions.of(
            Version(
                template=await self.deployed(native), files=files, parameters=native.parameters
            ),
            Version(template=document.template, files=document.files, parameters=parameters),
        )

    async def _happening(
        self, changes: Sequence[Change], versions: Versions, failed: frozenset[str]
    ) -> list[Change]:
        """Return the changes without the replacements that Heat only believes in."""
        replaced = [change for change in changes if change.verb is Verb.REPLACE]
        fixed = {
            change.logical_id: fixed_properties(
                await self._schema(change.type),
                versions.after.properties(change.logical_id),
                change.type,
            )
            for change in replaced
        }
        return happening(changes, versions, fixed, failed)

    async def _schema(self, kind: str) -> Json:
        """Return what Heat says of a type's properties; it does not change while Heat runs."""
        if kind not in self._schemas:
            answer = await self._cloud.get("orchestration", f"/resource_types/{quote(kind)}")
            self._schemas[kind] = cast("Json", answer.get("properties") or {})
        return self._schemas[kind]


def _with_rebuilds(
    changes: Sequence[Change], stack: NativeStack, versions: Versions
) -> list[Change]:
    """Mark guarded servers whose update is a rebuild: Heat does not count that as a loss."""

    def lost(change: Change) -> bool:
        name = change.logical_id
        return _in_place(change) and name in stack.stateful and versions.rebuilds(name)

    return [_rebuilt(change) if lost(change) else change for change in changes]


def _deeper(
    own: Sequence[Change],
    states: tuple[Mapping[str, StackResource], Mapping[str, Json]],
    versions: Versions,
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
            stays = not versions.changes(change.logical_id)
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


def _in_place(change: Change) -> bool:
    return change.verb is Verb.UPDATE and change.type == SERVER


def _rebuilt(change: Change) -> Change:
    return replace(change, verb=Verb.MAY_REPLACE, properties=("image",), stateful=True)
