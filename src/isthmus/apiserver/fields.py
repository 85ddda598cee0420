"""Sets of fields as `managedFields` stores them (FieldsV1), and which fields an object has.

A set is the nested dictionary that goes over the wire: `{"f:spec": {"f:size": {}}}`. A node is a
member when it is empty or holds `"."`. Working on it directly makes an update pay for the fields
that changed, not for all that are owned.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#managed-fields
"""

from collections.abc import Iterator
from typing import Any, Final, cast

import orjson

from isthmus.apiserver.jsonvalues import Json, as_map, same

Path = tuple[str, ...]
"""Elements `f:name` (field), `k:{...}` (list entry by its keys), `v:...` (entry of a set)."""

METADATA: Final[Json] = {
    "type": "object",
    "properties": {
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        "finalizers": {
            "type": "array",
            "x-kubernetes-list-type": "set",
            "items": {"type": "string"},
        },
        "ownerReferences": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "items": {"type": "object", "x-kubernetes-map-type": "atomic"},
        },
    },
}
UNTYPED: Final[Json] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
STRUCT: Final = "x-struct"
"""Marks, with its type, a field of a built-in kind that is there in Go whatever an object says, as
an empty struct or a list without entries: nobody owns that it is there, only what it holds."""
_SYSTEM_FIELDS = frozenset((
    "name", "namespace", "uid", "creationTimestamp", "resourceVersion", "generation",
    "managedFields", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds",
))  # fmt: skip


_CONTAINERS = (dict, list)


class _Container:
    """The value of a field that is owned as a container, whatever it holds."""

    def __repr__(self) -> str:
        return "CONTAINER"


CONTAINER: Final = _Container()


def owned_part(obj: Json, without: tuple[str, ...] = (), only: str = "") -> Json:
    """The part of an object whose fields can get an owner by one kind of request.

    Args:
        obj: A whole object.
        without: Top-level fields that the request does not write, such as `status`.
        only: The one top-level field that it writes, when there is but one.
    """
    if only:
        return {"metadata": {}, **({only: obj[only]} if only in obj else {})}
    out = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind") and k not in without}
    metadata: Json = as_map(obj.get("metadata"))
    out["metadata"] = {k: v for k, v in metadata.items() if k not in _SYSTEM_FIELDS}
    return out


def below(schema: Json, name: str) -> tuple[Json, bool]:
    """Schema of a field, and whether it is declared by name (and not one entry of a map)."""
    declared = schema.get("properties")
    if declared and name in declared:
        return declared[name], True
    rest = schema.get("additionalProperties")
    return (cast("Json", rest) if isinstance(rest, dict) else UNTYPED), False


def is_keyed(schema: Json) -> bool:
    """Whether a list is merged entry by entry."""
    return schema.get("x-kubernetes-list-type") in ("set", "map")


def is_granular(schema: Json) -> bool:
    """Whether a map is merged field by field."""
    return schema.get("x-kubernetes-map-type") != "atomic"


def entry(schema: Json, item: Any) -> str:
    """The path element of one entry of a keyed list."""
    if schema.get("x-kubernetes-list-type") == "set" or not isinstance(item, dict):
        return "v:" + _canonical(item)
    value = cast("Json", item)
    properties: Json = as_map(schema.get("items")).get("properties") or {}
    keys: Json = {}
    for name in schema.get("x-kubernetes-list-map-keys", ()):
        if name in value:
            keys[name] = value[name]
        elif "default" in properties.get(name, {}):
            keys[name] = properties[name]["default"]
    return "k:" + _canonical(keys)


