"""Plays a chapter on both servers at the same time."""

import itertools
import secrets
import shutil
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.oracle.comparing import differences
from tests.oracle.homes import Home
from tests.oracle.script import Chapter, Step

_COUNTING_SECONDS = 180


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
    kinds = Path(__file__).with_name("kinds.yaml")
    names = [kind["spec"]["names"]["kind"] for kind in yaml.safe_load_all(kinds.read_text())]
    published = "".join(rf'(?=[\s\S]*"kind":\s*"{name}")' for name in names)
    steps = [
        Step(do=f"kubectl apply -f {kinds}"),
        Step(do=f"kubectl wait --for=condition=Established --timeout=120s -f {kinds}"),
        # A kube-apiserver publishes what a kind looks like some time after it has it.
        Step(do="kubectl get --raw /openapi/v3/apis/example.com/v1", until=published),
        Step(do="kubectl get --raw /openapi/v2", until=published),
    ]
    for home in pair:
        answers = home.play(Chapter("prepare", "", {}, steps))
        assert not any(answer.code or answer.in_vain for answer in answers), answers
        _await_counting(home)


def _await_counting(home: Home) -> None:
    """Wait until quotas count the kinds.

    A kube-apiserver's controller looks for new kinds each half minute, and a quota that was made
    before it knows one says nothing of it for five minutes: so each look makes a quota of its own.
    """
    wait = "kubectl wait quota/q --for=jsonpath={.status.used.secrets} --timeout=120s"
    steps = [
        Step(do="kubectl create quota q --hard=count/widgets.example.com=1,secrets=1"),
        Step(do=wait),
        Step(do="kubectl get quota q -o jsonpath={.status.used}"),
    ]
    deadline = time.monotonic() + _COUNTING_SECONDS
    for number in itertools.count():
        *_, used = home.play(Chapter(f"counting-{number}", "", {}, steps))
        if "widgets" in used.out:
            return
        assert time.monotonic() < deadline, used
        time.sleep(2)


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
