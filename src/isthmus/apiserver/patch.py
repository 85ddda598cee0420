"""The three patch formats that need no ownership: merge, JSON and strategic merge.

Sources: RFC 7386 (merge), RFC 6902 (JSON), and for the strategic one
https://kubernetes.io/docs/tasks/manage-kubernetes-objects/update-api-object-kubectl-patch/
"""

import copy
from typing import Any, cast

import orjson

from isthmus.apiserver import http
from isthmus.apiserver.errors import ApiError, bad_request, unprocessable
from isthmus.apiserver.jsonvalues import Json, as_list, as_map, same, type_name

MAX_JSON_PATCH_OPERATIONS = 10_000
MAX_COPIED_BYTES = 3 * 1024 * 1024
"""Of all copies of one JSON patch together; copies of copies double what they copy."""
_MERGE_KEYS: dict[str, str | None] = {
    "ownerReferences": "uid",
    "finalizers": None,
    "secrets": "name",
}
"""Lists that a strategic patch merges: by this key, or (None) as a set of plain values."""


def load(body: bytes, deepest: int) -> Any:
    """Read a patch.

    Raises:
        ApiError: 400.
    """
    try:
        return http.load(body, deepest)
    except ApiError as error:
        raise bad_request(f"error decoding patch: {error.message}") from error


def undecodable(patch: Any, wanted: str) -> ApiError:
    """A patch is of the wrong shape; `wanted` is what it should be, in Go's words."""
    found = type_name(patch)
    return bad_request(
        f"error decoding patch: json: cannot unmarshal {found} into Go value of type {wanted}"
    )


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386: `null` removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    out: Json = dict(cast("Json", target)) if isinstance(target, dict) else {}
    for name, value in cast("Json", patch).items():
        if value is None:
            out.pop(name, None)
        else:
            out[name] = merge_patch(out.get(name), value)
    return out


def json_patch(target: Any, operations: Any) -> Any:
    """RFC 6902 on a copy of `target`.

    Raises:
        ApiError: 422, an operation does not fit the object, or a test fails.
    """
    if not isinstance(operations, list):
        raise undecodable(operations, "[]handlers.jsonPatchOp")
    steps = cast("list[Any]", operations)
    if len(steps) > MAX_JSON_PATCH_OPERATIONS:
        raise unprocessable(f"a JSON patch has at most {MAX_JSON_PATCH_OPERATIONS} operations")
    document, copied = copy.deepcopy(target), 0
    for step in steps:
        try:
            copied += _copied_bytes(document, step)
            if copied > MAX_COPIED_BYTES:
                raise unprocessable(f"a JSON patch copies at most {MAX_COPIED_BYTES} bytes")
            document = _operate(document, step)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise unprocessable(f"JSON patch: {_describe(step)} is not possible here") from error
        except RecursionError as error:
            raise unprocessable("JSON patch: the object would be nested too deeply") from error
    return document


def _copied_bytes(document: Any, step: Json) -> int:
    if step["op"] != "copy":
        return 0
    return len(orjson.dumps(_resolve(document, _pointer(step["from"]))))


def _describe(step: Any) -> str:
    if not isinstance(step, dict):
        return "an operation that is no object"
    operation = cast("Json", step)
    return f"{operation.get('op')} {operation.get('path')}"


def _operate(document: Any, step: Json) -> Any:
    operation, path = step["op"], _pointer(step["path"])
    if operation == "test":
        if not same(_resolve(document, path), step.get("value")):
            raise unprocessable(f"JSON patch: testing value {step['path']} failed")
        return document
    if operation in ("move", "copy"):
        source = _pointer(step["from"])
        value = copy.deepcopy(_resolve(document, source))
        if operation == "move":
            document = _remove(document, source)
        return _add(document, path, value)
    if operation == "remove":
        return _remove(document, path)
    if operation not in ("add", "replace"):
        raise ValueError(operation)
    value = copy.deepcopy(step["value"])
    if operation == "replace":
        _resolve(document, path)
        if path and isinstance(_resolve(document, path[:-1]), list):
            document = _remove(document, path)
    return _add(document, path, value)


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(text)
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _position(items: list[Any], part: str, *, end: int) -> int:
    if part == "-" and end == len(items):
        return end
    if not part.isdecimal() or (len(part) > 1 and part[0] == "0") or int(part) > end:
        raise IndexError(part)
    return int(part)


