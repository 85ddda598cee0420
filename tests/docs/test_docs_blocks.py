"""Every example is one that is run, or says why not."""

from typing import Any, cast

import pytest
import yaml

from isthmus.api.meta import API_VERSION
from isthmus.api.v1alpha1 import KINDS
from tests.docs import blocks as markdown
from tests.docs import console
from tests.docs.blocks import ROOT, Block

EXAMPLES = [block for page in markdown.pages() for block in markdown.blocks(page)]
KIND_BY_NAME = {kind.names.kind: kind for kind in KINDS}
_ATTRIBUTES = {"file", "norun"}


def ids(block: Block) -> str:
    return block.where


@pytest.mark.parametrize("block", EXAMPLES, ids=ids)
def test_an_example_has_a_language_that_we_run(block: Block) -> None:
    assert block.language, f"{block.where}: name the language, or `text`"
    assert block.language not in markdown.FORBIDDEN, f"{block.where}: use console, yaml or python"
    unknown = set(block.attributes) - _ATTRIBUTES | block.flags - {"labs", "cluster"}
    assert not unknown, f"{block.where}: what is {sorted(unknown)}?"


@pytest.mark.parametrize("block", [b for b in EXAMPLES if b.norun is not None], ids=ids)
def test_an_example_that_is_not_run_says_why(block: Block) -> None:
    assert len((block.norun or "").split()) >= 3, f"{block.where}: norun needs a reason in words"


@pytest.mark.parametrize(
    "block", [b for b in EXAMPLES if b.runs and b.language == "console" and not b.hidden], ids=ids
)
def test_a_transcript_expects_something(block: Block) -> None:
    found = console.commands(block)
    assert found, f"{block.where}: no command"
    expects = [c for c in found if c.expected or c.exit_code]
    assert expects, f"{block.where}: show what comes of it, `...` for what varies"


@pytest.mark.parametrize("block", [b for b in EXAMPLES if b.runs and b.language == "yaml"], ids=ids)
def test_a_manifest_is_used(block: Block) -> None:
    name = block.file
    assert name, f"{block.where}: give it file=NAME, or norun with the reason"
    later = [b for b in EXAMPLES if b.page == block.page and b.line > block.line]
    used = any(b.language == "console" and name in b.text for b in later)
    assert used, f"{block.where}: no later command uses {name}"


@pytest.mark.parametrize("block", [b for b in EXAMPLES if b.language == "yaml"], ids=ids)
def test_a_manifest_of_ours_fits_its_kind(block: Block) -> None:
    for document in cast("list[Any]", list(yaml.safe_load_all(block.text))):
        if isinstance(document, dict) and document.get("apiVersion") == API_VERSION:
            KIND_BY_NAME[document["kind"]].parse(document)


def test_there_are_examples() -> None:
    assert (ROOT / "README.md").exists()
    assert len([b for b in EXAMPLES if b.runs]) > 20
    assert any("tutorial" in b.where for b in EXAMPLES if b.runs)
