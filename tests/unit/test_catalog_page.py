"""The reference page of the catalog is what the offerings say. ``GOLDEN=overwrite`` writes it."""

import os

from tests.catalog_files import FOLDER
from tests.catalog_page import page

PAGE = FOLDER.parents[1] / "docs" / "reference" / "catalog.md"


def test_the_reference_page_is_up_to_date():
    if os.environ.get("GOLDEN") == "overwrite":
        PAGE.write_text(page())
    assert PAGE.read_text() == page(), "write it anew with GOLDEN=overwrite"
