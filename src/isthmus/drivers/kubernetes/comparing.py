"""What a template would change: every object is tried on the server's side, and nothing is kept.

A dry run passes admission, defaults and validation, so what is refused is known before anything
was touched. It cannot be made for what needs a namespace or a definition that the same template
brings along.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from isthmus.api.meta import Json
from isthmus.core.documents import keep_fields
from isthmus.core.stacks import Change, NativeStack, Verb
from isthmus.drivers.kubernetes import guards, manifests
from isthmus.drivers.kubernetes.differences import differing
from isthmus.drivers.kubernetes.fields import part
from isthmus.drivers.kubernetes.inventory import Inventory
from isthmus.drivers.kubernetes.kube import Kube, UnknownKind
from isthmus.drivers.kubernetes.manifests import CRD, Manifest
from isthmus.errors import AlreadyExists, Forbidden, InvalidSpec, IsthmusError, NotFound, NotYet

_IMMUTABLE: Final = re.compile(
    r"immutable|may not (be changed|change)|updates to \w+ spec .* forbidden|cannot be changed"
)
_RIGHTS: Final = re.compile(r"cannot \w+ resource")
"""RBAC's own words; what else is Forbidden, admission did not let in."""


class Refused(Exception):
    """The cluster does not take an object; the message names it and repeats the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One wanted object beside what is there."""

    manifest: Manifest
    verb: Verb | None
    """None: nothing differs."""
    live: Json | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A whole template beside what is there."""

    compared: tuple[Compared, ...]
    changes: tuple[Change, ...]
    untried: tuple[str, ...]
    """Logical ids of what could not be tried."""


class Comparer:
    """Reads templates against a cluster.

    Args:
        kube: The cluster.
        namespace: Of namespaced objects that name none.
    """

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace

    async def manifests(self, stack: NativeStack) -> tuple[Manifest, ...]:
        """Return the objects of a template, in the order in which they are made.

        Raises:
            InvalidSpec: The template is wrong.
            UnknownKind: The cluster does not serve a kind, and the template does not define it.
        """
        if stack.pre_delete:
            raise InvalidSpec("preDelete: driver kubernetes has no steps before a deletion.")
        objects = manifests.read(stack.template)
        found = [
            manifests.manifest(obj, stack, await self._namespace_of(obj, objects))
            for obj in objects
        ]
        return tuple(sorted(found, key=lambda m: m.rank))

    async def compare(
        self, stack: NativeStack, wanted: Sequence[Manifest], inventory: Inventory | None
    ) -> Comparison:
        """Try every object.

        Raises:
            AlreadyExists: Some objects are there and not ours; all are named.
            Refused: The cluster would not take one.
        """
        lives = {m.ref: await self._kube.get(m.ref) for m in wanted}
        foreign = [
            f"{m.id} ({m.ref})"
            for m in wanted
            if (live := lives[m.ref]) is not None and not _may_take(m, live, stack, inventory)
        ]
        if foreign:
            raise AlreadyExists(
                f"In the cluster already and not ours: {', '.join(foreign)}. Adopt them "
                "(spec.management: Adopt, spec.adopt.resources), rename or remove them."
            )
        wanted = [_keeping_ignored(m, lives[m.ref], stack) for m in wanted]
        tried = [await self._try(m, lives[m.ref], wanted) for m in wanted]
        return Comparison(
            compared=tuple(one for one, _ in tried),
            changes=_changes([one for one, _ in tried], inventory),
            untried=tuple(one.manifest.id for one, done in tried if not done),
        )

    async def _try(
        self, manifest: Manifest, live: Json | None, wanted: Sequence[Manifest]
    ) -> tuple[Compared, bool]:
        try:
            live, would = await self._kube.tried(manifest.ref, manifest.body, live)
        except (NotFound, UnknownKind) as exc:
            if live is None and _founds(wanted, manifest):
                return Compared(manifest=manifest, verb=Verb.CREATE), False
            raise absent(manifest, exc) from exc
        except InvalidSpec as exc:
            if live is not None and _IMMUTABLE.search(exc.message):
                fields = differing(live, _overlaid(live, manifest.body))
                return _found(manifest, Verb.REPLACE, live, fields), True
            raise refused(manifest, exc) from exc
        except Forbidden as exc:
            if _RIGHTS.search(exc.message):
                raise
            raise refused(manifest, exc) from exc
        if live is None:
            return Compared(manifest=manifest, verb=Verb.CREATE), True
        fields = differing(live, would)
        return _found(manifest, Verb.UPDATE if fields else None, live, fields), True

    async def _namespace_of(self, obj: Json, objects: Sequence[Json]) -> str:
        version, kind = str(obj["apiVersion"]), str(obj["kind"])
        try:
            namespaced = (await self._kube.kind(version, kind)).api.namespaced
        except UnknownKind:
            scope = _defined_scope(version, kind, objects)
            if not scope:
                raise
            namespaced = scope == "Namespaced"
        if not namespaced:
            return ""
        return str(part(obj, "metadata").get("namespace") or self._namespace)


def _may_take(
    manifest: Manifest, live: Json, stack: NativeStack, inventory: Inventory | None
) -> bool:
    """Once something was adopted, only what was named then is taken over."""
    if guards.is_ours(live, guards.uid_of(stack)):
        return True
    named = inventory is None or any(m.ref == manifest.ref for m in inventory.members)
    return named and guards.may_take(live, stack)


def refused(manifest: Manifest, error: IsthmusError) -> Refused:
    """Return the refusal of one object."""
    return Refused(f"{manifest.id} ({manifest.ref}): {error.message}")


def absent(manifest: Manifest, error: IsthmusError) -> IsthmusError:
    """Return what is missing for an object that cannot even be tried."""
    if isinstance(error, UnknownKind):
        return error
    return NotYet(
        f"{manifest.id}: {error.message.rstrip('.')}; create the namespace, or add it to the "
        "manifests."
    )


def is_right(error: Forbidden) -> bool:
    """Tell whether our rights are missing; else admission did not let the object in."""
    return bool(_RIGHTS.search(error.message))


def _found(manifest: Manifest, verb: Verb | None, live: Json, fields: tuple[str, ...]) -> Compared:
    return Compared(manifest=manifest, verb=verb, live=live, fields=fields)


def _changes(compared: Sequence[Compared], inventory: Inventory | None) -> tuple[Change, ...]:
    """Return what would happen; an id that moves to another object is a replacement."""
    wanted = {c.manifest.ref for c in compared}
    former = [m for m in inventory.members if m.ref not in wanted] if inventory else []
    moved = {m.id: m for m in former if not m.leaving}
    changes: list[Change] = []
    for one in compared:
        gone = moved.pop(one.manifest.id, None)
        verb = Verb.REPLACE if gone is not None else one.verb
        if verb is None:
            continue
        meta = cast("Json", one.live["metadata"]) if one.live is not None else {}
        lossy = gone.stateful if gone is not None else False
        changes.append(
            Change(
                verb=verb,
                logical_id=one.manifest.id,
                type=one.manifest.ref.type,
                physical_id=str(meta.get("uid") or ""),
                properties=("metadata.name",) if gone is not None else one.fields,
                stateful=one.manifest.stateful or lossy,
            )
        )
    changes += [
        Change(verb=Verb.DELETE, logical_id=m.id, type=m.ref.type, stateful=m.stateful)
        for m in moved.values()
    ]
    return tuple(changes)


def _founds(wanted: Sequence[Manifest], manifest: Manifest) -> bool:
    """Tell whether the template itself brings the namespace or the definition of an object."""
    for other in wanted:
        if other.ref.kind == "Namespace" and other.ref.name == manifest.ref.namespace:
            return True
        if other.ref.kind == CRD and _defines(
            other.body, manifest.ref.api_version, manifest.ref.kind
        ):
            return True
    return False


def _defines(crd: Json, api_version: str, kind: str) -> bool:
    spec = part(crd, "spec")
    names = part(spec, "names")
    return spec.get("group") == api_version.rpartition("/")[0] and names.get("kind") == kind


def _defined_scope(api_version: str, kind: str, objects: Sequence[Json]) -> str:
    for obj in objects:
        if obj["kind"] == CRD and _defines(obj, api_version, kind):
            return str(cast("Json", obj["spec"]).get("scope") or "")
    return ""


def _keeping_ignored(manifest: Manifest, live: Json | None, stack: NativeStack) -> Manifest:
    """Send ignored fields as they are, so that applying neither changes nor removes them."""
    prefix = f"manifests.{manifest.id}."
    paths = [p.removeprefix(prefix) for p in stack.ignore_fields if p.startswith(prefix)]
    if live is None or not paths:
        return manifest
    return replace(manifest, body=keep_fields(manifest.body, live, paths))


def _overlaid(live: Any, wanted: Any) -> Any:
    """Return what is there with the wanted fields over it: only they can have been refused."""
    if isinstance(live, dict) and isinstance(wanted, dict):
        left, right = cast("Json", live), cast("Json", wanted)
        return left | {key: _overlaid(left.get(key), value) for key, value in right.items()}
    return wanted
