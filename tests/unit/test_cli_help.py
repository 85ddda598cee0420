"""What ``--help`` says, as people see it."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from isthmus.app.commands import command
from tests.golden_files import assert_golden


def verbs(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in sorted(getattr(node, "commands", {}).items()):
        yield from verbs(inner, (*path, name))


def test_help_of_every_verb(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERMINAL_WIDTH", "100")
    app = command()
    pages = []
    for path in verbs(typer.main.get_command(app)):
        done = CliRunner().invoke(app, [*path, "--help"], prog_name="isthmus")
        assert done.exit_code == 0, path
        lines = [line.rstrip() for line in done.stdout.splitlines() if not _of_completion(line)]
        pages.append("\n".join([f"### {' '.join(('isthmus', *path))}", *lines]))
    assert_golden("\n".join(pages) + "\n", "cli/help.txt")


def _of_completion(line: str) -> bool:
    """These two options are Typer's, and their words depend on the shell that runs us."""
    return "-completion" in line or "customize the installation" in line
