"""Manifests in files, folders and standard input; their mistakes are named by file and line."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from isthmus.api.meta import Json
from isthmus.core import manifests
from isthmus.errors import InvalidSpec
from isthmus.faces.cli.failures import CommandFailed, Exit
from isthmus.faces.cli.objects import items, text

_SUFFIXES = (".yaml", ".yml", ".json")
_LINE = re.compile(r"^line (\d+): ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One object and where it was written."""

    source: str
    body: Json
    document: manifests.Manifest | None = None
    """With the lines of its fields; None where no file stands behind it."""

    @property
    def kind(self) -> str:
        """The object's kind."""
        return text(self.body, "kind")

    @property
    def name(self) -> str:
        """The object's name."""
        return text(self.body, "metadata.name")

    @property
    def namespace(self) -> str:
        """The namespace that the file names; empty: the command's."""
        return text(self.body, "metadata.namespace")

    def place(self, path: str = "") -> str:
        """Return ``file:line`` of a field, or of the nearest one around it that the file has."""
        if self.document is None:
            return self.source
        return f"{self.source}:{self.document.line_of(path)}"


def read(paths: Iterable[str]) -> list[Manifest]:
    """Read all objects of files, of the YAML files of folders, and of standard input (``-``).

    Raises:
        CommandFailed: A file is missing, is no YAML, or holds something that is no object.
    """
    found = [
        one for path in paths for source, text in _sources(path) for one in _read(source, text)
    ]
    if not found:
        raise CommandFailed("-f: there is no object in it", Exit.INVALID)
    return found


def _sources(path: str) -> Iterator[tuple[str, str]]:
    if path == "-":
        yield "<stdin>", sys.stdin.read()
        return
    given = Path(path)
    inside = given.is_dir()
    for file in sorted(given.iterdir()) if inside else [given]:
        if inside and file.suffix not in _SUFFIXES:
            continue
        try:
            yield str(file), file.read_text()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "is not UTF-8 text"
            raise CommandFailed(f"-f: {file}: {reason}", Exit.INVALID) from exc


def _read(source: str, content: str) -> Iterator[Manifest]:
    try:
        documents = manifests.read(content)
    except InvalidSpec as exc:
        placed = _LINE.sub(lambda match: f"{match[1]}: ", exc.message)
        raise CommandFailed(f"{source}:{placed}", Exit.INVALID) from exc
    for document in documents:
        if document.body.get("kind") == "List":
            for item in items(document.body, "items"):
                yield _checked(Manifest(source=source, body=item))
        else:
            yield _checked(Manifest(source=source, body=document.body, document=document))


def _checked(manifest: Manifest) -> Manifest:
    for path in ("apiVersion", "kind", "metadata.name"):
        if not text(manifest.body, path):
            raise CommandFailed(f"{manifest.place()}: {path} is missing; add it", Exit.INVALID)
    return manifest
