"""Markdown pages as the examples they hold.

A fenced block is an example; its info string says what becomes of it::

    ```console                     commands after "$ ", then what they print ("...": anything)
    ```yaml file=db.yaml           written to the page's folder, for a command of the same page
    ```python                      executed; with file=NAME written like YAML
    ```yaml                        without apiVersion: a fragment, which is only parsed
    ```console norun="the reason"  shown, and not run: the reason is for who reads the source
    ```console labs                needs system packages: runs in `make test-labs`
    ```console cluster             on a real kube-apiserver, the whole page: `make test-labs`

The same in an HTML comment (``<!-- console`` ... ``-->``) runs without being shown: it prepares
what a page starts from, or tidies up.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = frozenset({"console", "yaml", "python"})
"""Languages that run or are written; others are only looked at."""
FORBIDDEN = frozenset({"sh", "bash", "shell", "yml", "py", "zsh"})
"""Other names for the same, which the harness would pass over."""

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>.*)$")
_HIDDEN = re.compile(r"^<!-- (?P<info>(?:console|yaml|python)\b.*)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One example of one page."""

    page: Path
    line: int
    language: str
    flags: frozenset[str] = frozenset()
    attributes: dict[str, str] = field(default_factory=dict[str, str])
    text: str = ""
    hidden: bool = False

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def norun(self) -> str | None:
        return self.attributes.get("norun")

    @property
    def fragment(self) -> bool:
        """A piece of YAML that is no manifest: it is parsed, and there is nothing to run."""
        return self.language == "yaml" and "apiVersion:" not in self.text and not self.file

    @property
    def file(self) -> str:
        return self.attributes.get("file", "")

    @property
    def runs(self) -> bool:
        return self.language in RUN and self.norun is None and not self.fragment


def pages() -> tuple[Path, ...]:
    """Every page of the documentation."""
    return (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


def of_cluster(page: Path) -> bool:
    """Whether the page's examples run on a real cluster."""
    return any("cluster" in block.flags for block in blocks(page))


def blocks(page: Path) -> tuple[Block, ...]:
    """All examples of a page, in order."""
    return tuple(_blocks(page, page.read_text().splitlines()))


def prose(page: Path) -> str:
    """The page without its examples."""
    lines = page.read_text().splitlines()
    inside = {n for b, end in _spans(page, lines) for n in range(b.line - 1, end + 1)}
    return "\n".join(line for n, line in enumerate(lines) if n not in inside)


def _blocks(page: Path, lines: list[str]) -> Iterator[Block]:
    for block, _ in _spans(page, lines):
        yield block


def _spans(page: Path, lines: list[str]) -> Iterator[tuple[Block, int]]:
    """Yield each block with the index of its last line."""
    index = 0
    while index < len(lines):
        start, line = index, lines[index]
        fence, hidden = _FENCE.match(line), _HIDDEN.match(line)
        index += 1
        opening = fence or hidden
        if opening is None:
            continue
        end = f"{fence['indent']}{fence['ticks']}" if fence else "-->"
        while index < len(lines) and lines[index].rstrip() != end:
            index += 1
        indent = len(fence["indent"]) if fence else 0
        body = [text[indent:] for text in lines[start + 1 : index]]
        yield _block(page, start + 1, opening["info"], body, hidden is not None), index
        index += 1


def _block(page: Path, line: int, info: str, body: list[str], hidden: bool) -> Block:
    words = shlex.split(info)
    attributes = dict(word.split("=", 1) for word in words[1:] if "=" in word)
    return Block(
        page=page,
        line=line,
        language=words[0] if words else "",
        flags=frozenset(word for word in words[1:] if "=" not in word),
        attributes=attributes,
        text="".join(f"{text}\n" for text in body),
        hidden=hidden,
    )
