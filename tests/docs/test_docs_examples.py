"""Every example of every page runs, page by page, in order, in a folder of its own."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import blocks as markdown
from tests.docs import console, sandbox
from tests.docs.blocks import ROOT, Block
from tests.docs.sandbox import Sandbox

_KUBECTL = re.compile(r"^(?:\$ |> .*\|\s*)kubectl\b|\| *kubectl\b|\$\(kubectl\b", re.MULTILINE)


def needs_kubectl(page: Path) -> bool:
    examples = [b for b in markdown.blocks(page) if b.runs and b.language == "console"]
    return any(_KUBECTL.search(b.text) for b in examples)


def marks(page: Path) -> tuple[pytest.MarkDecorator, ...]:
    """Pages that drive kubectl or say ``labs`` run in ``make test-labs``."""
    labs = needs_kubectl(page) or any("labs" in b.flags for b in markdown.blocks(page))
    return (pytest.mark.labs,) if labs else ()


PAGES = [
    pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks(page))
    for page in markdown.pages()
    if any(block.runs for block in markdown.blocks(page)) and not markdown.of_cluster(page)
]


@pytest.fixture(scope="session")
def isthmus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandbox.running(tmp_path_factory.mktemp("isthmus")) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_run(page: Path, isthmus: Sandbox, tmp_path: Path) -> None:
    if needs_kubectl(page) and shutil.which("kubectl") is None:
        pytest.skip("its examples drive kubectl, which is not on the PATH")
    shell = console.Shell(folder=tmp_path, environment=isthmus.environment(tmp_path))
    for block in markdown.blocks(page):
        if block.runs:
            run(block, shell)


def run(block: Block, shell: console.Shell) -> None:
    if block.file:
        (shell.folder / block.file).write_text(block.text)
    elif block.language == "python":
        (shell.folder / "example.py").write_text(block.text)
        done = shell.run("python example.py")
        assert done.returncode == 0, f"{block.where}:\n{done.stdout}"
    else:
        for command in console.commands(block):
            console.check(command, shell, block.page)
