"""Who owns which field: managers recorded by updates, and server-side apply with its conflicts.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/ ; the behaviour follows
https://github.com/kubernetes-sigs/structured-merge-diff.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import orjson

from isthmus.apiserver import fields, lastapplied
from isthmus.apiserver.errors import ApiError
from isthmus.apiserver.fields import CONTAINER, Path
from isthmus.apiserver.jsonvalues import Json, as_list, as_map, same

_NOBODY = "before-first-apply"
_ANCIENT = "ancient-changes"
_MOST_UPDATERS = 10
"""Entries of managers that update; whoever writes under ever new names makes no object grow."""


class Writer(NamedTuple):
    """On whose behalf and how a write happens.

    Attributes:
        manager: The field manager's name.
        api_version: Version in which the fields are named.
        now: Time of the write, as it goes into the object.
        subresource: `status`, `scale` or empty.
        without: Top-level fields that this write leaves alone.
        only: The one top-level field that this write is about, when there is but one.
    """

    manager: str
    api_version: str
    now: str
    subresource: str = ""
    without: tuple[str, ...] = ()
    only: str = ""

    def part(self, obj: Json) -> Json:
        """The part of an object that this write is about."""
        return fields.owned_part(obj, self.without, self.only)


def accepted(given: Any) -> list[Json]:
    """The entries of a caller's `managedFields` that can be read; an empty one resets all."""
    return [
        entry
        for entry in map(as_map, as_list(given))
        if isinstance(entry.get("manager"), str)
        and entry.get("operation") in ("Apply", "Update")
        and isinstance(entry.get("apiVersion"), str)
        and isinstance(entry.get("subresource", ""), str)
        and fields.is_set(entry.get("fieldsV1"))
    ]


def _find(managers: list[Json], writer: Writer, operation: str) -> Json | None:
    for manager in managers:
        if (
            manager.get("manager") == writer.manager
            and manager.get("operation") == operation
            and manager.get("subresource", "") == writer.subresource
            # Who applies has one set of fields, whatever the version of the last time.
            and (operation == "Apply" or manager.get("apiVersion") == writer.api_version)
        ):
            return manager
    return None


def _enter(managers: list[Json], writer: Writer, operation: str) -> Json:
    found = _find(managers, writer, operation)
    if found is None:
        made: Json = {
            "manager": writer.manager,
            "operation": operation,
            "apiVersion": writer.api_version,
            "time": writer.now,
            "fieldsType": "FieldsV1",
            "fieldsV1": {},
        }
        if writer.subresource:
            made["subresource"] = writer.subresource
        managers.append(made)
        return made
    return found


def _kept(managers: list[Json]) -> list[Json]:
    """The entries that own something, in Kubernetes' order: appliers first, older ones first."""
    kept = [manager for manager in managers if manager.get("fieldsV1")]
    if len(kept) > 1:
        kept.sort(key=_order)
    return kept


def _order(manager: Json) -> tuple[str, ...]:
    names = ("operation", "time", "manager", "apiVersion", "subresource")
    return tuple(str(manager.get(name) or "") for name in names)


def record_update(
    old: Json, new: Json, schema: Json, managers: list[Json], writer: Writer
) -> list[Json]:
    """Ownership after an update: what changed belongs to the writer, what is gone to nobody.

    Args:
        old: The object before, empty for a creation.
        new: The object after.
        schema: Its merge rules.
        managers: `managedFields` before; altered in place.
        writer: Who writes.

    Returns:
        The `managedFields` after.
    """
    if not (old or managers):
        return _record_creation(new, schema, writer)
    difference = fields.compare(writer.part(old or {"metadata": {}}), writer.part(new), schema)
    if not difference:
        return managers
    gains = bool(difference.changed or difference.grown)
    mine = _enter(managers, writer, "Update") if gains else _find(managers, writer, "Update")
    _take_away(managers, mine, difference)
    if mine is not None and gains:
        for path, new in difference.grown:
            fields.insert(mine["fieldsV1"], path, new)
        for path in difference.changed:
            fields.insert(mine["fieldsV1"], path)
        mine["time"] = writer.now
    return _capped(_kept(managers))


