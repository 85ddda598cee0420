"""The generated reference pages are what the code says. ``GOLDEN=overwrite`` writes them."""

import os
from collections.abc import Callable

import pytest
import typer
from prometheus_client.metrics import MetricWrapperBase

from isthmus.apiserver.metrics import METRICS
from isthmus.app.commands import command
from isthmus.runtime import telemetry
from isthmus_lab_kubernetes.settings import NEWEST, RELEASES
from tests.docs import cli_reference, reference
from tests.docs.blocks import ROOT, blocks, pages
from tests.oracle.page import page as oracle_page

COMMAND = typer.main.get_command(command())
VERBS = [path for path, _ in cli_reference.leaves(COMMAND)]


def cli_page() -> str:
    return cli_reference.cli_page(COMMAND)


def metrics_page() -> str:
    found = vars(telemetry).values()
    return reference.metrics_page((m for m in found if isinstance(m, MetricWrapperBase)), METRICS)


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "kinds.md": reference.kinds_page,
    "metrics.md": metrics_page,
    "errors.md": reference.errors_page,
    "embedded-api-differences.md": lambda: oracle_page(RELEASES[NEWEST]),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    page = ROOT / "docs" / "reference" / name
    text = PAGES[name]()
    if os.environ.get("GOLDEN") == "overwrite":
        page.write_text(text)
    assert page.exists(), f"no {page}; write it with GOLDEN=overwrite"
    assert text == page.read_text(), f"{page.name} lags behind the code: GOLDEN=overwrite"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_shown_in_use(verb: str) -> None:
    written = [page for page in pages() if page.name not in PAGES]
    used = any(verb in block.text for page in written for block in blocks(page))
    assert used or any(f"`{verb}" in page.read_text() for page in written), (
        f"no page but the reference uses `{verb}`"
    )
