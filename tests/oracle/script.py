"""The oracle's script as data: chapters of steps that any Kubernetes API must answer alike.

A chapter is a YAML file in `chapters/`: what it is about, files that its commands name, and steps.
A step is a command line, or a mapping with the command under `do` and more beside it (see `Step`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHAPTERS = Path(__file__).parent / "chapters"


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        do: `kubectl ...`, or a method and a path for a client: `GET /api/v1/namespaces`. `${name}`
            stands for a value that an earlier step kept, `${namespace}` for the chapter's own.
        give: What is on standard input, or the body of the request; what is no text becomes JSON.
        type: Content type of the body; `merge`, `json`, `strategic`, `apply` for those of patches.
        accept: Accept header of a request.
        env: Environment variables of a command.
        keep: Values for later steps by name: a path such as `metadata.uid` into what was answered,
            or `.` for the whole text.
        until: Repeat the command until its output matches this expression.
        only: Compare only lines that match this expression.
        hide: Expressions whose matches differ by nature, besides what is always hidden.
        unseen: Do it, and compare nothing.
        differs: Why the two servers answer differently, a key of `reasons.yaml`; empty when they
            must answer alike.
    """

    do: str
    give: Any = None
    type: str = "application/json"
    accept: str = "application/json"
    env: dict[str, str] = field(default_factory=dict[str, str])
    keep: dict[str, str] = field(default_factory=dict[str, str])
    until: str = ""
    only: str = ""
    hide: list[str] = field(default_factory=list[str])
    unseen: bool = False
    differs: str = ""


@dataclass(frozen=True)
class Chapter:
    """Steps that build on each other, in a namespace of their own."""

    name: str
    about: str
    files: dict[str, str]
    steps: list[Step]


def chapters() -> list[Chapter]:
    """The whole script, in the order of the files' names."""
    return [_chapter(path) for path in sorted(CHAPTERS.glob("*.yaml"))]


def reasons() -> dict[str, str]:
    """Why servers may answer differently, by key."""
    return yaml.safe_load((CHAPTERS.parent / "reasons.yaml").read_text())


def _chapter(path: Path) -> Chapter:
    text: dict[str, Any] = yaml.safe_load(path.read_text())
    steps = [Step(do=step) if isinstance(step, str) else Step(**step) for step in text["steps"]]
    return Chapter(path.stem, text["about"], text.get("files", {}), steps)
