"""Console examples: commands and what they print, run and compared.

* ``$ command`` starts a command; ``> more`` goes on with it.
* The lines after it are what it prints. A line ``...`` stands for any lines, ``...`` in a line for
  anything. Runs of spaces count as one, since tables choose their own widths.
* A command without lines after it must succeed, whatever it prints.
* ``[exit 1]`` as the last line says that it ends with that code; otherwise it must be 0.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import Block

TIMEOUT_SECONDS = 150
_EXIT = re.compile(r"^\[exit (\d+)\]$")
_ANYTHING = "..."


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a transcript."""

    text: str
    line: int
    expected: tuple[str, ...] = ()
    exit_code: int = 0


def commands(block: Block) -> tuple[Command, ...]:
    """The commands of a console block."""
    found: list[list[str]] = []
    lines_of: list[int] = []
    for offset, line in enumerate(block.text.splitlines(), 1):
        if line.startswith("$ "):
            found.append([line[2:]])
            lines_of.append(block.line + offset)
        else:
            assert found, f"{block.where}: output before the first command: {line!r}"
            found[-1].append(line)
    return tuple(_command(lines, at) for lines, at in zip(found, lines_of, strict=True))


def _command(lines: list[str], at: int) -> Command:
    count = 1
    while count < len(lines) and lines[count].startswith("> "):
        count += 1
    text = "\n".join([lines[0], *(line[2:] for line in lines[1:count])])
    expected = lines[count:]
    exit_code = _EXIT.match(expected[-1]) if expected else None
    if exit_code:
        expected = expected[:-1]
    return Command(
        text=text,
        line=at,
        expected=tuple(expected),
        exit_code=int(exit_code[1]) if exit_code else 0,
    )


def matches(expected: tuple[str, ...], actual: str) -> bool:
    """Whether the output is what the page says; see the module for the rules."""
    lines = [_squeeze(line) for line in expected if line.strip()]
    pattern = "".join(r"(?:.*\n)*?" if x == _ANYTHING else _line_pattern(x) for x in lines)
    text = "".join(f"{_squeeze(x)}\n" for x in actual.splitlines() if x.strip())
    return re.fullmatch(pattern, text) is not None


def _line_pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split(_ANYTHING)) + r"\n"


def _squeeze(line: str) -> str:
    return " ".join(line.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A bash that remembers its exported variables and its folder between commands."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, text: str) -> subprocess.CompletedProcess[str]:
        """Run one command; standard error is part of what it prints."""
        memory = self.folder / ".shell"
        memory.mkdir(exist_ok=True)
        script = (
            f'[ -f {memory}/env ] && . {memory}/env; cd "$(cat {memory}/pwd 2>/dev/null || pwd)"\n'
            f"trap 'code=$?; export -p > {memory}/env; pwd > {memory}/pwd; exit $code' EXIT\n"
            f"{text}\n"
        )
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )


def check(command: Command, shell: Shell, page: Path) -> None:
    """Run one command and compare."""
    where = f"{page.name}:{command.line}"
    done = shell.run(command.text)
    assert done.returncode == command.exit_code, (
        f"{where}: {command.text!r} ended with {done.returncode}, "
        f"not {command.exit_code}:\n{done.stdout}"
    )
    if command.expected:
        wanted = "\n".join(command.expected)
        assert matches(command.expected, done.stdout), (
            f"{where}: {command.text!r} printed\n{done.stdout}\nand the page says\n{wanted}"
        )
