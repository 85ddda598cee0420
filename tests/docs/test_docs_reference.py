"""The generated reference pages are what the code says. ``GOLDEN=overwrite`` writes them."""

import os
from collections.abc import Callable

import pytest

from tests.docs import reference
from tests.docs.blocks import ROOT

PAGES: dict[str, Callable[[], str]] = {
    "kinds.md": reference.kinds_page,
    "errors.md": reference.errors_page,
}


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    page = ROOT / "docs" / "reference" / name
    text = PAGES[name]()
    if os.environ.get("GOLDEN") == "overwrite":
        page.write_text(text)
    assert page.exists(), f"no {page}; write it with GOLDEN=overwrite"
    assert text == page.read_text(), f"{page.name} lags behind the code: GOLDEN=overwrite"
