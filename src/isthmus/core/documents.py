"""Native templates as documents: what every driver does to them before its engine sees them."""

import copy
import re
from collections.abc import Sequence
from typing import Any, cast

from isthmus.api.meta import Json
from isthmus.errors import InvalidSpec

_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def without_nulls(document: Json) -> Json:
    """Return the template without what is null: that is how an offering leaves a property out."""
    return cast("Json", _without_nulls(document))


def keep_fields(wanted: Json, deployed: Json, paths: Sequence[str]) -> Json:
    """Return ``wanted`` with the values of some paths as they are deployed, or absent as there."""
    result = copy.deepcopy(wanted)
    for path in paths:
        steps = [int(i) if i else name for i, name in _STEP.findall(path)]
        if not steps:
            raise InvalidSpec(f"spec.ignoreFields: {path!r} is not a path.")
        parent, last = _walk(result, steps[:-1]), steps[-1]
        source = _walk(deployed, steps[:-1])
        if _has(source, last):
            _put(parent, last, copy.deepcopy(source[last]))
        elif isinstance(parent, dict):
            cast("Json", parent).pop(cast("str", last), None)
    return result


def _without_nulls(node: Any) -> Any:
    if isinstance(node, dict):
        items = cast("Json", node).items()
        return {k: _without_nulls(v) for k, v in items if v is not None}
    if isinstance(node, list):
        return [_without_nulls(v) for v in cast("list[Any]", node) if v is not None]
    return node


def _walk(node: Any, steps: Sequence[str | int]) -> Any:
    for step in steps:
        if not _has(node, step):
            return None
        node = node[step]
    return node


def _has(node: Any, step: str | int) -> bool:
    if isinstance(node, dict):
        return step in node
    items = cast("list[Any]", node) if isinstance(node, list) else []
    return isinstance(step, int) and step < len(items)


def _put(parent: Any, step: str | int, value: Any) -> None:
    if isinstance(parent, dict) or (isinstance(parent, list) and _has(parent, step)):
        cast("Any", parent)[step] = value