def _capped(managers: list[Json]) -> list[Json]:
    """Join the oldest updaters of a version to one entry when there are too many."""
    updaters = [manager for manager in managers if manager["operation"] == "Update"]
    many = len(updaters) - _MOST_UPDATERS
    if many <= 0:
        return managers
    buckets = {m["apiVersion"]: m for m in updaters if m["manager"] == _ANCIENT}
    gone: list[Json] = []
    for manager in updaters:  # the oldest come first
        bucket = buckets.setdefault(manager["apiVersion"], manager)
        if bucket is manager:
            continue
        bucket["manager"] = _ANCIENT
        bucket.pop("subresource", None)
        bucket["time"] = manager.get("time")
        bucket["fieldsV1"] = _union(bucket["fieldsV1"], manager["fieldsV1"])
        gone.append(manager)
        if len(gone) == many:
            break
    return _kept([manager for manager in managers if not any(manager is m for m in gone)])


def _union(left: Json, right: Json) -> Json:
    """All fields of both sets."""
    return {name: _union(left.get(name, {}), right.get(name, {})) for name in {**left, **right}}


def _take_away(managers: list[Json], mine: Json | None, difference: fields.Difference) -> None:
    """Nobody owns what is gone, and nobody but the writer what has another value."""
    taken = list(difference.changed)
    if len(managers) > 1:
        taken += difference.grown_leaves()
    for manager in managers:
        owned: Json = manager.setdefault("fieldsV1", {})
        for path in difference.removed:
            fields.discard(owned, path)
        if manager is not mine:
            for path in taken:
                fields.discard(owned, path)


def _record_creation(new: Json, schema: Json, writer: Writer) -> list[Json]:
    entered = _enter([], writer, "Update")
    entered["fieldsV1"] = fields.all_of(writer.part(new), schema)
    return _kept([entered])


def apply(  # noqa: PLR0913 - both sides, the rules, and who; none of them belongs to another
    live: Json, applied: Json, schema: Json, managers: list[Json], writer: Writer, *, force: bool
) -> tuple[Json, list[Json]]:
    """Server-side apply.

    Args:
        live: The object as it is, empty for a creation.
        applied: What the writer wants, and nothing else.
        schema: Its merge rules.
        managers: `managedFields` of `live`; altered in place.
        writer: Who applies.
        force: Take fields from their owners where the values differ.

    Returns:
        The merged object and its `managedFields`.

    Raises:
        ApiError: 409 with one cause per field that another manager owns with another value.
    """
    if live and not managers:
        managers = _before_first_apply(live, schema, writer)
    wanted = fields.flatten(writer.part(applied), schema)
    present = fields.flatten(writer.part(live), schema) if live else {}
    mine = _find(managers, writer, "Apply")
    others = [manager for manager in managers if manager is not mine]
    conflicts = _conflicts(wanted, present, others)
    by_kubectl = writer.manager == lastapplied.KUBECTL
    refused = conflicts
    if conflicts and by_kubectl and not force:
        pardoned = lastapplied.unchanged(live, writer.part, schema, writer.api_version)
        refused = [found for found in conflicts if found[1] not in pardoned]
    if refused and not force:
        raise _conflict(refused)
    for manager, path in conflicts:
        fields.discard(manager["fieldsV1"], path)
    merged = orjson.loads(orjson.dumps(merge(live, applied, schema)))
    before: Json = mine["fieldsV1"] if mine else {}
    claimed = _claims(wanted, others)
    left = set(fields.members(before)) - wanted.keys()
    gone = fields.build([path for path in left if not claimed(path)])
    _take_out(merged, schema, gone, claimed)
    entered = _enter(managers, writer, "Apply")
    entered["fieldsV1"] = fields.build(wanted)
    entered["apiVersion"] = writer.api_version
    if not same(merged, live):
        entered["time"] = writer.now
    elif mine is None:
        del entered["time"]  # Who only joins the owners has changed nothing.
    if by_kubectl:
        lastapplied.write_on(merged, applied)
    return merged, _kept(managers)


def _before_first_apply(live: Json, schema: Json, writer: Writer) -> list[Json]:
    """The owner of all that an object without any owner holds, when it is first applied."""
    nobody = writer._replace(manager=_NOBODY, subresource="", only="")
    return record_update({}, live, schema, [], nobody)


def _claims(wanted: dict[Path, Any], others: list[Json]) -> Callable[[Path], bool]:
    """Tells whether somebody still wants a field or something within it."""
    mine = {path[:size] for path in wanted for size in range(1, len(path) + 1)}
    sets = [manager.get("fieldsV1", {}) for manager in others]
    return lambda path: path in mine or any(fields.touches(owned, path) for owned in sets)


