"""The harness of the examples: what it reads and what it lets pass."""

from pathlib import Path

import pytest

from tests.docs import blocks as markdown
from tests.docs import console
from tests.docs.blocks import Block

PAGE = markdown.ROOT / "docs" / "page.md"


def block(text: str) -> Block:
    return Block(page=PAGE, line=10, language="console", text=text)


def test_a_page_gives_its_visible_and_hidden_blocks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n```yaml file=a.yaml labs\na: 1\n```\n<!-- console\n$ true\n-->\n"
        '- x\n\n  ```python norun="a reason"\n  print()\n  ```\n'
    )
    yaml, hidden, python = markdown.blocks(page)
    assert (yaml.language, yaml.attributes, yaml.flags, yaml.text) == (
        "yaml",
        {"file": "a.yaml"},
        {"labs"},
        "a: 1\n",
    )
    assert (hidden.hidden, hidden.text) == (True, "$ true\n")
    assert (python.norun, python.text, python.line) == ("a reason", "print()\n", 10)
    assert markdown.prose(page).split() == ["#", "A", "-", "x"]


def test_a_transcript_is_commands_with_what_they_print() -> None:
    one, two = console.commands(block("$ cat <<E\n> x\n> E\nx\n$ false\n[exit 1]\n"))
    assert (one.text, one.expected, one.exit_code) == ("cat <<E\nx\nE", ("x",), 0)
    assert (two.text, two.expected, two.exit_code) == ("false", (), 1)


@pytest.mark.parametrize(
    ("expected", "actual", "good"),
    [
        (("NAME  READY", "db True"), "NAME   READY\ndb     True\n", True),
        (("db True",), "db False\n", False),
        (("a", "...", "z"), "a\nb\nc\nz\n", True),
        (("a", "...", "z"), "a\nz\n", True),
        (("a", "...", "z"), "a\nb\n", False),
        (("took ... s",), "took 1.2 s\n", True),
        (("a",), "a\nb\n", False),
    ],
)
def test_output_is_compared(expected: tuple[str, ...], actual: str, good: bool) -> None:
    assert console.matches(expected, actual) is good


def test_a_shell_remembers_variables_and_folder(tmp_path: Path) -> None:
    shell = console.Shell(folder=tmp_path, environment={})
    (tmp_path / "sub").mkdir()
    shell.run("export X=1; cd sub")
    assert shell.run('echo "$X $(basename "$PWD")"').stdout == "1 sub\n"
    assert shell.run("exit 3").returncode == 3