def _resolve(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, list):
            items = cast("list[Any]", document)
            document = items[_position(items, part, end=len(items) - 1)]
        else:
            document = document[part]
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _resolve(document, path[:-1])
    if isinstance(parent, list):
        items = cast("list[Any]", parent)
        items.insert(_position(items, path[-1], end=len(items)), value)
    elif isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        raise TypeError(path[-1])
    return document


def _remove(document: Any, path: list[str]) -> Any:
    parent = _resolve(document, path[:-1])
    if isinstance(parent, list):
        items = cast("list[Any]", parent)
        del items[_position(items, path[-1], end=len(items) - 1)]
    else:
        del parent[path[-1]]
    return document


def strategic_patch(target: Any, patch: Json) -> Json:
    """Kubernetes' strategic merge for built-in kinds."""
    if patch.get("$patch") == "replace":
        return {name: value for name, value in patch.items() if name != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    out: Json = dict(cast("Json", target)) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        retained = _retained(patch)
        out = {name: value for name, value in out.items() if name in retained}
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.split("/", 1)[1]
            gone = set(map(_text, _items(name, value)))
            out[field] = [item for item in as_list(out.get(field)) if _text(item) not in gone]
        elif name.startswith("$"):
            continue  # orders only matter for lists that are merged
        elif value is None:
            out.pop(name, None)
        elif isinstance(value, dict):
            _strategic_map(out, name, cast("Json", value))
        elif isinstance(value, list) and name in _MERGE_KEYS:
            out[name] = _strategic_list(as_list(out.get(name)), cast("list[Any]", value), name)
        else:
            out[name] = value
    return out


def _retained(patch: Json) -> list[Any]:
    """The fields that a patch leaves, which must be all that it writes."""
    found = patch["$retainKeys"]
    retained = cast("list[Any]", found) if isinstance(found, list) else []
    written = [n for n, value in patch.items() if value is not None and not n.startswith("$")]
    if not isinstance(found, list) or any(name not in retained for name in written):
        raise bad_request("invalid patch format of retainKeys")
    return retained


def _strategic_map(out: Json, name: str, value: Json) -> None:
    if value.get("$patch") == "delete":
        out.pop(name, None)
    else:
        out[name] = strategic_patch(out.get(name), value)


def _strategic_list(current: list[Any], patch: list[Any], name: str) -> list[Any]:
    key = _MERGE_KEYS[name]
    if key is None:
        known, new = set(map(_text, current)), {_text(item): item for item in patch}
        return [*current, *(item for text, item in new.items() if text not in known)]
    if {"$patch": "replace"} in patch:
        return [item for item in patch if item != {"$patch": "replace"}]
    out: dict[bytes, Any] = {}
    for number, item in enumerate(current):
        place = _identity(item, key)
        out[place if place and place not in out else b"%d" % number] = item
    for item in patch:
        if not isinstance(item, dict):
            raise bad_request(f"{name}: every item of the patch must be an object with {key!r}")
        item = cast("Json", item)
        if key not in item:
            raise bad_request(f"{name}: {_shown(item)} does not contain declared merge key: {key}")
        place = _identity(item, key)
        if item.get("$patch") == "delete":
            out.pop(place, None)
        else:
            out[place] = strategic_patch(out[place], item) if place in out else item
    return list(out.values())


def _identity(item: Any, key: str) -> bytes:
    """What tells an item of a merged list from the others; empty where nothing does."""
    held = as_map(item)
    return b"=" + _text(held[key]) if key in held else b""


def _text(value: Any) -> bytes:
    """What is the same for equal values, so that a list of many is searched at once."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _items(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise bad_request(f"{name}: must be a list")
    return cast("list[Any]", value)


def _shown(item: Json) -> str:
    return "map[" + " ".join(f"{name}:{value}" for name, value in sorted(item.items())) + "]"