def _canonical(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def flatten(value: Any, schema: Json) -> dict[Path, Any]:
    """Every member of the field set of `value`, with its value or `CONTAINER`."""
    out: dict[Path, Any] = {}
    _flatten(value, schema, (), out, declared=True)
    out.pop((), None)
    out.pop(("f:metadata",), None)
    return out


def _flatten(value: Any, schema: Json, path: Path, out: dict[Path, Any], *, declared: bool) -> None:
    if isinstance(value, dict) and is_granular(schema):
        if not (declared and value):
            out[path] = CONTAINER
        for name, part in cast("Json", value).items():
            inner, known = below(schema, name)
            _flatten(part, inner, (*path, "f:" + name), out, declared=known)
    elif isinstance(value, list) and is_keyed(schema):
        is_set = schema["x-kubernetes-list-type"] == "set"
        for item in cast("list[Any]", value):
            here = (*path, entry(schema, item))
            out[here] = item if is_set else CONTAINER
            if not is_set:
                _flatten(item, schema.get("items") or UNTYPED, here, out, declared=True)
    else:
        out[path] = value


class Difference:
    """Which fields differ between two versions of an object.

    Attributes:
        changed: Fields that have another value.
        grown: Where something is new, and the set of the fields that it brings.
        removed: Fields and containers that are gone.
    """

    def __init__(self) -> None:
        self.changed: list[Path] = []
        self.grown: list[tuple[Path, Json]] = []
        self.removed: list[Path] = []

    def __bool__(self) -> bool:
        return bool(self.changed or self.grown or self.removed)

    def grown_leaves(self) -> list[Path]:
        """Fields that are new and hold no others."""
        return [path for place, new in self.grown for path in leaves(new, place)]


def compare(old: Json, new: Json, schema: Json) -> Difference:
    """Compare two `owned_part`s; equal parts cost one comparison each."""
    out = Difference()
    metadata, _ = below(schema, "metadata")  # all have it; nobody owns that they do
    _compare_maps(old["metadata"], new["metadata"], metadata, ("f:metadata",), out)
    rest_old, rest_new = ({k: v for k, v in o.items() if k != "metadata"} for o in (old, new))
    _compare_maps(rest_old, rest_new, schema, (), out)
    return out


def _compare(old: Any, new: Any, schema: Json, path: Path, out: Difference) -> None:
    both = bool(old and new) or STRUCT in schema
    if isinstance(old, dict) and isinstance(new, dict) and is_granular(schema) and both:
        _compare_maps(cast("Json", old), cast("Json", new), schema, path, out)
    elif isinstance(old, list) and isinstance(new, list) and is_keyed(schema) and (old and new):
        _compare_lists(cast("list[Any]", old), cast("list[Any]", new), schema, path, out)
    else:
        _exchange(set_of(old, schema), set_of(new, schema), path, out)


def _compare_maps(old: Json, new: Json, schema: Json, path: Path, out: Difference) -> None:
    for name, part in new.items():
        if name in old and same(old[name], part):
            continue
        inner, _ = below(schema, name)
        here = (*path, "f:" + name)
        if name in old:
            _compare(old[name], part, inner, here, out)
        elif STRUCT in inner:
            if part:
                _compare({}, part, inner, here, out)
        else:
            out.grown.append((here, set_of(part, inner)))
    for name, part in old.items():
        if name in new:
            continue
        inner, here = below(schema, name)[0], (*path, "f:" + name)
        if STRUCT in inner:
            _compare(part, {}, inner, here, out)
        else:
            out.removed += members(set_of(part, inner), here)


def _compare_lists(
    old: list[Any], new: list[Any], schema: Json, path: Path, out: Difference
) -> None:
    items_old = {entry(schema, item): item for item in old}
    items_new = {entry(schema, item): item for item in new}
    inner = schema.get("items") or UNTYPED
    for element in items_old.keys() - items_new.keys():
        out.removed += members(set_of(items_old[element], inner), (*path, element))
    for element, item in items_new.items():
        here = (*path, element)
        if element not in items_old:
            out.grown.append((here, set_of(item, inner)))
        elif not same(items_old[element], item):
            _compare(items_old[element], item, inner, here, out)


def _exchange(before: Json, after: Json, path: Path, out: Difference) -> None:
    """A value stands where another one stood, or a container where there was none."""
    if before:
        stays = set(members(after, path))
        out.removed += [gone for gone in members(before, path) if gone not in stays]
    if after:
        out.grown.append((path, after))
    else:
        out.changed.append(path)


# --- sets as nested dictionaries ---------------------------------------------------------------


def is_set(value: Any) -> bool:
    """Whether a value has the form of a field set."""
    if not isinstance(value, dict):
        return False
    return all(_is_element(name) and is_set(below) for name, below in cast("Json", value).items())


def _is_element(text: str) -> bool:
    if text == "." or text.startswith("f:"):
        return True
    try:
        value = orjson.loads(text[2:])
    except orjson.JSONDecodeError:
        return False
    return text.startswith("v:") or (text.startswith("k:") and isinstance(value, dict))


def all_of(owned: Json, schema: Json) -> Json:
    """The set of all fields of an `owned_part`; nobody owns that it has metadata."""
    metadata, _ = below(schema, "metadata")
    out: Json = {"f:metadata": set_of(owned["metadata"], metadata)}
    out["f:metadata"].pop(".", None)
    if not out["f:metadata"]:
        del out["f:metadata"]
    for name, part in owned.items():
        if name != "metadata":
            _add(out, name, part, schema)
    return out


def set_of(value: Any, schema: Json) -> Json:
    """The set of all fields of one value: containers that hold something are members themselves."""
    if isinstance(value, dict) and value and is_granular(schema):
        out: Json = {} if STRUCT in schema else {".": {}}
        for name, part in cast("Json", value).items():
            if part is None or isinstance(part, _CONTAINERS):
                _add(out, name, part, schema)
            else:
                out["f:" + name] = {}
        return out
    if isinstance(value, list) and value and is_keyed(schema):
        inner = schema.get("items") or UNTYPED
        entries: Json = {".": {}}
        for item in cast("list[Any]", value):
            entries[entry(schema, item)] = set_of(item, inner)
        return entries
    return {}


def _add(out: Json, name: str, part: Any, schema: Json) -> None:
    """Add a field with all that is in it; a struct that holds nothing is no field."""
    inner = below(schema, name)[0]
    found = set_of(part, inner)
    if found or STRUCT not in inner or (part and not isinstance(part, dict)):
        out["f:" + name] = found


def contains(fields: Json, path: Path) -> bool:
    """Whether `path` is a member."""
    node = fields
    for element in path:
        if element not in node:
            return False
        node = node[element]
    return not node or "." in node


def touches(fields: Json, path: Path) -> bool:
    """Whether `path` or anything below it is a member."""
    node = fields
    for element in path:
        if element not in node:
            return False
        node = node[element]
    return True


def insert(fields: Json, path: Path, within: Json | None = None) -> None:
    """Make `path` a member, and those of the set `within` below it."""
    node, fresh = fields, False
    for element in path:
        if not node and not fresh and node is not fields:
            node["."] = {}
        fresh = element not in node
        node = node.setdefault(element, {})
    if node and "." not in node:
        node["."] = {}
    if within:
        _unite(node, within)


def _unite(fields: Json, others: Json) -> None:
    """Add the members of another set, in which every container is a member."""
    for element, inner in others.items():
        if element not in fields:
            fields[element] = inner
            continue
        ours = fields[element]
        if ours and not inner:
            ours["."] = {}
        _unite(ours, inner)


def discard(fields: Json, path: Path) -> None:
    """Make `path` no member; containers that were no members themselves vanish with it."""
    nodes = [fields]
    for element in path:
        if element not in nodes[-1]:
            return
        nodes.append(nodes[-1][element])
    node = nodes[-1]
    node.pop(".", None)
    if node:
        return
    for depth in range(len(path) - 1, -1, -1):
        parent = nodes[depth]
        del parent[path[depth]]
        if "." in parent:
            if len(parent) == 1:
                del parent["."]
            return
        if parent:
            return


def leaves(fields: Json, path: Path) -> Iterator[Path]:
    """Every member of the set at `path` that holds no other."""
    if not fields:
        yield path
    for element, inner in fields.items():
        if element != ".":
            yield from leaves(inner, (*path, element))


def members(fields: Json, path: Path = ()) -> Iterator[Path]:
    """Every member."""
    if path and (not fields or "." in fields):
        yield path
    for element, inner in fields.items():
        if element != ".":
            yield from members(inner, (*path, element))


def build(paths: Iterator[Path] | list[Path] | dict[Path, Any]) -> Json:
    """The set of these members."""
    out: Json = {}
    for path in sorted(paths, key=len):
        insert(out, path)
    return out


def pretty(path: Path) -> str:
    """`.spec.ports[name="http"].port`, as Kubernetes prints a field."""
    out = ""
    for element in path:
        if element[0] == "f":
            out += "." + element[2:]
        elif element[0] == "k":
            keys = orjson.loads(element[2:])
            out += "[" + ",".join(f"{k}={_canonical(v)}" for k, v in keys.items()) + "]"
        else:
            out += "[=" + element[2:] + "]"
    return out
