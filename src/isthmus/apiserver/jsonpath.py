"""The part of JSONPath that printer columns and selectable fields use.

Fields (also quoted and with escaped dots), positions, `[*]` and the filter `[?(@.a=="b")]`.
Source: https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple, cast

from isthmus.apiserver.jsonvalues import Json

_STEP = re.compile(
    r"""\.(?P<field>(?:[^.\[\]\\]|\\.)+)
      | \[(?P<position>-?\d+|\*)\]
      | \[['"](?P<quoted>[^'"]+)['"]\]
      | \[\?\(\s*@\.(?P<key>[\w.\-]+)\s*==\s*['"](?P<value>[^'"]*)['"]\s*\)\]""",
    re.VERBOSE,
)


class _Step(NamedTuple):
    field: str | None
    position: str | None
    key: str | None
    value: str | None


@lru_cache(maxsize=4096)
def _compile(path: str) -> tuple[_Step, ...]:
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps: list[_Step] = []
    place = 0
    if not text.startswith((".", "[")):
        text = "." + text
    while place < len(text):
        match = _STEP.match(text, place)
        if match is None:
            return ()
        name = match["quoted"] or match["field"]
        field = name.replace("\\", "") if name else None
        steps.append(_Step(field, match["position"], match["key"], match["value"]))
        place = match.end()
    return tuple(steps)


def find(value: Any, path: str) -> list[Any]:
    """Every value at `path`; none when it does not fit or cannot be read."""
    found = [value]
    steps = _compile(path)
    for step in steps:
        found = [inner for outer in found for inner in _take(outer, step)]
    return found if steps else []


def first(value: Any, path: str) -> Any:
    """The first value at `path`, or None."""
    found = find(value, path)
    return found[0] if found else None


def _take(value: Any, step: _Step) -> list[Any]:
    if step.field is not None:
        if isinstance(value, dict) and step.field in value:
            return [cast("Json", value)[step.field]]
        return []
    if not isinstance(value, list):
        return []
    items = cast("list[Any]", value)
    if step.key is not None:
        return [item for item in items if str(first(item, "." + step.key)) == step.value]
    if step.position == "*":
        return items
    index = int(step.position or 0)
    return items[index : index + 1] if index >= 0 else items[index:][:1]
