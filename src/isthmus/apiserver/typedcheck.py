"""Whether an applied value has the shape that its schema's merge rules need.

What cannot be merged must be refused before anything is merged. The words are those of
https://github.com/kubernetes-sigs/structured-merge-diff.
"""

from collections.abc import Iterator
from typing import Any, cast

import orjson

from isthmus.apiserver import fields
from isthmus.apiserver.jsonvalues import Json, as_list, as_map, type_name

_SCALARS = {
    "string": (("string",), "string"),
    "integer": (("number",), "numeric (int or float)"),
    "number": (("number",), "numeric (int or float)"),
    "boolean": (("bool",), "boolean"),
    "array": (("array",), "list"),
    "object": (("object",), "map"),
}
_GO = {"number": "int64", "bool": "bool", "string": "string", "object": "map", "array": "list"}


def mismatches(value: Any, schema: Json, path: str = "") -> Iterator[str]:
    """Every place at which a value cannot be what the schema says, as `.path: why`."""
    if value is None or schema is fields.UNTYPED or schema.get("x-kubernetes-int-or-string"):
        return
    kinds, wanted = _SCALARS.get(str(schema.get("type")), ((), ""))
    found = type_name(value)
    if kinds and found not in kinds:
        yield f"{path}: expected {wanted}, got {_GO[found]}"
    elif isinstance(value, list):
        yield from _in_list(cast("list[Any]", value), schema, path)
    elif isinstance(value, dict):
        for name, part in cast("Json", value).items():
            yield from mismatches(part, fields.below(schema, name)[0], f"{path}.{name}")


def _in_list(items: list[Any], schema: Json, path: str) -> Iterator[str]:
    inner, seen = as_map(schema.get("items")), set[str]()
    kind = schema.get("x-kubernetes-list-type")
    keys = as_list(schema.get("x-kubernetes-list-map-keys"))
    for index, item in enumerate(items):
        if kind == "map" and isinstance(item, dict) and fields.entry(schema, item) == "k:{}":
            yield (
                f"{path}: element {index}: associative list with keys has an element that omits"
                f" all key fields {orjson.dumps(keys).decode()} (and doesn't have default values"
                " for any key fields)"
            )
            continue
        if fields.is_keyed(schema):
            element = fields.entry(schema, item)
            if element in seen:
                yield f"{path}: duplicate entries for key {fields.pretty((element,))}"
            seen.add(element)
        yield from mismatches(item, inner, f"{path}[{index}]")
