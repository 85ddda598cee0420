"""The catalog's reference pages are what the offerings say. ``GOLDEN=overwrite`` writes them."""

import os

import pytest

from tests.catalog_files import FOLDER
from tests.catalog_page import page

PAGES = {
    "aws": "catalog.md",
    "openstack": "openstack-catalog.md",
    "kubernetes": "kubernetes-catalog.md",
}


@pytest.mark.parametrize(("driver", "name"), PAGES.items())
def test_the_reference_page_is_up_to_date(driver, name):
    file = FOLDER.parents[1] / "docs" / "reference" / name
    if os.environ.get("GOLDEN") == "overwrite":
        file.write_text(page(driver))
    assert file.read_text() == page(driver), "write it anew with GOLDEN=overwrite"
