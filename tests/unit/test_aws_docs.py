"""The reference of what an offering may say names everything that the driver reads."""

import os
import re
from pathlib import Path

import pytest

from isthmus.drivers.aws import settings
from isthmus.drivers.aws.credentials import sources
from isthmus.drivers.aws.predelete import STEPS
from isthmus.drivers.aws.session import Aws
from isthmus.drivers.aws.settings import Settings
from isthmus.drivers.aws.stateful import STATEFUL_TYPES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "aws-offerings.md"
BLOCK = re.compile(r"(<!-- stateful-types:begin[^>]*-->\n).*?(<!-- stateful-types:end -->)", re.S)


def strategies() -> list[str]:
    aws = Aws(Settings(region="us-east-1", access_key=None))
    try:
        return sorted(sources(aws))
    finally:
        aws.close()


@pytest.mark.parametrize("name", sorted(settings.KNOWN) + strategies() + sorted(STEPS))
def test_every_name_is_explained(name):
    assert f"`{name}`" in PAGE.read_text()


def test_the_list_of_stateful_types_is_that_of_the_driver():
    services: dict[str, list[str]] = {}
    for resource_type in sorted(STATEFUL_TYPES):
        _, service, kind = resource_type.split("::")
        services.setdefault(service, []).append(kind)
    rows = "".join(f"| {s} | {', '.join(kinds)} |\n" for s, kinds in services.items())
    table = f"| AWS:: | holds data |\n|---|---|\n{rows}"
    page = PAGE.read_text()
    wanted = BLOCK.sub(lambda m: m[1] + table + m[2], page)
    if os.environ.get("GOLDEN") == "overwrite":
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted, "GOLDEN=overwrite rewrites it"
