"""Plays a chapter on both servers at the same time."""

import secrets
import shutil
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.oracle.comparing import differences
from tests.oracle.homes import Home
from tests.oracle.script import Chapter, Step


@dataclass
class Outcome:
    """How a chapter went.

    Attributes:
        chapter: Which.
        unlike: Steps that were answered differently, and how.
        alike: Steps that say they differ, and do not.
    """

    chapter: Chapter
    unlike: list[tuple[Step, list[str]]] = field(default_factory=list[tuple[Step, list[str]]])
    alike: list[Step] = field(default_factory=list[Step])

    def report(self) -> list[str]:
        """Lines for a reader; none when all is as the script says."""
        lines: list[str] = []
        for step, how in self.unlike:
            lines += ["", self._head(step), *how]
        for step in self.alike:
            lines += ["", self._head(step), f"no more differs: {step.differs}"]
        return lines

    def _head(self, step: Step) -> str:
        place = next(n for n, other in enumerate(self.chapter.steps) if other is step)
        return f"=== {self.chapter.name} {place}: {step.do}"


@contextmanager
def homes(folder: Path, here: str, there: str) -> Generator[tuple[Home, Home]]:
    """Both servers, from their administrators' kubeconfigs, as long as the block lasts."""
    kubectl, mark = shutil.which("kubectl") or "", f"-{secrets.token_hex(2)}"
    pair = (
        Home("here", here, folder / "here", kubectl, mark),
        Home("kube-apiserver", there, folder / "there", kubectl, mark),
    )
    try:
        yield pair
    finally:
        for home in pair:
            home.http.close()


def prepare(pair: tuple[Home, Home]) -> None:
    """Give both servers the kinds that the chapters use."""
    kinds = str(Path(__file__).with_name("kinds.yaml"))
    steps = [
        Step(do=f"kubectl apply -f {kinds}"),
        Step(do=f"kubectl wait --for=condition=Established --timeout=60s -f {kinds}"),
    ]
    for home in pair:
        answers = home.play(Chapter("prepare", "", {}, steps))
        assert not any(answer.code for answer in answers), answers


def play(chapter: Chapter, pair: tuple[Home, Home]) -> Outcome:
    """Play a chapter on both and compare what they answer."""
    with ThreadPoolExecutor(len(pair)) as threads:
        answers = threads.map(lambda home: home.play(chapter), pair)
    outcome = Outcome(chapter)
    for step, left, right in zip(chapter.steps, *answers, strict=True):
        how = differences(step, left, right)
        if how and not step.differs:
            outcome.unlike.append((step, how))
        elif step.differs and not how:
            outcome.alike.append(step)
    return outcome
