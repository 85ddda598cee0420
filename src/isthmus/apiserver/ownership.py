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
from isthmus.apiserver.jsonvalues import Json, as_list, as_map

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
    for path in sorted(set(fields.members(before)) - wanted.keys(), key=len):
        if not _claimed(path, wanted, others):
            remove(merged, schema, path)
            _remove_empty(merged, schema, path, lambda above: _claimed(above, wanted, others))
    entered = _enter(managers, writer, "Apply")
    entered["fieldsV1"] = fields.build(wanted)
    entered["apiVersion"] = writer.api_version
    if merged != live:
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


def _claimed(path: Path, wanted: dict[Path, Any], others: list[Json]) -> bool:
    """Whether somebody still wants the field or something within it."""
    if any(other[: len(path)] == path for other in wanted):
        return True
    return any(fields.touches(manager.get("fieldsV1", {}), path) for manager in others)


def _conflicts(
    wanted: dict[Path, Any], present: dict[Path, Any], others: list[Json]
) -> list[tuple[Json, Path]]:
    found: list[tuple[Json, Path]] = []
    for path, value in wanted.items():
        if value is CONTAINER or (path in present and present[path] == value):
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
    queue = list(wanted)
    out: list[Any] = []

    def take(element: str) -> Any:
        if element in current and schema["x-kubernetes-list-type"] == "map":
            return merge(current[element], wanted[element], inner)
        return wanted[element]

    for element, item in current.items():
        if element not in wanted:
            out.append(item)
            continue
        while element in queue:
            out.append(take(queue.pop(0)))
    return out + [take(element) for element in queue]


def remove(value: Any, schema: Json, path: Path) -> None:
    """Take the field at `path` out of `value`, in place; absent ones are no matter."""
    for element in path[:-1]:
        value, schema = _step(value, schema, element)
        if value is None:
            return
    last = path[-1]
    if last[0] == "f" and isinstance(value, dict):
        cast("Json", value).pop(last[2:], None)
    elif last[0] != "f" and isinstance(value, list):
        items = cast("list[Any]", value)
        items[:] = [item for item in items if fields.entry(schema, item) != last]


def _remove_empty(value: Any, schema: Json, path: Path, claimed: Callable[[Path], bool]) -> None:
    """Take away the containers above a removed field that are empty now and that nobody claims."""
    for size in range(len(path) - 1, 0, -1):
        above = path[:size]
        found, rules = value, schema
        for element in above:
            found, rules = _step(found, rules, element)
        if found or found is None or above == ("f:metadata",) or claimed(above):
            return
        remove(value, schema, above)


def _step(value: Any, schema: Json, element: str) -> tuple[Any, Json]:
    if element[0] == "f":
        if not isinstance(value, dict):
            return None, schema
        return cast("Json", value).get(element[2:]), fields.below(schema, element[2:])[0]
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            if fields.entry(schema, item) == element:
                return item, schema.get("items") or fields.UNTYPED
    return None, schema
