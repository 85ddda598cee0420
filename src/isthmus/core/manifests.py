"""A manifest as text becomes a value, and every path of the value keeps its line in the text.

YAML as Kubernetes tools read it: what JSON cannot say (dates, binary data) stays text or is
refused, and a key that is written twice is an error instead of a silent loss.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import yaml

from isthmus.api.meta import Json
from isthmus.errors import InvalidSpec

_JSON_TAGS = frozenset({"null", "bool", "int", "float", "str", "seq", "map", "merge"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One document of a file."""

    body: Json
    lines: Mapping[str, int]
    """Line, from 1, of every path such as ``spec.plans[0].name``; the empty path is the whole."""

    def line_of(self, path: str) -> int:
        """Return the line of a path, or of the nearest thing around it that the text has."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    """Safe, and without YAML's dates: in JSON they are text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own class-level table.
        first: [(tag, pattern) for tag, pattern in rules if tag.rpartition(":")[2] in _JSON_TAGS]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read(text: str) -> tuple[Manifest, ...]:
    """Read all documents of a text; empty ones are left out.

    Raises:
        InvalidSpec: It is no YAML, or no object; the message begins with the line.
    """
    try:
        nodes = list(_compose(text))
        return tuple(_manifest(node) for node in nodes)
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark is not None else 1
        raise InvalidSpec(f"line {line}: {exc.problem or 'not YAML'}") from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise InvalidSpec("line 1: the text is not YAML that JSON could hold") from exc


def _compose(text: str) -> Iterator[yaml.Node]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if node is not None and node.tag != "tag:yaml.org,2002:null":
                yield node
    finally:
        loader.dispose()


def _manifest(node: yaml.Node) -> Manifest:
    if not isinstance(node, yaml.MappingNode):
        raise InvalidSpec(f"line {node.start_mark.line + 1}: expected an object (`key: value`)")
    lines: dict[str, int] = {}
    _walk(node, "", lines)
    body: Any = _construct(node)
    return Manifest(body=cast("Json", body), lines=lines)


def _construct(node: yaml.Node) -> Any:
    loader = _Loader("")
    try:
        return loader.construct_document(node)  # pyright: ignore[reportUnknownMemberType]
    finally:
        loader.dispose()


def _walk(node: yaml.Node, path: str, lines: dict[str, int]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        _walk_mapping(node, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(cast("list[yaml.Node]", node.value)):
            _walk(item, f"{path}[{index}]", lines)


def _walk_mapping(node: yaml.MappingNode, path: str, lines: dict[str, int]) -> None:
    seen: set[str] = set()
    for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
        name = str(key.value)
        line = key.start_mark.line + 1
        if name in seen:
            raise InvalidSpec(f"line {line}: key {name!r} is written twice")
        seen.add(name)
        inner = f"{path}.{name}" if path else name
        lines.setdefault(inner, line)
        _walk(value, inner, lines)