def _conflicts(
    wanted: dict[Path, Any], present: dict[Path, Any], others: list[Json]
) -> list[tuple[Json, Path]]:
    found: list[tuple[Json, Path]] = []
    for path, value in wanted.items():
        if value is CONTAINER or (path in present and same(present[path], value)):
            continue
        found += [(m, path) for m in others if fields.contains(m.get("fieldsV1", {}), path)]
    return found


def _conflict(conflicts: list[tuple[Json, Path]]) -> ApiError:
    """Kubernetes' own words: kubectl prints them with its advice."""
    by_manager: dict[str, list[str]] = {}
    for manager, path in conflicts:
        by_manager.setdefault(_shown(manager), []).append(fields.pretty(path))
    if len(conflicts) == 1:
        ((who, paths),) = by_manager.items()
        message = f"Apply failed with 1 conflict: conflict with {who}: {paths[0]}"
    else:
        lines = [
            "\n- ".join((f"conflicts with {who}:", *by_manager[who])) for who in sorted(by_manager)
        ]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
        for who, paths in by_manager.items()
        for path in paths
    ]
    return ApiError(409, "Conflict", message, {"causes": causes})


def _shown(manager: Json) -> str:
    says = f'"{manager["manager"]}"'
    if manager.get("subresource"):
        says += f' with subresource "{manager["subresource"]}"'
    return says if manager["operation"] == "Apply" else f"{says} using {manager['apiVersion']}"


def merge(live: Any, new: Any, schema: Json) -> Any:
    """What `live` becomes when `new` is laid over it by the merge rules of `schema`."""
    if isinstance(new, dict) and isinstance(live, dict) and fields.is_granular(schema):
        out: Json = dict(cast("Json", live))
        for name, part in cast("Json", new).items():
            inner, _ = fields.below(schema, name)
            out[name] = merge(out[name], part, inner) if name in out else part
        return out
    if isinstance(new, list) and isinstance(live, list) and fields.is_keyed(schema):
        return _merge_lists(cast("list[Any]", live), cast("list[Any]", new), schema)
    return cast("Any", new)


def _merge_lists(live: list[Any], new: list[Any], schema: Json) -> list[Any]:
    """Entries of both; applied ones keep their order, foreign ones their place before the next."""
    current = {fields.entry(schema, item): item for item in live}
    wanted = {fields.entry(schema, item): item for item in new}
    inner: Json = schema.get("items") or fields.UNTYPED
    order, rank = list(wanted), {element: place for place, element in enumerate(wanted)}
    out: list[Any] = []
    taken = 0

    def take(element: str) -> Any:
        if element in current and schema["x-kubernetes-list-type"] == "map":
            return merge(current[element], wanted[element], inner)
        return wanted[element]

    for element, item in current.items():
        if element not in wanted:
            out.append(item)
            continue
        upto = max(taken, rank[element] + 1)
        out += map(take, order[taken:upto])
        taken = upto
    return out + list(map(take, order[taken:]))


def _take_out(
    value: Any, schema: Json, gone: Json, claimed: Callable[[Path], bool], path: Path = ()
) -> bool:
    """Take the members of a set out of a container, in place; whether there was one.

    Containers that are empty then, and that nobody claims, go with what they held.
    """
    parts, lost = _parts(value, schema), set[str]()
    for element, inner in gone.items():
        if element not in parts:
            continue
        (part, rules), here = parts[element], (*path, element)
        if _is_member(inner):
            lost.add(element)
            continue
        emptied = _take_out(part, rules, inner, claimed, here)
        emptied |= any(_is_member(below) for name, below in inner.items() if name != ".")
        if emptied and part in ({}, []) and here != ("f:metadata",) and not claimed(here):
            lost.add(element)
    if isinstance(value, dict):
        for element in lost:
            del cast("Json", value)[element[2:]]
    elif lost:
        value[:] = [item for item in value if fields.entry(schema, item) not in lost]
    return bool(lost)


def _is_member(node: Json) -> bool:
    return not node or "." in node


def _parts(value: Any, schema: Json) -> dict[str, tuple[Any, Json]]:
    """What a container holds, and its schema, by the path element of each."""
    if isinstance(value, dict):
        return {
            "f:" + name: (part, fields.below(schema, name)[0])
            for name, part in cast("Json", value).items()
        }
    if not isinstance(value, list):
        return {}
    inner: Json = schema.get("items") or fields.UNTYPED
    return {fields.entry(schema, item): (item, inner) for item in cast("list[Any]", value)}
