"""Manifests as people write them: YAML files whose mistakes are named by file and line."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

from isthmus.api.meta import Json
from isthmus.faces.cli.failures import CommandFailed, Exit

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object of a file, and where its fields stand."""

    source: str
    body: Json
    lines: dict[str, int] = field(default_factory=dict[str, int], repr=False)
    """Line by field path, for example ``spec.plan``; the whole object is ````."""

    @property
    def kind(self) -> str:
        """The object's kind."""
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        """The object's name."""
        return str(self.body["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """The namespace that the file names; empty: the command's."""
        return str(self.body["metadata"].get("namespace") or "")

    def place(self, path: str = "") -> str:
        """Return ``file:line`` of a field, or of the nearest one around it that the file has."""
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return f"{self.source}:{self.lines.get(path, 1)}"


def read(paths: Iterable[str]) -> list[Manifest]:
    """Read all objects of files, of the YAML files of folders, and of standard input (``-``).

    Raises:
        CommandFailed: A file is missing, is no YAML, or holds something that is no object.
    """
    found = [manifest for path in paths for source in _sources(path) for manifest in _read(*source)]
    if not found:
        raise CommandFailed("-f: there is no object in it", Exit.INVALID)
    return found


def _sources(path: str) -> Iterator[tuple[str, str]]:
    if path == "-":
        yield "<stdin>", sys.stdin.read()
        return
    given = Path(path)
    files = (
        sorted(f for f in given.iterdir() if f.suffix in _SUFFIXES) if given.is_dir() else [given]
    )
    for file in files:
        try:
            yield str(file), file.read_text()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "is not UTF-8 text"
            raise CommandFailed(f"-f: {file}: {reason}", Exit.INVALID) from exc


def _read(source: str, text: str) -> Iterator[Manifest]:
    try:
        for node in yaml.compose_all(text, Loader=_LOADER):
            yield from _manifests(source, node)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 1
        raise CommandFailed(f"{source}:{line}: {exc.problem or exc.context}", Exit.INVALID) from exc
    except yaml.YAMLError as exc:
        raise CommandFailed(f"{source}: {exc}", Exit.INVALID) from exc


def _manifests(source: str, node: yaml.Node) -> Iterator[Manifest]:
    line = node.start_mark.line + 1
    body: Any = _construct(node)
    if body is None:
        return
    if not isinstance(body, dict):
        raise CommandFailed(f"{source}:{line}: a manifest must be a mapping", Exit.INVALID)
    obj = cast("Json", body)
    if obj.get("kind") == "List":
        items = next(value for key, value in _pairs(node) if key == "items")
        for item in cast("list[yaml.Node]", items.value):
            yield from _manifests(source, item)
        return
    for path in ("apiVersion", "kind", "metadata.name"):
        if not _get(obj, path):
            raise CommandFailed(f"{source}:{line}: {path} is missing", Exit.INVALID)
    yield Manifest(source=source, body=obj, lines=dict(_lines(node, "")))


def _construct(node: yaml.Node) -> Any:
    loader = _LOADER("")
    try:
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _pairs(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            yield str(key.value), value


def _lines(node: yaml.Node, path: str) -> Iterator[tuple[str, int]]:
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            inner = f"{path}.{key.value}" if path else str(key.value)
            yield from _lines(value, inner)
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(cast("list[yaml.Node]", node.value)):
            yield from _lines(item, f"{path}[{index}]")


def _get(obj: Json, path: str) -> Any:
    value: Any = obj
    for part in path.split("."):
        value = cast("Json", value).get(part) if isinstance(value, dict) else None
    return value
